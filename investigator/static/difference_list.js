// The differences of a result: for each the frames that were looked at, the verdict, how sure, and a way to correct a frame.
import { element } from "./element.js";
import { action } from "./notice.js";
import { save } from "./server.js";
import { clock } from "./time.js";

const VERDICTS = { a: ["applies more to A", "a"], b: ["applies more to B", "b"], none: ["no clear difference", ""], undecided: ["could not judge: the two answers disagree", "warn"], invalid: ["could not judge", "warn"] };
const FILTERS = [["", "all verdicts"], ["a", "more in A"], ["b", "more in B"], ["none", "no clear difference"], ["open", "could not judge"], ["stale", "stale"]];

export class DifferenceList {
  /** `on`: {chosen(difference), frame(difference, side, place), useShown(difference, side, place), rerun(difference), filter(value)} */
  constructor(container, on) {
    Object.assign(this, { container, on });
  }

  /** `result` of the server; `chosen` {difference, side, place} or null; `filter` one of FILTERS. */
  show(result, chosen, filter) {
    const kept = result.differences.filter((one) => !filter || (filter === "stale" ? one.stale : filter === "open" ? ["undecided", "invalid"].includes(one.answer) : one.answer === filter));
    const count = (answers) => result.differences.filter((one) => answers.includes(one.answer)).length;
    const select = element("select", { "aria-label": "Which verdicts", on: { change: () => this.on.filter(select.value) } }, FILTERS.map(([value, label]) => element("option", { value, selected: value === filter }, label)));
    const summary = [`${result.differences.length} ${result.differences.length === 1 ? "difference" : "differences"}`, `${count(["a"])} more in A`, `${count(["b"])} more in B`, `${count(["none"])} no clear difference`,
      count(["undecided", "invalid"]) ? `${count(["undecided", "invalid"])} could not be judged` : null].filter(Boolean).join(" · ");
    const active = document.activeElement?.dataset?.key;
    this.container.replaceChildren(
      element("div", { class: "card-head" }, element("h2", {}, "Differences"), element("span", { class: "count" }, summary),
        element("div", { class: "tools" }, select, action({ label: "JSON", act: () => saveAll(result, "json") }), action({ label: "CSV", act: () => saveAll(result, "csv") }))),
      element("p", { class: "hint judge" }, `Judged by ${result.judge || "an unnamed judge"}.${result.can_rerun ? "" : ` ${result.why_not ?? "A verdict cannot be made anew here."}`}`),
      kept.length ? element("ul", { class: "difference-list" }, kept.map((one) => this.#row(result, one, chosen))) : element("p", { class: "notice plain" }, "No difference has this verdict."));
    if (active) this.container.querySelector(`[data-key="${CSS.escape(active)}"]`)?.focus();
  }

  #row(result, one, chosen) {
    const [words, kind] = VERDICTS[one.answer] ?? [one.verdict, ""];
    const here = chosen?.difference === one.id;
    const names = one.stages.map((id) => result.stages.find((stage) => stage.id === id)?.name).filter(Boolean).join(", ");
    const lost = one.stages.every((id) => { const stage = result.stages.find((other) => other.id === id); return stage && (!stage.a || !stage.b); });
    const confidence = Number.isFinite(one.confidence);
    return element("li", { class: "difference", "data-chosen": here, "data-id": one.id },
      element("div", { class: "difference-head" },
        element("h3", {}, element("button", { type: "button", class: "link", "data-key": `${one.id} go`, on: { click: () => this.on.chosen(one) } }, one.statement || one.name)),
        element("span", { class: "soft" }, names)),
      element("div", { class: "difference-frames" }, ["a", "b"].map((side) => this.#frames(result, one, side, here ? chosen : null))),
      element("div", { class: "difference-verdict" },
        element("strong", { class: `verdict ${kind ? `verdict-${kind}` : ""}` }, lost ? "could not judge: a stage is missing" : words),
        confidence && element("span", { class: "field" }, element("span", {}, "confidence"), element("meter", { min: 0, max: 1, value: one.confidence, "aria-label": "confidence" }), element("span", { class: "number" }, one.confidence.toFixed(2))),
        one.stale && element("span", { class: "tag warn" }, "frames edited, verdict stale"),
        one.stale && action({ label: "Judge again", act: () => this.on.rerun(one), disabled: !result.can_rerun, title: result.can_rerun ? null : result.why_not, "data-key": `${one.id} rerun` }),
        one.explanation && element("details", {}, element("summary", {}, "why"), element("p", { class: "soft" }, one.explanation))));
  }

  #frames(result, one, side, chosen) {
    const video = result.videos[side];
    const times = one[`${side}_ms`];
    return element("div", { class: "frames", role: "group", "aria-label": `Frames of ${side.toUpperCase()}` },
      element("span", { class: "side" }, side.toUpperCase()),
      times.length ? times.map((time, place) => {
        const here = chosen?.side === side && chosen.place === place;
        return element("figure", {},
          element("button", { type: "button", "aria-pressed": String(here), "data-key": `${one.id} ${side} ${place}`, "aria-label": `${side.toUpperCase()} at ${clock(time / 1000)}`, on: { click: () => this.on.frame(one, side, place) } },
            video ? element("img", { src: `api/videos/${video.id}/frame?time_ms=${time}&width=320`, alt: "", loading: "lazy", width: 128, height: 80 }) : element("span", { class: "thumb none" }, "no file"),
            element("span", { class: "number" }, clock(time / 1000))),
          here && action({ label: "Use the frame on screen", act: () => this.on.useShown(one, side, place), "data-key": `${one.id} ${side} ${place} use` }));
      }) : element("p", { class: "soft" }, `not found in ${side.toUpperCase()}`));
  }
}

function saveAll(result, format) {
  const cell = (value) => { // a spreadsheet must not take a text for a formula
    const text = String(value ?? "");
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const keys = ["id", "name", "statement", "answer", "confidence", "explanation", "stale", "a_ms", "b_ms"];
  const text = format === "json" ? JSON.stringify(result, null, 1)
    : [keys.join(","), ...result.differences.map((one) => keys.map((key) => cell(Array.isArray(one[key]) ? one[key].join(" ") : one[key])).join(","))].join("\r\n");
  const address = URL.createObjectURL(new Blob([text], { type: format === "json" ? "application/json" : "text/csv" }));
  save(address, `differences.${format}`);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
