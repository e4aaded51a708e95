// Small pictures of a video, cut out of the sheets that the server made during its one decoding.
import { element } from "./element.js";
import { get } from "./server.js";
import { clock, placeAt } from "./time.js";

export class Sprites {
  constructor(video) {
    this.video = video;
    this.sheet = null;
    this.times = [];
  }

  /** Fetches what there is so far; true where that changed. */
  async fetch() {
    try {
      const sheet = await get(`api/videos/${this.video}/sprites`);
      const changed = sheet.revision !== this.sheet?.revision;
      this.sheet = sheet;
      this.times = sheet.times_ms.map((milliseconds) => milliseconds / 1000);
      return changed;
    } catch (error) {
      if (error.code === "unreachable") return false;
      this.sheet = null; // none yet: thumbnails are left out
      this.times = [];
      return false;
    }
  }

  get ready() { return Boolean(this.sheet?.sheets.length && this.times.length); }

  /** The picture at or before `seconds`, `width` pixels wide; null while there is none. */
  picture(seconds, width, { alt = null } = {}) {
    if (!this.ready) return null;
    const place = placeAt(this.times, seconds);
    const { columns, rows, sheets } = this.sheet;
    const each = columns * rows;
    const address = sheets[Math.floor(place / each)];
    if (!address) return null;
    const scale = width / this.sheet.width;
    const cell = place % each;
    const height = Math.round(this.sheet.height * scale);
    return element("span", {
      class: "thumb", role: alt === null ? null : "img", "aria-label": alt, "aria-hidden": alt === null ? "true" : null,
      title: alt === null ? null : `frame at ${clock(this.times[place])}`,
      style: {
        width: `${width}px`, height: `${height}px`, "background-image": `url("${address}")`,
        "background-size": `${this.sheet.width * columns * scale}px auto`,
        "background-position": `${-(cell % columns) * this.sheet.width * scale}px ${-Math.floor(cell / columns) * this.sheet.height * scale}px`,
      },
    });
  }
}
