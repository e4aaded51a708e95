// Two players on one clock. A leads; B follows by the map, gently while playing and to the frame when paused.
import { offsetMap } from "./clock_map.js";
import { Player } from "./player.js";

const DRIFT_SECONDS = 0.04; // beyond it B's speed is bent
const JUMP_SECONDS = 0.4; // beyond it B jumps

/** Events: `tick` {a, b} (seconds shown) · `state`. */
export class Pair extends EventTarget {
  constructor(videoA, videoB) {
    super();
    this.a = new Player(videoA);
    this.b = new Player(videoB);
    this.map = offsetMap(0);
    this.free = false;
    this.rate = 1;
    this.span = null; // [start, end] of A to repeat
    this.a.addEventListener("frame", () => this.#follow());
    this.b.addEventListener("frame", () => this.#tell());
    for (const player of [this.a, this.b]) for (const type of ["state", "trouble", "settled"]) player.addEventListener(type, () => this.dispatchEvent(new Event("state")));
    this.a.addEventListener("state", () => { if (!this.a.playing && this.wasPlaying) this.pause(); this.wasPlaying = this.a.playing; });
  }

  #tell() { this.dispatchEvent(new CustomEvent("tick", { detail: { a: this.a.shown, b: this.b.shown } })); }

  get playing() { return this.a.playing || (this.free && this.b.playing); }
  get duration() { return Math.max(this.a.duration, this.map.aOf(this.b.duration)); }
  get time() { return this.a.wanted ?? this.a.shown; }

  setMap(map, free) {
    this.map = map;
    this.free = free;
    if (!free) this.seek(this.time);
  }

  /** Both to A's time `seconds`; with `b` given, B there and not where the map says. */
  seek(seconds, b = null) {
    this.a.seek(seconds);
    if (b !== null) this.b.seek(b);
    else if (!this.free) this.b.seek(this.map.bOf(seconds));
  }

  async play() {
    this.#speeds();
    await Promise.all([this.a.play(), this.#mayPlay(this.b) && this.b.play()]);
  }

  pause() {
    this.a.pause();
    this.b.pause();
    if (!this.free && this.a.video.readyState > 0) this.b.seek(this.map.bOf(this.a.shown));
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  #mayPlay(player) { return player.video.readyState > 0; }

  #speeds(bend = 1) {
    const [a, b] = this.free ? [1, 1] : this.map.rates(this.a.shown);
    const fit = (rate) => Math.min(16, Math.max(0.0625, rate * this.rate));
    this.a.video.playbackRate = fit(a);
    this.b.video.playbackRate = fit(b * bend);
  }

  #follow() {
    const { a, b } = this;
    this.#tell();
    if (this.span && a.wanted === null && a.playing && a.shown >= this.span[1]) return this.seek(this.span[0]);
    if (this.free || !a.playing || a.wanted !== null || b.wanted !== null) return;
    const wanted = this.map.bOf(a.shown);
    const ahead = b.now - wanted;
    if (wanted < 0 || wanted >= b.duration) {
      if (b.playing) b.pause(); // before its first or after its last frame B holds it
      return;
    }
    if (!b.playing && b.duration) { b.seek(wanted); b.play(); return; }
    if (Math.abs(ahead) > JUMP_SECONDS) b.seek(wanted);
    this.#speeds(Math.abs(ahead) > DRIFT_SECONDS ? 1 - Math.max(-0.25, Math.min(0.25, ahead * 2)) : 1);
  }
}
