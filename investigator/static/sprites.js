// Small pictures of a video, cut out of the sheets that the server made during its one decoding.
import { element } from "./element.js";
import { get } from "./server.js";
import { placeAt } from "./time.js";

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

  #nearest(seconds) {
    const before = placeAt(this.times, seconds);
    return this.times[before + 1] - seconds < seconds - this.times[before] ? before + 1 : before;
  }

  get ready() { return Boolean(this.sheet?.sheets.length && this.times.length); }

  /**
   * The picture nearest to `seconds`, `most` pixels wide, or less where it is upright; null while there is none. `within` {start, end}: only one of this span,
   * and where the sheets hold none of it, the very frame.
   */
  picture(seconds, most, within = null) {
    if (!this.ready) return null;
    const width = Math.round(Math.min(most, (0.75 * most * this.sheet.width) / this.sheet.height));
    const place = this.#nearest(seconds);
    if (within && !(this.times[place] >= within.start && this.times[place] < within.end)) {
      return element("img", { class: "thumb", src: `api/videos/${this.video}/frame?time_ms=${seconds * 1000}&width=160`, alt: "", loading: "lazy",
        width, height: Math.round((this.sheet.height * width) / this.sheet.width) });
    }
    const { columns, rows, sheets } = this.sheet;
    const each = columns * rows;
    const address = sheets[Math.floor(place / each)];
    if (!address) return null;
    const scale = width / this.sheet.width;
    const cell = place % each;
    const height = Math.round(this.sheet.height * scale);
    return element("span", {
      class: "thumb", "aria-hidden": "true", style: {
        width: `${width}px`, height: `${height}px`, "background-image": `url("${address}")`,
        "background-size": `${this.sheet.width * columns * scale}px auto`,
        "background-position": `${-(cell % columns) * this.sheet.width * scale}px ${-Math.floor(cell / columns) * this.sheet.height * scale}px`,
      },
    });
  }
}
