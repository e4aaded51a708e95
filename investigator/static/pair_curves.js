// The curves of both videos for shared texts, on A's clock: A bold, B thin; or A minus B.
import { Curves } from "./curves.js";
import { element } from "./element.js";
import { action } from "./notice.js";
import { wordsOf } from "./queries.js";
import { Reading } from "./reading.js";
import { rangeOf, written } from "./scales.js";
import { post } from "./server.js";

const SCALE = "baseline"; // the one that may be compared between videos

export class PairCurves {
  /** `live`: the server's news · `on`: {seek(seconds), changed()} */
  constructor(container, queries, live, on) {
    Object.assign(this, { queries, readings: { a: null, b: null }, window: null, difference: false });
    this.hint = element("p", { class: "hint" });
    const plot = element("div", { class: "plot" });
    const box = element("input", { type: "checkbox", on: { change: () => { this.difference = box.checked; on.changed(); } } });
    container.append(element("div", { class: "card-head" }, element("h2", {}, "Shared texts, against neutral texts"), element("div", { class: "tools" }, element("label", { class: "check" }, box, "A minus B"))), this.hint, plot);
    this.curves = new Curves(plot);
    this.curves.threshold.remove();
    this.curves.addEventListener("seek", (event) => on.seek(event.detail.time));
    this.curves.addEventListener("window", (event) => { this.window = event.detail.window; on.changed(); });
    live.addEventListener("video", async ({ detail: { video } }) => {
      const lacking = Object.values(this.readings).some((reading) => reading?.video === video.id && !reading.complete);
      if (lacking && video.state === "analysed") { await this.fetch({ again: true }); on.changed(); }
    });
  }

  /** What is lacking for curves of `sides`, and the way there. */
  #lacking(sides) {
    const names = sides.map((side) => side.toUpperCase());
    const key = names.join();
    if (this.hint.dataset.key === key) return;
    this.hint.dataset.key = key;
    this.hint.replaceChildren(sides.length ? `${names.join(" and ")} ${sides.length > 1 ? "are" : "is"} not analysed yet. ` : "On A's clock. A is bold, B thin and paler.",
      ...(sides.length ? [action({ label: sides.length > 1 ? "Analyse both" : `Analyse ${names[0]}`, act: async () => {
        for (const side of sides) await post(`api/videos/${this.readings[side].video}/analyse`);
        this.hint.dataset.key = "";
        this.hint.textContent = "Being analysed: the curves come by themselves.";
      } })] : []));
  }

  open(side, video) {
    this.readings[side] = video ? new Reading(video.id) : null;
    return this.fetch();
  }

  async fetch({ again = false } = {}) {
    const ids = this.queries.ready.map((query) => query.id);
    if (!ids.length) return;
    await Promise.all(Object.values(this.readings).filter(Boolean).map((reading) => reading.fetch(ids, { again }).catch((error) => {
      if (error.code === "not_found") this.queries.encodeAll({ again: true });
    })));
  }

  /** `map`: the ClockMap; `duration` of A's clock in seconds. */
  show(map, duration) {
    const { a, b } = this.readings;
    const curves = [];
    for (const query of this.queries.ready.filter((one) => !one.hidden)) {
      const [one, other] = [a, b].map((reading) => reading?.baseline.get(query.id));
      const text = wordsOf(query);
      if (this.difference && one?.length && other?.length) {
        const values = one.map((value, row) => { const at = b.oddsAt(query.id, map.bOf(a.times[row])); return Number.isFinite(at) ? value - at : 0; });
        curves.push({ slot: query.slot, text: `A − B: ${text}`, times: a.times, values, thin: false, faint: false });
      } else if (!this.difference) {
        if (one?.length) curves.push({ slot: query.slot, text: `A: ${text}`, times: a.times, values: one, thin: false, faint: false });
        if (other?.length) curves.push({ slot: query.slot, text: `B: ${text}`, times: b.times.map((time) => map.aOf(time)), values: other, thin: true, faint: true });
      }
    }
    this.#lacking(["a", "b"].filter((side) => this.readings[side]?.header && !this.readings[side].rows));
    const [low, high] = rangeOf(curves, SCALE, NaN);
    const words = this.queries.list.length ? "No curve yet" : "Add a text to see where it fits in both";
    const empty = curves.length ? null : { key: words, nodes: () => [element("strong", {}, words)] };
    this.curves.show({ duration, window: this.window, curves, low, high, decimals: 1, threshold: NaN, segments: [], gaps: [], empty,
      describe: (value) => written(value, SCALE), thumbnail: () => null });
  }
}
