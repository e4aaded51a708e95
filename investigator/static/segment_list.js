// Where the curve of the chosen text is above the threshold, as a list: the plot in words, to keep, reject and take along.
import { announce, element } from "./element.js";
import { icon } from "./icons.js";
import { notice } from "./notice.js";
import { written } from "./scales.js";
import { clock, span } from "./time.js";

const FORMATS = [["csv", "CSV table"], ["json", "JSON"], ["vtt", "WebVTT cues"], ["edl", "EDL (CMX 3600)"], ["chapters", "Chapters for a description"]];
const SETTINGS = [["drop", "Ends below threshold by", 0, 0.01], ["shortest", "Shortest, seconds", 0, 0.1], ["join", "Join gaps up to, seconds", 0, 0.1],
  ["padding", "Room before and after, seconds", 0, 0.1]];

export class SegmentList {
  /** `on`: {seek(time), once(segment), change(values of the state), plot(): the plot as a file, link(): copies one to this moment} */
  constructor({ head, body, session, on }) {
    Object.assign(this, { head, body, session, on, state: session.state });
    this.segments = [];
    this.total = element("span", { class: "count", id: "segments-count" });
    this.only = element("select", { "aria-label": "Which segments" },
      [["not_rejected", "all but rejected"], ["kept", "kept only"], ["all", "all"]].map(([value, label]) => element("option", { value }, label)));
    this.inputs = Object.fromEntries(SETTINGS.map(([key, , least, step]) => [key, element("input", { type: "number", min: least, step,
      on: { change: () => on.change({ [key]: this.inputs[key].value === "" ? null : Math.max(least, Number(this.inputs[key].value)) }) } })]));
    head.append(this.total, element("div", { class: "tools" }, this.#settings(), this.#exports()));
  }

  #settings() {
    return element("details", { class: "menu quiet" }, element("summary", { "aria-label": "How segments are cut" }, icon("tune"), "Cut"),
      element("div", {}, SETTINGS.map(([key, label]) => element("label", { class: "field" }, element("span", {}, label), this.inputs[key])),
        element("p", { class: "hint" }, "A segment begins where the curve reaches the threshold. Smoothing is for the eye: segments do not use it.")));
  }

  #exports() {
    const menu = element("details", { class: "menu" }, element("summary", {}, icon("export"), "Export"));
    const item = (label, act) => element("button", { type: "button", on: { click: () => { menu.open = false; menu.querySelector("summary").focus(); act(); } } }, label);
    menu.append(element("div", {},
      element("label", { class: "field" }, element("span", {}, "Take"), this.only),
      FORMATS.map(([format, label]) => item(label, () => this.session.exportFile(format, "segments", this.only.value))),
      item("Clips, cut exactly", () => this.session.cutClips("exact", this.only.value)),
      item("Clips, copied from key frames", () => this.session.cutClips("copy", this.only.value)),
      item("All scores as CSV", () => this.session.exportFile("csv", "scores", "all")),
      item("All scores as JSON", () => this.session.exportFile("json", "scores", "all")),
      item("The plot as PNG", () => this.on.plot()), item("Copy a link to this moment", () => this.on.link())));
    return menu;
  }

  /** `found`: {segments: [{start, end, peak, peakTime, state}], precision} or null with `empty`: a notice's parts. */
  show({ found, query, empty }) {
    this.segments = found?.segments ?? [];
    for (const [key] of SETTINGS) {
      const input = this.inputs[key];
      if (document.activeElement !== input) input.value = Number.isFinite(this.state[key]) ? this.state[key] : "";
      if (key === "drop") input.placeholder = Number.isFinite(found?.drop) ? String(Math.round(found.drop * 1000) / 1000) : "";
      else input.placeholder = "0";
    }
    const total = this.segments.reduce((sum, one) => sum + one.end - one.start, 0);
    this.total.textContent = this.segments.length ? `${this.segments.length} · ${span(total)}${precisionWords(found.precision)}` : "";
    if (!this.segments.length) {
      const key = JSON.stringify(empty?.title ?? "");
      if (this.body.dataset.key !== key) this.body.replaceChildren(...(empty ? [notice({ kind: "plain", level: "h3", ...empty })] : []));
      this.body.dataset.key = key;
      return;
    }
    delete this.body.dataset.key;
    const shown = [found, this.session.sprites?.sheet, query];
    if (this.body.firstElementChild?.matches(".segment-list") && shown.every((one, place) => one === this.shown[place])) return;
    this.shown = shown;
    const active = document.activeElement?.dataset?.key;
    const scroll = this.body.scrollTop;
    this.body.replaceChildren(element("ol", { class: "segment-list", "aria-label": `Segments for ${query}` }, this.segments.map((one, place) => this.#row(one, place))));
    this.body.scrollTop = scroll;
    if (active) this.body.querySelector(`[data-key="${active}"]`)?.focus();
    this.tick(this.time ?? 0);
  }

  /** Marks the segment under the playhead. */
  tick(time) {
    this.time = time;
    this.body.querySelectorAll(".segment").forEach((row, place) => {
      const one = this.segments[place];
      row.toggleAttribute("data-here", Boolean(one) && time >= one.start && time < one.end);
    });
  }

  /** The neighbour of the segment at `time`, in direction 1 or -1; played from its peak on by the caller. */
  next(time, direction) {
    const found = direction > 0 ? this.segments.findIndex((one) => one.start > time + 1e-3) : this.segments.findLastIndex((one) => one.start < time - 0.3);
    if (found < 0) return null;
    announce(`segment ${found + 1} of ${this.segments.length}`);
    return this.segments[found];
  }

  at(time) { return this.segments.find((one) => time >= one.start && time < one.end) ?? null; }

  #row(one, place) {
    const words = `${clock(one.start, 1)} to ${clock(one.end, 1)}`;
    const mark = (state, label) => element("button", { type: "button", class: state, "aria-pressed": String(one.state === state), "data-key": `${place} ${state}`,
      "aria-label": `${label} segment ${words}`, on: { click: () => this.session.mark(one, one.state === state ? null : state) } }, icon(state === "keep" ? "keep" : "remove"), label);
    return element("li", { class: "segment", "data-mark": one.state },
      element("button", { type: "button", class: "go", "data-key": `${place} go`, title: "Go there; with Shift: play it once",
        on: { click: (event) => (event.shiftKey ? this.on.once(one) : this.on.seek(one.peakTime)) } },
      this.session.sprites?.picture(one.peakTime, 64, one),
      element("span", {}, element("span", { class: "when" }, `${clock(one.start, 1)} – ${clock(one.end, 1)}`), element("br"),
        element("span", { class: "peak" }, `${span(one.end - one.start)} · peak ${written(one.peak, this.session.scale)} at ${clock(one.peakTime, 1)}`))),
      element("div", { class: "marks" }, mark("keep", "Keep"), mark("reject", "Reject")));
  }
}

function precisionWords(precision) {
  return precision === null || precision === undefined ? "" : ` · ${Math.round(precision * 100)} % of the judged kept`;
}
