// The stages of both videos over time, A above and B below, with what belongs together joined.
import { element, svg } from "./element.js";
import { clock } from "./time.js";

const JOIN_HEIGHT = 26;

export class StageRibbons {
  /** `on`: {stage(id), seek(side, seconds)} */
  constructor(container, on) {
    Object.assign(this, { container, on });
  }

  /** `stages` of the result; `lengths` {a, b} in seconds; `chosen`: a stage's id. */
  show(stages, lengths, chosen) {
    this.longest = Math.max(lengths.a, lengths.b, 0.1);
    const percent = (milliseconds) => (milliseconds / 10 / this.longest);
    const row = (side) => element("div", { class: "ribbon", "data-side": side, role: "group", "aria-label": `Stages of ${side.toUpperCase()}` },
      element("span", { class: "ribbon-name" }, side.toUpperCase()),
      element("div", { class: "ribbon-bar", style: { width: `${(lengths[side] / this.longest) * 100}%` } }),
      stages.map((stage, place) => (stage[side]
        ? element("button", { type: "button", class: `stage stage-${place % 6}`, "aria-pressed": String(stage.id === chosen), title: `${stage.name}: ${clock(stage[side][0] / 1000)} to ${clock(stage[side][1] / 1000)}`,
          style: { left: `${percent(stage[side][0])}%`, width: `${Math.max(0.6, percent(stage[side][1] - stage[side][0]))}%` }, on: { click: () => this.on.stage(stage.id) } }, stage.name)
        : null)),
      element("i", { class: "ribbon-head" }));
    const joins = svg("svg", { class: "joins", viewBox: `0 0 1000 ${JOIN_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...stages.map((stage, place) => {
        if (!stage.a || !stage.b) return null;
        const [a0, a1, b0, b1] = [stage.a[0], stage.a[1], stage.b[0], stage.b[1]].map((value) => percent(value) * 10);
        return svg("polygon", { class: `join-${place % 6}${stage.id === chosen ? " chosen" : ""}`, points: `${a0},0 ${a1},0 ${b1},${JOIN_HEIGHT} ${b0},${JOIN_HEIGHT}` });
      }).filter(Boolean));
    const missing = stages.filter((stage) => !stage.a || !stage.b);
    this.container.replaceChildren(element("div", { class: "ribbons" }, row("a"), joins, row("b")),
      missing.length ? element("p", { class: "hint" }, missing.map((stage) => `“${stage.name}” was not found in ${stage.a ? "B" : stage.b ? "A" : "either video"}`).join("; "), ". What belongs to it could not be judged.") : "");
    this.heads = ["a", "b"].map((side) => this.container.querySelector(`[data-side="${side}"] .ribbon-head`));
  }

  tick(a, b) {
    [a, b].forEach((time, place) => { if (this.heads?.[place]) this.heads[place].style.left = `${(time / this.longest) * 100}%`; });
  }
}
