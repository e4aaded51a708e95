// Compare: two videos side by side on one clock, and what a differencing run found in them.
import { offsetMap, stageMap } from "./clock_map.js";
import { DifferenceList } from "./difference_list.js";
import { announce, byId, element } from "./element.js";
import { icon } from "./icons.js";
import { action, failure, notice, sentence } from "./notice.js";
import { Overlay } from "./overlay.js";
import { Pair } from "./pair.js";
import { PairCurves } from "./pair_curves.js";
import { PairPicker } from "./pair_picker.js";
import { Queries } from "./queries.js";
import { QueryChips } from "./query_chips.js";
import { frameTimes, get, post } from "./server.js";
import { taken } from "./session.js";
import { StageRibbons } from "./stage_ribbons.js";
import { State } from "./state.js";
import { clock } from "./time.js";

const SYNCS = [["stage", "by stage"], ["time", "by time"], ["free", "free"]];
const NUDGES = [[-0.1, "−0.1 s"], [-0.04, "−1 frame"], [0.04, "+1 frame"], [0.1, "+0.1 s"]];

export class Compare {
  constructor(app) {
    this.app = app;
    this.state = new State({ a: null, b: null, result: null, offset: 0, sync: null, view: "", stage: null, difference: null, filter: "", audible: "a", queries: [], focus: null });
    this.queries = new Queries(this.state);
    this.chosen = null; // {difference, side, place}
    this.#build();
    this.#wires();
  }

  get title() {
    const { a, b } = this.state;
    return a && b ? `${a.name} and ${b.name}` : "";
  }

  get sync() { return this.state.sync ?? (this.state.result ? "stage" : "time"); }

  async enter(values) {
    const whole = !this.entered || Object.keys(values).length > 0;
    this.entered = true;
    const results = await this.picker.fetch();
    if (whole) {
      this.state.set({ offset: values.offset ?? 0, sync: values.sync ?? null, view: values.view ?? "", filter: values.filter ?? "", queries: taken(this.queries, values.queries ?? []) });
      this.queries.encodeAll();
      if (values.result) await this.#loadResult(values.result, values);
      else if (values.a || values.b) {
        await Promise.all(["a", "b"].map((side) => this.#loadSide(side, values[side])));
        this.pair.seek(values.time ?? 0);
      }
      else if (results.length === 1 && !this.state.a) await this.#loadResult(results[0].id, values);
    }
    this.draw();
  }

  leave() { this.pair.pause(); }

  values() {
    const { a, b, result, offset, sync, view, stage, difference, filter, queries } = this.state;
    return { result: result?.id, a: result ? null : a?.id, b: result ? null : b?.id, offset: offset || null, sync, view, stage, difference, filter, time: this.pair.time, queries: queries.length ? queries : undefined };
  }

  // --- loading --------------------------------------------------------------------------------------------------------------

  async #loadResult(id, { stage = null, difference = null, time = 0 } = {}) {
    try {
      const result = await get(`api/differences/${id}`);
      this.state.set({ result, stage, difference });
      await Promise.all(["a", "b"].map((side) => this.#show(side, result.videos[side])));
      this.pair.seek(time);
      this.notices.replaceChildren();
    } catch (error) {
      this.notices.replaceChildren(failure(error, [{ label: "Try again", first: true, act: () => this.#loadResult(id, { stage, difference, time }) }, { label: "Just two videos", act: () => { this.notices.replaceChildren(); this.state.set({ result: null }); } }]));
    }
  }

  async #loadSide(side, id) {
    if (!id) return;
    try {
      await this.#show(side, await get(`api/videos/${id}`));
    } catch (error) {
      this.notices.replaceChildren(failure(error, [{ label: "To the library", act: () => this.app.go("library", {}) }]));
    }
  }

  async #show(side, video) {
    const player = this.pair[side];
    this.state.set({ [side]: video });
    this.curves.open(side, video).then(() => this.draw());
    const playable = video && (video.proxy || !video.mime || player.video.canPlayType(video.mime) !== "");
    this.sides[side].trouble.replaceChildren(...(!video ? [notice({ kind: "warn", title: `The file of ${side.toUpperCase()} is not below the folders`, words: "Verdicts and times still stand; pictures need the file." })]
      : playable ? [] : [notice({ kind: "warn", title: "This browser cannot play it", words: `It holds ${video.video_codec}.`, actions: [{ label: "Open it in Watch to make a playable copy", act: () => this.app.go("watch", { video: video.id }) }] })]));
    if (!playable) return player.unload();
    player.load(video.proxy ?? video.media, 0);
    frameTimes(video.id).then((times) => { if (this.state[side]?.id === video.id) player.frameTimes = times; }, () => {});
  }

  // --- acting -----------------------------------------------------------------------------------------------------------------

  #chooseStage(id) {
    const stage = this.state.result?.stages.find((one) => one.id === id);
    if (!stage) return;
    this.state.set({ stage: id });
    const [a, b] = [stage.a, stage.b].map((span) => span && span[0] / 1000);
    this.pair.span = stage.a ? stage.a.map((time) => time / 1000) : null;
    this.pair.seek(a ?? this.pair.time, b);
    announce(`${stage.name}: A ${stage.a ? clock(a) : "not found"}, B ${stage.b ? clock(b) : "not found"}`);
  }

  #chooseDifference(one) {
    this.state.set({ difference: one.id, stage: one.stages[0] ?? null });
    this.pair.span = null;
    const [a, b] = [one.a_ms, one.b_ms].map((times) => (times.length ? times[0] / 1000 : null));
    this.pair.pause();
    this.pair.seek(a ?? this.pair.time, b);
  }

  #chooseFrame(one, side, place) {
    this.chosen = { difference: one.id, side, place };
    this.pair.span = null;
    this.pair.pause();
    const other = side === "a" ? one.b_ms : one.a_ms;
    const times = { [side]: one[`${side}_ms`][place] / 1000, [side === "a" ? "b" : "a"]: (other[place] ?? other[0] ?? 0) / 1000 };
    this.pair.seek(times.a, times.b);
    this.state.set({ difference: one.id });
    this.draw();
  }

  async #useShown(one, side, place) {
    const player = this.pair[side];
    const times = [...one[`${side}_ms`]];
    const frame = player.frameNumber;
    times[place] = (frame === null ? player.shown : player.frameTimes[frame]) * 1000;
    await this.#change("frames", { difference: one.id, side, times_ms: times }, "Frame corrected; the verdict is stale.");
  }

  async #change(verb, body, said) {
    try {
      const result = await post(`api/differences/${this.state.result.id}/${verb}`, body);
      this.state.set({ result });
      announce(said);
    } catch (error) {
      this.notices.replaceChildren(failure(error, [{ label: "Close", act: () => this.notices.replaceChildren() }]));
    }
  }

