// What a search over all videos found: one row a video, with its whole length as a strip and its best moments to press.
import { element } from "./element.js";
import { failure, notice } from "./notice.js";
import { swatch } from "./palette.js";
import { percent, wordFor, written } from "./scales.js";
import { clock, span } from "./time.js";

const ORDERS = { best: ["Best moment", (a, b) => b.best.odds - a.best.odds], matching: ["Matching time", (a, b) => b.matching_ms - a.matching_ms],
  name: ["Name", (a, b) => a.video.name.localeCompare(b.video.name)], newest: ["Newest first", (a, b) => b.video.modified_ms - a.video.modified_ms] };

export class SearchResults {
  /** `on`: {open(video, seconds), analyse()} */
  constructor(container, on) {
    Object.assign(this, { container, on, found: null, order: "best" });
  }

  /** A notice's parts instead of results; null: searching. */
  say(parts) {
    this.found = null;
    this.container.replaceChildren(parts ? notice({ level: "h2", ...parts }) : element("p", { class: "card soft searching" }, "Searching…"));
  }

  fail(error, again) {
    this.found = null;
    this.container.replaceChildren(failure(error, [{ label: "Try again", first: true, act: again }]));
  }

  /** The same once more, in the present theme's colours. */
  again() { if (this.found) this.show(this.found, this.queries); }

  show(found, queries) {
    Object.assign(this, { found, queries });
    const slots = new Map(queries.map((query) => [query.id, query.slot]));
    const good = found.results.filter((result) => result.best.odds >= 0);
    const rest = found.results.filter((result) => result.best.odds < 0);
    const order = element("select", { "aria-label": "Order of what was found", on: { change: () => { this.order = order.value; this.show(found, queries); } } },
      Object.entries(ORDERS).map(([value, [label]]) => element("option", { value, selected: value === this.order }, label)));
    const sorted = (list) => [...list].sort(ORDERS[this.order][1]);
    const more = found.not_analysed ? ` ${found.not_analysed} more ${found.not_analysed === 1 ? "is" : "are"} not analysed.` : "";
    const head = element("div", { class: "results-head" }, element("h2", {}, good.length ? `In ${good.length} of ${found.videos_searched} videos` : "Nothing stands out"),
      element("span", { class: "count" }, more), good.length > 1 && order);
    const nodes = [head];
    if (!found.videos_searched) nodes.push(notice({ title: "No video is analysed yet", words: "Search looks at what the analysis stored.", actions: [{ label: "Analyse the new ones", first: true, act: () => this.on.analyse() }] }));
    else if (!good.length) nodes.push(notice({ title: "No video has a moment that fits", words: "Even the best frames fit neutral texts as well. Other, plainer words may do better; the best guesses stand below." }));
    nodes.push(...sorted(good).map((result) => this.#row(result, slots)));
    if (rest.length) nodes.push(element("details", { class: "guesses", open: !good.length }, element("summary", {}, `${rest.length} with guesses within noise`), sorted(rest).map((result) => this.#row(result, slots))));
    this.container.replaceChildren(...nodes);
  }

  #row({ video, best, moments, strip, matching_ms: matching }, slots) {
    const open = (time) => this.on.open(video, time);
    return element("article", { class: "card result" },
      element("div", { class: "result-head" },
        element("h3", {}, element("button", { type: "button", class: "link", on: { click: () => open(best.time_ms / 1000) } }, video.name)),
        element("span", { class: `tag ${best.odds >= 2.2 ? "good" : best.odds >= 0 ? "warn" : ""}`, title: `${percent(best.odds)} against neutral texts` }, `${written(best.odds, "baseline")} ${wordFor(best.odds)}`),
        element("span", { class: "count" }, matching ? `${span(matching / 1000)} in all` : "", video.duration_ms ? ` of ${clock(video.duration_ms / 1000, 0)}` : "")),
      this.#strip(video, strip, open),
      element("ul", { class: "moments" }, moments.filter((moment) => moment.odds >= 0 || best.odds < 0).slice(0, 5).map((moment) => element("li", {}, element("button", { type: "button", on: { click: () => open(moment.time_ms / 1000) } },
        element("img", { class: "thumb", src: `api/videos/${video.id}/frame?time_ms=${moment.time_ms}&width=320`, alt: "", loading: "lazy", width: 144, height: 90 }),
        element("span", { class: "number" }, slots.has(moment.query) && swatch(slots.get(moment.query)), " ", clock(moment.time_ms / 1000, 1), element("span", { class: "soft" }, ` ${written(moment.odds, "baseline")}`)))))));
  }

  #strip(video, strip, open) {
    const canvas = element("canvas", { class: "strip", width: strip.length, height: 1, "aria-hidden": "true", title: "the whole video; press to go there" });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    strip.forEach((value, x) => { context.globalAlpha = Math.min(1, Math.max(0, value)); context.fillRect(x, 0, 1, 1); });
    canvas.addEventListener("click", (event) => { if (video.duration_ms) open((event.offsetX / canvas.clientWidth) * (video.duration_ms / 1000)); });
    return canvas;
  }
}
