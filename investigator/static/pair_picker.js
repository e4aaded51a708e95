// Which two videos, or which result of a differencing run, are compared.
import { element } from "./element.js";
import { get } from "./server.js";

export class PairPicker {
  /** `on`: {result(id | null), side(side, video id), swap()} */
  constructor(container, on) {
    this.on = on;
    this.found = new Map(); // name as listed -> id
    this.results = element("select", { "aria-label": "Result of a differencing run", on: { change: () => on.result(this.results.value || null) } });
    this.choices = element("datalist", { id: "pair-videos" });
    this.fields = Object.fromEntries(["a", "b"].map((side) => [side, element("input", { type: "text", list: "pair-videos", "aria-label": `Video ${side.toUpperCase()}`, placeholder: "type a part of its name", autocomplete: "off",
      on: { input: () => this.#typed(side), change: () => this.#typed(side), focus: () => this.#suggest("") } })]));
    this.resultField = element("label", { class: "field", hidden: true }, element("span", {}, "Result"), this.results);
    container.append(this.resultField,
      element("label", { class: "field" }, element("span", {}, "A"), this.fields.a), element("label", { class: "field" }, element("span", {}, "B"), this.fields.b),
      element("button", { type: "button", class: "quiet", on: { click: () => on.swap() } }, "Swap"), this.choices);
  }

  async fetch() {
    const { results } = await get("api/differences").catch(() => ({ results: [] }));
    this.resultField.hidden = !results.length;
    this.results.replaceChildren(element("option", { value: "" }, "none, just two videos"),
      ...results.map((one) => element("option", { value: one.id }, `${one.action || one.name}: ${one.videos.a} and ${one.videos.b}`)));
    return results;
  }

  show({ result, a, b }) {
    this.results.value = result ?? "";
    for (const [side, video] of [["a", a], ["b", b]]) if (document.activeElement !== this.fields[side]) this.fields[side].value = video?.name ?? "";
  }

  async #suggest(part) {
    const { videos } = await get(`api/videos?${new URLSearchParams({ offset: 0, limit: 40, find: part })}`).catch(() => ({ videos: [] }));
    for (const video of videos) {
      const name = this.found.has(video.name) && this.found.get(video.name) !== video.id ? `${video.name} (${video.folder})` : video.name;
      this.found.set(name, video.id);
    }
    this.choices.replaceChildren(...[...this.found.keys()].map((name) => element("option", { value: name })));
  }

  #typed(side) {
    const { value } = this.fields[side];
    if (this.found.has(value)) return this.on.side(side, this.found.get(value));
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#suggest(value), 200);
  }
}
