// The whole video in thin strips, one a text; the window of the plot above is dragged and stretched here.
import { clampedWindow } from "./axis.js";
import { element } from "./element.js";
import { colourOf } from "./palette.js";
import { placeAt } from "./time.js";

const ROW = 9;
const GAP = 2;

/** Events: `window` {window} · `seek` {time}. */
export class Overview extends EventTarget {
  constructor(container) {
    super();
    this.container = container;
    this.picture = null;
    this.canvas = element("canvas", { "aria-hidden": "true", height: ROW });
    this.head = element("div", { class: "head" });
    this.frame = element("div", { class: "window", hidden: true }, element("i"), element("i"));
    container.append(this.canvas, this.frame, this.head);
    container.setAttribute("aria-hidden", "true"); // the plot's keys do the same
    this.#pointers();
    addEventListener("theme", () => { this.drawn = null; });
    new ResizeObserver(() => this.picture && this.show(this.picture)).observe(container);
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** `picture`: as Curves.show takes it. */
  show(picture) {
    this.picture = picture;
    const width = this.container.clientWidth;
    const drawn = [width, picture.duration, picture.low, picture.high, ...picture.curves.flatMap(({ slot, times, values }) => [slot, times, values])];
    if (drawn.length !== this.drawn?.length || drawn.some((one, place) => one !== this.drawn[place])) this.#strips(picture, width);
    this.drawn = drawn;
    this.frame.hidden = !picture.window;
    if (picture.window) {
      this.frame.style.left = `${(picture.window[0] / picture.duration) * 100}%`;
      this.frame.style.width = `${((picture.window[1] - picture.window[0]) / picture.duration) * 100}%`;
    }
  }

  #strips(picture, width) {
    const curves = picture.curves.length ? picture.curves : [{ slot: 10, times: [], values: [] }];
    const scale = window.devicePixelRatio || 1;
    const height = curves.length * (ROW + GAP) - GAP;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--sunk");
    curves.forEach((curve, row) => {
      const top = row * (ROW + GAP);
      context.globalAlpha = 1;
      context.fillStyle = ground;
      context.fillRect(0, top, width, ROW);
      if (!curve.times.length) return;
      context.fillStyle = colourOf(curve.slot);
      let place = 0;
      for (let x = 0; x < width; x += 1) { // the highest row of each column, so that a short peak shows
        const until = ((x + 1) / width) * picture.duration;
        let best = curve.values[place];
        while (place + 1 < curve.times.length && curve.times[place + 1] < until) { place += 1; best = Math.max(best, curve.values[place]); }
        const share = (best - picture.low) / (picture.high - picture.low);
        context.globalAlpha = Math.min(1, Math.max(0, share)) ** 1.6;
        context.fillRect(x, top, 1, ROW);
      }
    });
  }

  setTime(time) {
    if (this.picture) this.head.style.transform = `translateX(${((time / this.picture.duration) * this.container.clientWidth).toFixed(1)}px)`;
  }

  #pointers() {
    let drag = null;
    const timeOf = (event) => {
      const box = this.container.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.picture.duration;
    };
    this.container.addEventListener("pointerdown", (event) => {
      if (!this.picture || event.button !== 0) return;
      const kind = event.target === this.frame ? "move" : event.target.parentNode === this.frame ? (event.target.nextSibling ? "start" : "end") : "new";
      drag = { kind, from: timeOf(event), window: this.picture.window, x: event.clientX, moved: false };
      this.container.setPointerCapture(event.pointerId);
    });
    this.container.addEventListener("pointermove", (event) => {
      if (!drag) return;
      drag.moved ||= Math.abs(event.clientX - drag.x) > 4;
      if (!drag.moved) return;
      const time = timeOf(event);
      const by = time - drag.from;
      const [start, end] = drag.window ?? [drag.from, time];
      const next = { move: [start + by, end + by], start: [Math.min(time, end - 0.2), end], end: [start, Math.max(time, start + 0.2)],
        new: [Math.min(drag.from, time), Math.max(drag.from, time)] }[drag.kind];
      this.tell("window", { window: clampedWindow(next, this.picture.duration) });
    });
    const up = (event) => {
      if (drag && !drag.moved && event.type === "pointerup") this.tell("seek", { time: timeOf(event) });
      drag = null;
    };
    this.container.addEventListener("pointerup", up);
    this.container.addEventListener("pointercancel", up);
    this.container.addEventListener("dblclick", () => this.tell("window", { window: null }));
  }
}

/** The value of a curve at `seconds`: its row that holds there. */
export function valueAt(times, values, seconds) {
  return times.length ? values[placeAt(times, seconds)] : NaN;
}
