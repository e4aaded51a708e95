// The plot of similarity over time: lines below, and above them all that moves and all that can be pointed at.
import { Axis, MARGIN, clampedWindow } from "./axis.js";
import { element } from "./element.js";
import { Lines } from "./lines.js";
import { swatch } from "./palette.js";
import { clock, placeAt } from "./time.js";

const CLICK_PIXELS = 4; // a pointer that moved less has clicked

/**
 * Events: `seek` {time, once}: a click, at the time under the pointer's own pixel · `window` {window}: [start, end] or null ·
 * `threshold` {value}.
 */
export class Curves extends EventTarget {
  constructor(container) {
    super();
    this.container = container;
    this.picture = null;
    this.time = 0;
    const lines = element("div", { class: "lines", "aria-hidden": "true" });
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.playhead = element("div", { class: "playhead", hidden: true });
    this.target = element("div", { class: "target", hidden: true });
    this.hoverLine = element("div", { class: "hover", hidden: true });
    this.brush = element("div", { class: "brush", hidden: true });
    this.tip = element("div", { class: "tip", hidden: true });
    this.handle = element("button", { type: "button", role: "slider", "aria-label": "Threshold", "aria-orientation": "vertical" });
    this.threshold = element("div", { class: "threshold", hidden: true }, this.handle);
    this.empty = element("div", { class: "empty", hidden: true });
    this.hand = element("div", { class: "hand", tabindex: "0", role: "slider", "aria-label": "Time in the plot", "aria-valuemin": "0" },
      this.hoverLine, this.brush, this.target, this.playhead);
    container.append(this.canvas, lines, this.hand, this.threshold, this.empty, this.tip);
    this.lines = new Lines(lines, (error) => this.tell("trouble", { message: error.message }));
    this.#pointers();
    this.#thresholdDrag();
    new ResizeObserver(() => this.picture && this.show(this.picture)).observe(container);
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #tellThreshold(value) {
    const { low, high } = this.picture;
    this.picture.threshold = Math.round(Math.min(high, Math.max(low, value)) * 10_000) / 10_000; // as the address holds it
    this.#placeThreshold();
    this.tell("threshold", { value: this.picture.threshold });
  }

  get axis() {
    const [start, end] = this.picture?.window ?? [0, this.picture?.duration ?? 1];
    return new Axis(start, end, this.container.clientWidth);
  }

  /**
   * `picture`: {duration, window|null, curves: [{slot, text, times, values, faint, thin}], low, high, decimals,
   * threshold|null, segments, gaps, describe(value, slot), thumbnail(time)|null, empty: nodes|null}
   */
  show(picture) {
    this.picture = picture;
    const height = this.container.clientHeight;
    if (!height || !this.container.clientWidth) return;
    const { axis } = this;
    this.lines.draw({ axis, low: picture.low, high: picture.high, height, curves: picture.curves, decimals: picture.decimals });
    this.#shade(axis, height);
    this.hand.setAttribute("aria-valuemax", picture.duration.toFixed(2));
    this.empty.hidden = !picture.empty;
    if (picture.empty && this.empty.dataset.key !== picture.empty.key) {
      this.empty.dataset.key = picture.empty.key;
      this.empty.replaceChildren(...picture.empty.nodes());
    } else if (!picture.empty) delete this.empty.dataset.key;
    this.#placeThreshold();
    this.setTime(this.time);
  }

  /** Moves the playhead; called for each presented frame, so it does nothing else. */
  setTime(time) {
    this.time = time;
    const { axis } = this;
    this.playhead.hidden = !this.picture || !axis.has(time);
    this.playhead.style.transform = `translateX(${axis.pixelOf(time).toFixed(2)}px)`;
    this.hand.setAttribute("aria-valuenow", time.toFixed(2));
    this.hand.setAttribute("aria-valuetext", clock(time));
  }

  /** Where a seek is going: a dashed line until the frame is there. */
  setTarget(time) {
    this.target.hidden = time === null || !this.axis.has(time);
    if (time !== null) this.target.style.transform = `translateX(${this.axis.pixelOf(time).toFixed(2)}px)`;
  }

