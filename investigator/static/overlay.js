// B laid over A: a wipe whose edge follows the pointer, or one shining through the other.
import { element } from "./element.js";

const VIEWS = [["", "side by side"], ["wipe", "wipe"], ["blend", "see-through"]];

export class Overlay {
  /** `sides` holds A's and B's cards · `choose(view)`. */
  constructor(sides, choose) {
    this.sides = sides;
    this.share = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "From A to B", on: { input: () => this.#place() } });
    this.inputs = VIEWS.map(([value]) => element("input", { type: "radio", name: "view", value, on: { change: () => choose(value) } }));
    this.node = element("div", { class: "row" }, element("div", { class: "choice", role: "radiogroup", "aria-label": "How the two are shown" },
      VIEWS.map(([, label], place) => element("label", {}, this.inputs[place], label))), this.share);
    sides.addEventListener("pointermove", (event) => {
      const screen = this.view === "wipe" && event.pointerType === "mouse" && event.target.closest(".screen")?.getBoundingClientRect();
      if (!screen) return;
      this.share.value = (event.clientX - screen.left) / screen.width;
      this.#place();
    });
    this.#place();
  }

  /** The view behind this one, round and round. */
  get next() { return VIEWS[(VIEWS.findIndex(([value]) => value === this.view) + 1) % VIEWS.length][0]; }

  show(view) {
    this.view = VIEWS.some(([value]) => value === view) ? view : "";
    this.sides.dataset.view = this.view;
    for (const input of this.inputs) input.checked = input.value === this.view;
    this.share.hidden = !this.view;
  }

  #place() { this.sides.style.setProperty("--share", this.share.value); }
}