  async #estimate() {
    const { a, b } = this.state;
    try {
      const found = await get(`api/compare/offset?a=${a.id}&b=${b.id}`);
      const text = element("span", {}, found.words);
      this.estimate.replaceChildren(text, action({ label: "Apply", act: () => { this.state.set({ offset: found.offset_ms / 1000, sync: "time" }); this.estimate.replaceChildren(); } }));
    } catch (error) {
      this.estimate.replaceChildren(element("span", {}, `${sentence(error.message)} ${sentence(error.advice)}`));
    }
  }

  #swap() {
    const { a, b } = this.state;
    this.pair.pause();
    this.state.set({ result: null, stage: null, difference: null, offset: -this.state.offset });
    this.#show("a", b);
    this.#show("b", a);
  }

  // --- drawing ------------------------------------------------------------------------------------------------------------------

  #build() {
    const side = (name) => {
      const video = element("video", { id: `video-${name}`, playsinline: true, preload: "auto", tabindex: "-1", "aria-label": `Video ${name.toUpperCase()}` });
      const time = element("span", { class: "number" });
      const step = (by, label, sign) => element("button", { type: "button", class: "icon", "aria-label": `${name.toUpperCase()}: ${label}`, title: label, on: { click: () => this.pair[name].step(by) } }, icon(sign));
      const audible = element("input", { type: "radio", name: "audible", on: { change: () => this.state.set({ audible: name }) } });
      const title = element("strong", {});
      const trouble = element("div", { class: "screen-notice" });
      const node = element("section", { class: "card side", "aria-label": `Video ${name.toUpperCase()}` },
        element("div", { class: "screen" }, video, trouble),
        element("div", { class: "side-row" }, element("span", { class: "side-letter" }, name.toUpperCase()), title, time,
          element("span", { class: "side-tools" }, step(-1, "one frame back", "back"), step(1, "one frame on", "forward"), element("label", { class: "check" }, audible, "sound"))));
      return { node, video, time, audible, title, trouble };
    };
    this.sides = { a: side("a"), b: side("b") };
    this.pair = new Pair(this.sides.a.video, this.sides.b.video);
    const root = byId("compare");
    this.notices = element("div");
    const picker = element("div", { class: "card pair-picker" });
    this.picker = new PairPicker(picker, { result: (id) => (id ? this.#loadResult(id) : this.state.set({ result: null, stage: null, difference: null })),
      side: (name, id) => { this.state.set({ result: null, stage: null, difference: null }); this.#loadSide(name, id); }, swap: () => this.#swap() });
    this.start = element("button", { type: "button", class: "first", on: { click: () => this.pair.toggle() } });
    this.bar = element("input", { type: "range", class: "seek", min: 0, max: 1, step: "any", value: 0, "aria-label": "Position on A's clock", on: { input: () => { this.pair.span = null; this.pair.seek(Number(this.bar.value)); } } });
    this.rate = element("select", { "aria-label": "Speed", on: { change: () => { this.pair.rate = Number(this.rate.value); this.pair.setMap(this.pair.map, this.pair.free); } } }, [0.1, 0.25, 0.5, 1, 2].map((rate) => element("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    this.syncs = SYNCS.map(([value, label]) => { const input = element("input", { type: "radio", name: "sync", value, on: { change: () => this.state.set({ sync: value }) } }); return { value, input, label: element("label", {}, input, label) }; });
    this.offset = element("input", { type: "number", step: 0.04, "aria-label": "B is later by, seconds", on: { change: () => this.state.set({ offset: Number(this.offset.value) || 0 }) } });
    this.estimate = element("span", { class: "field", role: "status" });
    this.offsetRow = element("div", { class: "row" }, element("label", { class: "field" }, element("span", {}, "B is later by"), this.offset, "s"),
      NUDGES.map(([by, label]) => element("button", { type: "button", class: "quiet", "aria-label": `B ${label}`, on: { click: () => this.state.set({ offset: Math.round((this.state.offset + by) * 1000) / 1000 }) } }, label)),
      action({ label: "Estimate", act: () => this.#estimate(), title: "From the pictures' likeness over time" }), this.estimate);
    this.ribbonBox = element("section", { class: "card ribbon-card", "aria-label": "Stages", hidden: true });
    this.differenceBox = element("section", { class: "card", "aria-label": "Differences", hidden: true });
    const chips = element("div", { class: "library-search" });
    const plot = element("section", { class: "card curves", "aria-label": "Shared texts" });
    const sides = element("div", { class: "pair-sides" }, this.sides.a.node, this.sides.b.node);
    this.overlay = new Overlay(sides, (view) => this.state.set({ view }));
    this.body = element("div", { class: "compare-body" }, sides,
      element("div", { class: "card pair-controls" }, this.bar, element("div", { class: "row" }, this.start, this.rate, element("div", { class: "choice", role: "radiogroup", "aria-label": "Kept together" }, this.syncs.map((one) => one.label)), this.clock = element("span", { class: "now number" })), this.overlay.node, this.offsetRow),
      this.ribbonBox, this.differenceBox, plot);
    root.append(picker, this.notices, this.body);
    this.ribbons = new StageRibbons(this.ribbonBox, { stage: (id) => this.#chooseStage(id) });
    this.differences = new DifferenceList(this.differenceBox, { chosen: (one) => this.#chooseDifference(one), frame: (...what) => this.#chooseFrame(...what), useShown: (...what) => this.#useShown(...what),
      rerun: (one) => this.#change("rerun", { difference: one.id }, "Judged again."), filter: (filter) => this.state.set({ filter }) });
    this.curves = new PairCurves(plot, this.queries, this.app.live, { seek: (time) => { this.pair.span = null; this.pair.seek(time); }, changed: () => this.draw() });
    plot.append(chips);
    this.chips = new QueryChips(chips, this.queries, this.state, this.app.info.limits, { label: "Text to compare", placeholder: "A text for both videos", button: "Add" });
  }

  #wires() {
    const { state, pair, app } = this;
    state.on([], () => { app.changed(); this.draw(); });
    state.on(["queries"], async () => { await this.curves.fetch(); this.draw(); });
    state.on(["result", "offset", "sync"], () => pair.setMap(this.sync === "stage" && state.result ? stageMap(state.result.stages) : offsetMap(this.sync === "time" ? state.offset : 0), this.sync === "free"));
    pair.addEventListener("tick", () => this.#tick());
    pair.addEventListener("state", () => { this.#controls(); app.changed(); });
    app.live.addEventListener("differences", async (event) => { if (event.detail.id === state.result?.id) state.set({ result: await get(`api/differences/${event.detail.id}`).catch(() => state.result) }); });
    addEventListener("theme", () => this.draw());
    const by = (seconds) => { pair.span = null; pair.seek(pair.time + seconds); };
    app.keyboard.set("compare", [
      { keys: [" ", "k"], label: "Space K", words: "play, pause both", act: () => pair.toggle() },
      { keys: ["ArrowLeft"], label: "←", words: "one second back", act: () => by(-1) }, { keys: ["ArrowRight"], label: "→", words: "one second on", act: () => by(1) },
      { keys: [","], label: ",", words: "A one frame back", act: () => pair.a.step(-1) }, { keys: ["."], label: ".", words: "A one frame on", act: () => pair.a.step(1) },
      { keys: ["<"], label: "<", words: "B one frame back", act: () => pair.b.step(-1) }, { keys: [">"], label: ">", words: "B one frame on", act: () => pair.b.step(1) },
      { keys: ["o"], label: "O", words: "B over A: wipe, see-through", act: () => state.set({ view: this.overlay.next }) },
      { keys: ["n"], label: "N", words: "next difference", act: () => this.#neighbour(1) }, { keys: ["p"], label: "P", words: "difference before", act: () => this.#neighbour(-1) },
    ]);
  }

  #neighbour(by) {
    const all = this.state.result?.differences ?? [];
    const place = all.findIndex((one) => one.id === this.state.difference);
    const next = all[place < 0 ? 0 : place + by];
    if (next) { this.#chooseDifference(next); announce(next.statement); }
  }

  #tick() {
    const { a, b } = this.pair;
    this.sides.a.time.textContent = clock(a.shown);
    this.sides.b.time.textContent = clock(b.shown);
    this.clock.textContent = `${clock(a.shown)} / ${clock(this.pair.duration, 1)}`;
    this.bar.value = this.pair.time;
    this.ribbons.tick(a.shown, b.shown);
    this.curves.curves.setTime(a.shown);
    this.app.ticked();
  }

  #controls() {
    const { playing } = this.pair;
    this.start.replaceChildren(icon(playing ? "stop" : "play"), playing ? "Stop" : "Start");
    this.start.disabled = !this.pair.a.video.readyState;
    this.bar.max = this.pair.duration || 1;
    for (const side of ["a", "b"]) {
      this.sides[side].title.textContent = this.state[side]?.name ?? "";
      this.sides[side].audible.checked = this.state.audible === side;
      this.sides[side].video.muted = this.state.audible !== side;
    }
    this.#tick();
  }

  draw() {
    this.drawing ??= requestAnimationFrame(() => { this.drawing = null; this.#draw(); });
  }

  #draw() {
    const { a, b, result, offset, view, stage, filter, difference } = this.state;
    this.picker.show({ result: result?.id, a, b });
    this.body.hidden = !a && !b && !result;
    if (this.body.hidden && !this.notices.childElementCount) {
      this.notices.replaceChildren(notice({ title: "Two videos on one clock", words: ["Choose two videos above: they play together, with an offset where one starts later.",
        "A result of a differencing run, where there is one below the folders, brings its stages, frames and verdicts:"], command: "python main.py differencing …" }));
    } else if (!this.body.hidden && this.notices.querySelector('[data-notice="Two videos on one clock"]')) this.notices.replaceChildren();
    for (const { value, input } of this.syncs) { input.checked = this.sync === value; input.disabled = value === "stage" && !result; }
    this.overlay.show(view);
    this.offsetRow.hidden = this.sync !== "time";
    if (document.activeElement !== this.offset) this.offset.value = offset;
    this.ribbonBox.hidden = this.differenceBox.hidden = !result;
    const seconds = (video) => (video?.duration_ms ?? 0) / 1000;
    if (result) {
      this.ribbons.show(result.stages, { a: seconds(a) || this.pair.a.duration, b: seconds(b) || this.pair.b.duration }, stage);
      this.differences.show(result, this.chosen ?? (difference && { difference }), filter);
    }
    this.chips.show();
    this.curves.show(this.pair.map, Math.max(0.1, seconds(a) || this.pair.duration));
    this.#controls();
  }
}
