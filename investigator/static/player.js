// One video on screen. It tells which frame is really shown, and of many seeks in a row only the last one counts. All times are
// from the file's beginning on, which is not 0 on every browser's clock.
import { placeAt } from "./time.js";

/**
 * Events: `frame` {time}: the presented frame's own time in seconds · `seeking` {time}: where a seek is going ·
 * `state`: playing, paused, ended, loaded · `trouble` {code}: the browser cannot play it.
 */
export class Player extends EventTarget {
  constructor(video) {
    super();
    this.video = video;
    this.origin = null; // what the browser's clock says at the file's beginning; null until it has loaded that
    this.frameTimes = null; // seconds of every frame, increasing, or null until known
    this.shown = 0; // the presented frame's time in seconds
    this.wanted = null; // where the running or waiting seek goes
    this.loop = null; // {start, end, again}: played once, or round and round
    video.addEventListener("loadeddata", () => {
      const now = video.currentTime; // Chromium's clock goes by the file's timestamps, Firefox's by what has passed
      this.origin = video.paused || now > 0.25 ? now : 0; // it may have played a moment already
      this.seek(this.wanted ?? 0);
    });
    for (const type of ["play", "pause", "ended", "loadedmetadata", "ratechange", "volumechange", "emptied"]) {
      video.addEventListener(type, () => this.tell("state"));
    }
    video.addEventListener("seeked", () => this.#settled());
    video.addEventListener("error", () => this.tell("trouble", { code: video.error?.code ?? 0 }));
    this.#follow();
  }

  tell(type, detail = {}) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** Shows another file, from `seconds` on. */
  load(url, seconds = 0) {
    this.origin = this.frameTimes = null;
    this.loop = null;
    this.shown = this.wanted = seconds; // wanted until it is there, whatever frame comes first
    this.video.src = url;
  }

  unload() {
    this.wanted = null;
    this.origin = this.frameTimes = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** Seconds from the beginning on that have passed on the browser's clock. */
  get now() { return this.video.currentTime - (this.origin ?? 0); }
  get duration() {
    const said = this.video.duration - (this.origin ?? 0);
    return Math.max(Number.isFinite(said) ? said : 0, this.frameTimes?.at(-1) ?? 0);
  }
  /** Whether the browser cannot go as far as the frames do: Chromium cannot in MP4 files that begin late. */
  get short() { return this.origin !== null && this.origin + (this.frameTimes?.at(-1) ?? 0) > this.video.duration + 0.5; }
  get playing() { return !this.video.paused && !this.video.ended; }

  /** The number of the frame on screen at `seconds`, counted from 0, by the frames' own times; null until they are known. */
  frameAt(seconds) {
    return this.frameTimes?.length ? placeAt(this.frameTimes, seconds + 1e-6) : null;
  }

  /** The number of the frame presented now. Browsers round times a little: the nearest frame's. */
  get frameNumber() {
    const times = this.frameTimes;
    if (!times?.length) return null;
    const place = placeAt(times, this.shown);
    return place + 1 < times.length && times[place + 1] - this.shown < this.shown - times[place] ? place + 1 : place;
  }

  /** Shows the frame that is on screen at `seconds`. */
  seek(seconds) {
    const end = this.frameTimes?.at(-1) ?? this.duration;
    this.wanted = Math.min(Math.max(0, seconds), end || seconds);
    this.tell("seeking", { time: this.wanted });
    if (!this.video.seeking && this.origin !== null) this.#go();
  }

  /** Shows frame `number`. */
  seekFrame(number) {
    const times = this.frameTimes;
    if (!times?.length) return;
    this.seek(times[Math.min(Math.max(0, number), times.length - 1)]);
  }

  step(frames) {
    this.pause();
    const target = this.wanted === null ? null : this.frameAt(this.wanted);
    const from = target ?? this.frameNumber;
    if (from === null) this.seek(this.shown + frames / 25);
    else this.seekFrame(from + frames);
  }

  async play() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "AbortError") this.tell("trouble", { code: error.name });
    }
  }

  pause() { this.video.pause(); }
  toggle() { return this.playing ? this.pause() : this.play(); }

  /** Plays [start, end] once, or round and round. */
  playSpan(start, end, { again = false } = {}) {
    this.loop = { start, end, again };
    this.seek(start);
    return this.play();
  }

  #go() {
    this.going = this.wanted;
    const frame = this.frameAt(this.wanted);
    let target = this.wanted + 0.0005; // browsers round times: a frame's exact time may show its neighbour
    if (frame !== null) {
      const next = this.frameTimes[frame + 1] ?? Math.max(this.duration, this.frameTimes[frame]);
      target = this.frameTimes[frame] + (next - this.frameTimes[frame]) / 2;
    }
    this.video.currentTime = this.origin + Math.min(target, this.duration || target);
  }

  #settled() {
    if (this.wanted !== null && this.wanted !== this.going) return this.#go();
    if (this.wanted !== null) this.shown = this.frameTimes?.[this.frameAt(this.wanted)] ?? this.wanted; // until the frame itself tells
    this.wanted = null;
    this.tell("settled");
  }

  #follow() {
    const presented = (mediaTime) => {
      if (this.origin === null) return;
      const time = this.shown = mediaTime - this.origin;
      this.tell("frame", { time });
      const loop = this.loop;
      if (!loop || this.wanted !== null) return;
      if (time < loop.start - 0.1 || time > loop.end + 1) this.loop = null;
      else if (time >= loop.end) {
        if (loop.again) this.seek(loop.start);
        else { this.loop = null; this.pause(); }
      }
    };
    if (this.video.requestVideoFrameCallback) {
      const next = (_, frame) => { presented(frame.mediaTime); this.video.requestVideoFrameCallback(next); };
      this.video.requestVideoFrameCallback(next);
    } else {
      const next = () => { if (this.now !== this.shown) presented(this.video.currentTime); requestAnimationFrame(next); };
      requestAnimationFrame(next);
    }
  }
}
