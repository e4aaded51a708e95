// The search box of the library: texts as chips, any or all of them, some to be left out.
import { element } from "./element.js";
import { icon } from "./icons.js";
import { swatch } from "./palette.js";
import { wordsOf } from "./queries.js";

export class QueryChips {
  constructor(container, queries, state, limits, words = { label: "Text to look for in all videos", placeholder: "Look for something in all videos", button: "Search" }) {
    Object.assign(this, { queries, state });
    this.input = element("input", { type: "text", "aria-label": words.label, placeholder: words.placeholder, maxlength: limits.text_characters, autocomplete: "off" });
    this.negative = element("input", { type: "checkbox" });
    this.error = element("p", { class: "error", role: "alert", hidden: true });
    this.chips = element("ul", { class: "chips", "aria-label": "Looking for" });
    this.match = element("select", { "aria-label": "How texts combine", on: { change: () => state.set({ match: this.match.value }) } },
      element("option", { value: "any" }, "any of them"), element("option", { value: "all" }, "all of them"));
    container.append(element("form", { role: "search", on: { submit: (event) => { event.preventDefault(); this.#add(); } } },
      element("div", { class: "row" }, this.input, element("label", { class: "check", title: "Leave out videos' moments that look like this" }, this.negative, "not this"),
        element("button", { type: "submit", class: "first" }, words.button)), this.error),
    element("div", { class: "row" }, this.chips, this.match));
  }

  #add() {
    const text = this.input.value.trim().replace(/\s+/g, " ");
    if (!text) return this.input.focus();
    const slot = this.queries.add({ kind: "text", text, negative: this.negative.checked });
    this.error.hidden = slot !== null;
    this.error.textContent = slot === null ? "Twelve texts are looked for already. Remove one first." : "";
    this.input.value = "";
    this.negative.checked = false;
  }

  show() {
    const { list } = this.queries;
    this.chips.replaceChildren(...list.map((query) => element("li", { class: "chip" }, swatch(query.slot), query.negative && element("strong", {}, "not"), element("span", {}, wordsOf(query)),
      query.state === "failed" && element("span", { class: "tag bad", title: query.error.message }, "failed"),
      element("button", { type: "button", class: "icon", "aria-label": `Remove ${wordsOf(query)}`, on: { click: () => { this.queries.remove(query.slot); this.input.focus(); } } }, icon("remove")))));
    this.match.hidden = !("match" in this.state) || list.filter((query) => !query.negative).length < 2;
    this.match.value = this.state.match;
  }
}
