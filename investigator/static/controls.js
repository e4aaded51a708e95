// The row of buttons under a player, with the seed's own Start, Stop and Reset.
import { element } from "./element.js";
import { icon } from "./icons.js";
import { clock } from "./time.js";

export const RATES = [0.1, 0.25, 0.5, 1, 1.5, 2, 4, 8];

export class Controls {
  /** `on`: {start, stop, reset, rate(value), mute(muted), volume(value)} */
  constructor(container, player, on) {
    this.player = player;
    const button = (sign, label, act, more = {}) => element("button", { type: "button", on: { click: act }, ...more }, icon(sign), label);
    this.start = button("play", "Start", on.start, { class: "first", id: "start", title: "Play (Space or K)" });
    this.stop = button("stop", "Stop", on.stop, { id: "stop", title: "Pause (Space or K)" });
    const reset = button("reset", "Reset", on.reset, { id: "reset", title: "Back to the beginning, the whole plot, the texts as at the start" });
    const small = (sign, label, act) => element("button", { type: "button", class: "icon", "aria-label": label, title: label, on: { click: act } }, icon(sign));
    this.rate = element("select", { "aria-label": "Speed", title: "Speed", on: { change: () => on.rate(Number(this.rate.value)) } },
      RATES.map((rate) => element("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    this.mute = element("button", { type: "button", class: "icon", "aria-label": "Sound off", on: { click: () => on.mute(!this.player.video.muted) } });
    this.volume = element("input", { type: "range", class: "volume", min: 0, max: 1, step: 0.05, value: 1, "aria-label": "Volume", on: { input: () => on.volume(Number(this.volume.value)) } });
    this.time = element("span", { class: "number" });
    this.frame = element("span", { class: "soft" });
    this.bar = element("input", { type: "range", class: "seek", min: 0, max: 1, step: "any", value: 0, "aria-label": "Position in the video",
      on: { input: () => player.seek(Number(this.bar.value)) } });
    container.replaceChildren(
      element("div", { class: "row" }, this.bar, element("p", { class: "now" }, this.time, " ", this.frame)),
      element("div", { class: "row" }, this.start, this.stop, reset,
        small("back", "One frame back (,)", () => player.step(-1)), small("forward", "One frame on (.)", () => player.step(1)),
        this.rate, this.mute, this.volume));
    player.addEventListener("state", () => this.show());
    player.addEventListener("frame", () => this.tick());
    player.addEventListener("seeking", (event) => this.tick(event.detail.time));
    this.show();
  }

  show() {
    const { video } = this.player;
    const usable = video.readyState > 0;
    this.start.disabled = !usable || this.player.playing;
    this.stop.disabled = !usable || !this.player.playing;
    this.bar.max = this.player.duration || 1;
    this.bar.disabled = !usable;
    if (RATES.includes(video.playbackRate)) this.rate.value = String(video.playbackRate);
    this.volume.value = video.volume;
    const label = video.muted ? "Sound on" : "Sound off";
    if (this.mute.getAttribute("aria-label") !== label || !this.mute.firstChild) {
      this.mute.setAttribute("aria-label", label);
      this.mute.title = `${label} (M)`;
      this.mute.replaceChildren(icon(video.muted ? "muted" : "sound"));
    }
    this.tick();
  }

  tick(time = this.player.wanted ?? this.player.shown) {
    const { frameTimes, duration } = this.player;
    this.time.textContent = `${clock(time, 3)} / ${clock(duration, 1)}`;
    const number = this.player.wanted === null ? this.player.frameNumber : this.player.frameAt(this.player.wanted);
    const wide = "\u2007".repeat(number === null ? 0 : String(frameTimes.length).length - String(number).length); // nothing moves while it counts
    this.frame.textContent = number === null ? "" : `${wide}frame ${number} of ${frameTimes.length}`;
    if (document.activeElement !== this.bar || this.player.wanted === null) this.bar.value = time;
    this.bar.setAttribute("aria-valuetext", clock(time, 1));
  }
}
