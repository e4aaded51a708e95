// The choices above the plot: scale, smoothing, following the playhead, zoom.
import { element } from "./element.js";
import { icon } from "./icons.js";
import { SCALES } from "./scales.js";

export class CurveTools {
  /** `zoom(factor)`; factor 0: the whole video. */
  constructor(head, meaning, session, zoom) {
    Object.assign(this, { meaning, session });
    const { state } = session;
    this.radios = Object.entries(SCALES).map(([key, scale]) => {
      const input = element("input", { type: "radio", name: "scale", value: key, on: { change: () => state.set({ scale: key, threshold: null, drop: null }) } });
      return { key, input, label: element("label", {}, input, scale.name) };
    });
    this.smooth = element("input", { type: "range", min: 0, max: 3, step: 0.25, value: 0, on: { input: () => state.set({ smooth: Number(this.smooth.value) }) } });
    this.smoothWords = element("span", { class: "number" });
    this.follow = element("input", { type: "checkbox", on: { change: () => state.set({ still: !this.follow.checked }) } });
    this.whole = element("button", { type: "button", class: "icon", "aria-label": "The whole video", title: "The whole video (double-click in the plot)", on: { click: () => zoom(0) } }, icon("whole"));
    const step = (sign, label, factor) => element("button", { type: "button", class: "icon", "aria-label": label, title: label, on: { click: () => zoom(factor) } }, icon(sign));
    head.append(
      element("div", { class: "choice", role: "radiogroup", "aria-label": "Scale" }, this.radios.map((one) => one.label)),
      element("label", { class: "field" }, element("span", {}, "Smooth"), this.smooth, this.smoothWords),
      element("label", { class: "check" }, this.follow, "Follow"),
      element("span", { class: "zooms" }, step("plus", "Zoom in (+)", 0.5), step("minus", "Zoom out (−)", 2), this.whole));
  }

  show() {
    const { state, scale, among } = this.session;
    for (const { key, input, label } of this.radios) {
      input.checked = scale === key;
      if (key !== "share") continue;
      input.disabled = among.length < 2;
      label.title = input.disabled ? "Needs two texts in the plot" : SCALES.share.meaning;
      label.classList.toggle("off", input.disabled);
    }
    if (document.activeElement !== this.smooth) this.smooth.value = state.smooth;
    this.smoothWords.textContent = state.smooth ? `${state.smooth} s` : "off";
    this.smooth.setAttribute("aria-valuetext", this.smoothWords.textContent);
    this.follow.checked = !state.still;
    this.whole.disabled = !state.window;
    const words = `${SCALES[scale].meaning}${state.scale === "share" && scale !== "share" ? " Share needs two texts in the plot." : ""}`;
    if (this.meaning.textContent !== words) this.meaning.textContent = words;
  }
}