  #valueAt(pixel) {
    const { low, high } = this.picture;
    const inner = this.container.clientHeight - MARGIN.t - MARGIN.b;
    return high - ((pixel - MARGIN.t) / inner) * (high - low);
  }

  #placeThreshold() {
    const { threshold, low, high, decimals } = this.picture;
    this.threshold.hidden = !Number.isFinite(threshold);
    if (this.threshold.hidden) return;
    const inner = this.container.clientHeight - MARGIN.t - MARGIN.b;
    const share = Math.min(1, Math.max(0, (high - threshold) / (high - low)));
    this.threshold.style.transform = `translateY(${(MARGIN.t + share * inner).toFixed(2)}px)`;
    this.handle.textContent = `threshold ${threshold.toFixed(decimals)}`;
    for (const [name, value] of [["valuemin", low], ["valuemax", high], ["valuenow", threshold]]) this.handle.setAttribute(`aria-${name}`, value.toFixed(decimals));
  }

  #shade(axis, height) {
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = this.container.clientWidth * scale;
    this.canvas.height = height * scale;
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const inner = height - MARGIN.t - MARGIN.b;
    const spans = (list, paint) => {
      for (const { start, end } of list) {
        const left = axis.pixelOf(Math.max(start, axis.start));
        const right = axis.pixelOf(Math.min(end, axis.end));
        if (right > left) paint(left, Math.max(1, right - left));
      }
    };
    context.fillStyle = style.getPropertyValue("--band");
    spans(this.picture.segments, (left, width) => context.fillRect(left, MARGIN.t, width, inner));
    context.strokeStyle = style.getPropertyValue("--hatch");
    context.lineWidth = 2;
    spans(this.picture.gaps, (left, width) => {
      context.save();
      context.beginPath();
      context.rect(left, MARGIN.t, width, inner);
      context.clip();
      context.beginPath();
      for (let x = left - inner - ((left - inner) % 9); x < left + width; x += 9) {
        context.moveTo(x, MARGIN.t + inner);
        context.lineTo(x + inner, MARGIN.t);
      }
      context.stroke();
      context.restore();
    });
  }

  #pointers() {
    const { hand } = this;
    const pixel = (event) => event.clientX - hand.getBoundingClientRect().left;
    let down = null;
    hand.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.picture) return;
      down = { x: pixel(event), moved: false, shift: event.shiftKey };
      hand.setPointerCapture(event.pointerId);
    });
    hand.addEventListener("pointermove", (event) => {
      if (!this.picture) return;
      const x = pixel(event);
      if (down && Math.abs(x - down.x) > CLICK_PIXELS) down.moved = true;
      this.brush.hidden = !down?.moved;
      if (down?.moved) {
        this.brush.style.left = `${Math.min(x, down.x)}px`;
        this.brush.style.width = `${Math.abs(x - down.x)}px`;
      }
      if (event.pointerType !== "touch") this.#hover(x);
    });
    const up = (event) => {
      const begun = down;
      down = null;
      this.brush.hidden = true;
      if (!begun || event.type === "pointercancel") return;
      const { axis } = this;
      const clamp = (time) => Math.min(Math.max(0, time), this.picture.duration);
      if (!begun.moved) return this.tell("seek", { time: clamp(axis.timeAt(pixel(event))), once: begun.shift });
      const [start, end] = [begun.x, pixel(event)].sort((a, b) => a - b).map((x) => clamp(axis.timeAt(x)));
      this.tell("window", { window: clampedWindow([start, end], this.picture.duration) });
    };
    hand.addEventListener("pointerup", up);
    hand.addEventListener("pointercancel", up);
    hand.addEventListener("pointerleave", () => { this.tip.hidden = this.hoverLine.hidden = true; });
    hand.addEventListener("dblclick", () => this.tell("window", { window: null }));
    hand.addEventListener("wheel", (event) => {
      if (!event.ctrlKey || !this.picture) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 300), this.axis.timeAt(pixel(event)));
    }, { passive: false });
  }

  /** Makes the shown window `factor` times as long, with `centre` staying where it is. */
  zoom(factor, centre = this.time) {
    if (!this.picture) return;
    const { axis } = this;
    const middle = axis.has(centre) ? centre : (axis.start + axis.end) / 2;
    const next = clampedWindow([middle - (middle - axis.start) * factor, middle + (axis.end - middle) * factor], this.picture.duration);
    this.tell("window", { window: next[1] - next[0] >= this.picture.duration - 1e-6 ? null : next });
  }

  #hover(x) {
    const { axis } = this;
    const time = Math.min(Math.max(0, axis.timeAt(x)), this.picture.duration);
    this.hoverLine.hidden = this.tip.hidden = false;
    this.hoverLine.style.transform = `translateX(${x.toFixed(1)}px)`;
    const rows = this.picture.curves.filter((curve) => curve.times.length).map((curve) => {
      const value = curve.values[placeAt(curve.times, time)];
      return element("div", { class: "line" }, swatch(curve.slot), element("span", {}, curve.text),
        element("span", {}, this.picture.describe(value, curve.slot)));
    });
    this.tip.replaceChildren(...[this.picture.thumbnail?.(time), element("strong", {}, clock(time)), ...rows].filter(Boolean));
    const right = x + 16 + this.tip.offsetWidth > this.container.clientWidth;
    this.tip.style.transform = `translateX(${right ? Math.max(0, x - this.tip.offsetWidth - 14) : x + 14}px)`;
  }

  #thresholdDrag() {
    const { handle } = this;
    const move = (event) => {
      this.#tellThreshold(this.#valueAt(event.clientY - this.container.getBoundingClientRect().top));
    };
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => { if (handle.hasPointerCapture(event.pointerId)) move(event); });
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }[event.key];
      if (!steps) return;
      event.preventDefault();
      event.stopPropagation();
      const { threshold, low, high } = this.picture;
      this.#tellThreshold(threshold + (steps * (high - low)) / 100);
    });
  }
}
