// Time to pixels and back, by plain arithmetic from fixed margins: what Plotly draws and what lies above it agree.

export const MARGIN = { l: 48, r: 12, t: 8, b: 26 };

export class Axis {
  constructor(start, end, width) {
    this.start = start;
    this.end = Math.max(end, start + 1e-3);
    this.left = MARGIN.l;
    this.width = Math.max(1, width - MARGIN.l - MARGIN.r);
  }

  get seconds() { return this.end - this.start; }
  pixelOf(time) { return this.left + ((time - this.start) / this.seconds) * this.width; }
  timeAt(pixel) { return this.start + ((pixel - this.left) / this.width) * this.seconds; }
  has(time) { return time >= this.start && time <= this.end; }
}

/** [start, end] moved into [0, duration], at least `least` long. */
export function clampedWindow([start, end], duration, least = 0.2) {
  const length = Math.min(Math.max(end - start, least), duration);
  const begin = Math.min(Math.max(0, start), duration - length);
  return [begin, begin + length].map((time) => Math.round(time * 1000) / 1000); // as the address holds it
}
