// The keys, in one table that both listens and explains itself.
import { byId, element } from "./element.js";
import { icon } from "./icons.js";

const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

/** A key of the table: `keys` as KeyboardEvent.key, `label` how it is printed, `words` what it does, `act(event)`. */
export class Keyboard {
  constructor() {
    this.tables = new Map(); // mode -> rows
    this.mode = "watch";
    addEventListener("keydown", (event) => this.#hear(event));
    const dialog = byId("help-dialog");
    byId("help").addEventListener("click", () => this.help());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }

  set(mode, rows) { this.tables.set(mode, rows); }

  help() {
    const dialog = byId("help-dialog");
    if (dialog.open) return dialog.close();
    const rows = [...(this.tables.get(this.mode) ?? []), { label: "?", words: "this sheet" }, { label: "Esc", words: "close it" }];
    dialog.replaceChildren(
      element("div", { class: "help-head" }, element("h2", { id: "help-title" }, `Keys in ${this.mode === "watch" ? "Watch" : this.mode === "library" ? "Library" : "Compare"}`),
        element("button", { type: "button", class: "icon", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("remove"))),
      element("div", { class: "help-keys" }, rows.map((row) => element("div", {}, element("span", {}, row.words), element("span", {}, row.label.split(" ").map((key) => element("kbd", {}, key)))))),
      element("p", { class: "hint" }, "Keys rest while you type. In the plot: click goes there, Shift-click plays the segment once, drag zooms, double-click shows all, Ctrl and wheel zoom at the pointer."));
    dialog.showModal();
  }

  #hear(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.matches(TYPING)) return;
    if (event.key === "?") {
      event.preventDefault();
      return this.help();
    }
    const presses = (event.key === " " || event.key === "Enter") && target.closest("button, a, summary, input, label, [role=button]");
    const slides = target.matches("input[type=range], input[type=radio]") && /^Arrow|^Home|^End|^Page/.test(event.key);
    if (presses || slides) return; // the control's own meaning of the key
    const row = (this.tables.get(this.mode) ?? []).find((one) => one.keys?.includes(event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!row) return;
    event.preventDefault();
    row.act(event);
  }
}
