// Watch on screen: one video, its texts, their curves. It joins the pieces; each of them knows nothing of the others.
import { formatAddress } from "./address.js";
import * as conditions from "./conditions.js";
import { Controls } from "./controls.js";
import { CurveTools } from "./curve_tools.js";
import { Curves } from "./curves.js";
import { announce, byId, element } from "./element.js";
import { Filmstrip } from "./filmstrip.js";
import { action } from "./notice.js";
import { Overview } from "./overview.js";
import { Player } from "./player.js";
import { wordsOf } from "./queries.js";
import { QueryList } from "./query_list.js";
import { rangeOf, SCALES, written } from "./scales.js";
import { SegmentList } from "./segment_list.js";
import { save } from "./server.js";
import { DEFAULTS, Session, startTexts, taken } from "./session.js";
import { watchKeys } from "./watch_keys.js";
import { WatchNotices } from "./watch_notices.js";

const REFETCH_MS = 250;
const PLOT_ALONE = ["window", "still"]; // of the state: what shows nowhere else
const FOLLOW_SHARE = 0.8; // of the window: beyond it a playing head turns the page

export class Watch {
  /** `app`: {info (of /api/state), live, keyboard, go(mode, values), changed(): the address is to be written} */
  constructor(app) {
    this.app = app;
    this.session = new Session();
    this.state = this.session.state;
    this.queries = this.session.queries;
    this.player = new Player(byId("video"));
    this.notices = new WatchNotices(this);
    this.#pieces();
    this.#wires();
    app.keyboard.set("watch", watchKeys(this));
  }

  get title() { return this.state.video?.name ?? ""; }

  /** Shows what the address says; opens the video only where it is another one. */
  async enter(values) {
    const first = !this.entered;
    this.entered = true;
    const id = values.video ?? this.session.id ?? this.app.info.video;
    const whole = first || values.video; // an address without a video only switches back to this mode
    if (whole) this.state.set(Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, values[key] ?? value])));
    const given = values.queries ?? (first ? startTexts(this.app.info) : null);
    if (given) this.#take(given, values.focus ?? null);
    this.#applyPlayback();
    if (!id) {
      byId("watch-grid").hidden = true;
      return this.notices.noVideo();
    }
    if (id !== this.session.id || !this.state.video) return this.open(id, values.time ?? 0);
    if (Number.isFinite(values.time) && Math.abs(values.time - this.player.shown) > 0.02) this.player.seek(values.time);
    this.draw();
  }

  leave() { this.player.pause(); }

  /** What the address has to hold; the page's defaults are left out. */
  values() {
    const own = Object.keys(DEFAULTS).filter((key) => this.state[key] !== DEFAULTS[key]).map((key) => [key, this.state[key]]);
    return { ...Object.fromEntries(own), video: this.session.id, time: this.player.wanted ?? this.player.shown, queries: this.state.queries,
      focus: this.queries.focused?.slot };
  }

  #take(given, focus) {
    this.state.set({ queries: taken(this.queries, given), focus });
    this.queries.encodeAll();
  }

  async open(id, time = 0) {
    this.player.unload();
    this.unplayable = false;
    byId("watch-grid").hidden = false;
    this.notices.clear();
    this.notices.trouble = null;
    try {
      const video = await this.session.open(id);
      if (video) this.#load(video, time);
    } catch (error) {
      if (this.session.id !== id) return;
      const again = () => this.open(id, time);
      byId("watch-grid").hidden = true;
      this.notices.notOpened(error, again);
    }
    this.draw();
    this.app.changed();
  }

  #load(video, time) {
    this.unplayable = video.state !== "unreadable" && !video.proxy && Boolean(video.mime) && this.player.video.canPlayType(video.mime) === "";
    if (video.state !== "unreadable" && !this.unplayable) this.player.load(video.proxy ?? video.media, time);
  }

  // --- what the person does (buttons and keys call these) ---------------------------------------------------------------------

  start() {
    this.player.play();
    const idle = ["new", "coarse", "partial"].includes(this.state.video?.state) && !this.session.job("analysis");
    if (idle && this.app.info.model.state !== "failed") this.session.analyse();
  }

  stop() { this.player.pause(); }

  reset() {
    this.player.pause();
    this.seek(0);
    this.state.set({ ...DEFAULTS, muted: this.state.muted, volume: this.state.volume });
    this.#take(startTexts(this.app.info), null);
    this.#applyPlayback();
    announce("Reset");
  }

  seek(seconds) {
    this.player.loop = null;
    this.player.seek(seconds);
  }

  playOnce(segment) { this.player.playSpan(segment.start, segment.end); }

  grabFrame({ negative = false } = {}) {
    if (!this.state.video) return null;
    const time = this.player.wanted ?? this.player.shown;
    return this.queries.add({ kind: "frame", video: this.session.id, time, negative, label: `frame at ${time.toFixed(2)} s` });
  }

  async savePlot() {
    try {
      save(await this.curves.lines.image(), `${this.state.video.name}.png`);
    } catch (error) {
      this.notices.complain({ message: `The plot could not be made into a picture: ${error.message}` });
    }
  }

  async copyLink() {
    const link = new URL(formatAddress("watch", this.values()), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      announce("The link is copied.");
    } catch { // browsers give the clipboard to pages of this machine and of https alone
      this.notices.complain({ message: "The browser does not let the page copy. The link is:", command: link });
    }
  }

  #applyPlayback() {
    const { video } = this.player;
    [video.playbackRate, video.defaultPlaybackRate, video.muted, video.volume] = [this.state.rate, this.state.rate, this.state.muted, this.state.volume];
  }

  // --- drawing ------------------------------------------------------------------------------------------------------------------

  #pieces() {
    const { state, session, player } = this;
    const seek = (time) => this.seek(time);
    this.controls = new Controls(byId("controls"), player, {
      start: () => this.start(), stop: () => this.stop(), reset: () => this.reset(), rate: (rate) => state.set({ rate }),
      mute: (muted) => state.set({ muted }), volume: (volume) => state.set({ volume, muted: false }) });
    this.list = new QueryList({ list: byId("query-list"), form: byId("query-form"), count: byId("queries-count"), session,
      limits: this.app.info.limits, grab: (how) => this.grabFrame(how), now: () => player.wanted ?? player.shown });
    this.curves = new Curves(byId("plot"));
    this.overview = new Overview(byId("overview"));
    this.tools = new CurveTools(byId("curves-head"), byId("scale-meaning"), session, (factor) => (factor ? this.curves.zoom(factor) : state.set({ window: null })));
    this.segmentList = new SegmentList({ head: byId("segments-head"), body: byId("segments-body"), session, on: {
      seek, once: (segment) => this.playOnce(segment), change: (values) => state.set(values), plot: () => this.savePlot(), link: () => this.copyLink() } });
    this.filmstrip = new Filmstrip({ body: byId("filmstrip-body"), count: byId("filmstrip-count"), on: {
      seek, add: (text) => this.queries.add({ kind: "text", text }), anyway: () => state.set({ anyway: true }) } });
  }

  #wires() {
    const { state, session, player, curves, overview, app } = this;
    for (const view of [curves, overview]) {
      view.addEventListener("seek", (event) => {
        const segment = event.detail.once && this.segmentList.at(event.detail.time);
        if (segment) this.playOnce(segment);
        else this.seek(event.detail.time);
      });
      view.addEventListener("window", ({ detail: { window } }) => { // looking elsewhere ends following
        const away = window && (player.shown < window[0] || player.shown > window[1]);
        state.set({ window, still: state.still || Boolean(away) });
      });
    }
    curves.addEventListener("threshold", (event) => state.set({ threshold: event.detail.value }));
    curves.addEventListener("trouble", (event) => this.notices.complain(event.detail));
    player.addEventListener("frame", (event) => this.#tick(event.detail.time));
    player.addEventListener("seeking", (event) => { curves.setTarget(event.detail.time); this.list.tick(); });
    player.addEventListener("settled", () => { curves.setTarget(null); this.list.tick(); app.changed(); if (player.short) this.draw(); });
    player.addEventListener("trouble", (event) => { if (event.detail.code !== "NotAllowedError" && this.state.video) { this.unplayable = true; this.draw(); } });
    player.addEventListener("state", () => app.changed());

    state.on([], (changed) => {
      app.changed();
      this.draw({ plotAlone: [...changed].every((key) => PLOT_ALONE.includes(key)) });
    });
    state.on(["queries"], () => session.fetchScores());
    state.on(["queries", "focus", "scale", "threshold", "drop", "shortest", "join", "padding"], () => session.fetchSegments());
    state.on(["focus"], () => session.fetchMoments());
    state.on(["rate", "muted", "volume"], () => this.#applyPlayback());

    session.addEventListener("drawn", () => this.draw());
    session.addEventListener("segments", () => this.draw());
    session.addEventListener("moments", () => this.draw());
    session.addEventListener("frames", (event) => { player.frameTimes = event.detail.times; this.controls.tick(); if (player.short) this.draw(); });
    session.addEventListener("finished", () => announce("The analysis is complete."));
    session.addEventListener("trouble", (event) => this.notices.complain(event.detail.error));
    session.addEventListener("video", (event) => {
      const { video } = state;
      if (["proxy", "media"].some((key) => video[key] !== event.detail.before[key])) this.#load(video, player.shown); // a new one
      else if (video.state === "unreadable") player.unload();
      session.fetchFrameTimes();
    });

    const { live } = app;
    live.addEventListener("job", (event) => session.takeJob(event.detail.job));
    live.addEventListener("video", (event) => session.takeVideo(event.detail.video));
    live.addEventListener("sprites", (event) => { if (event.detail.video === session.id) session.fetchSprites(); });
    live.addEventListener("scores", (event) => {
      if (event.detail.video !== session.id) return;
      this.refetch ??= setTimeout(() => { this.refetch = null; session.fetchScores({ again: true }); }, REFETCH_MS);
    });
    live.addEventListener("resync", async () => { await this.queries.encodeAll({ again: true }); session.fetchAll(); });
    addEventListener("theme", () => this.draw());
  }

  /** One presented frame: only what follows the playhead. */
  #tick(time) {
    this.curves.setTime(time);
    this.overview.setTime(time);
    this.list.tick();
    this.segmentList.tick(time);
    const [start, end] = this.state.window ?? [0, Infinity];
    if (this.player.playing && !this.state.still && (time > start + (end - start) * FOLLOW_SHARE || time < start) && Number.isFinite(end)) {
      const begin = Math.max(0, time - (end - start) * 0.1);
      this.state.set({ window: [begin, begin + end - start] });
    }
    this.app.ticked();
  }

  /** Draws once in the next frame, however often it is asked for; the plot alone where nothing else has changed. */
  draw({ plotAlone = false } = {}) {
    this.whole ||= !plotAlone;
    this.drawing ??= requestAnimationFrame(() => {
      const { whole } = this;
      this.drawing = this.whole = null;
      this.#draw(whole);
    });
  }

  #draw(whole) {
    const { video } = this.state;
    if (!video) return;
    const { session } = this;
    const job = session.job("analysis");
    const query = this.queries.focused;
    if (whole) this.notices.show(video);
    byId("watch-grid").hidden = video.state === "unreadable"; // nothing of it can be done
    if (video.state === "unreadable") return;
    if (whole) this.list.show();
    this.tools.show();
    const picture = this.#picture(video, job, query);
    this.curves.show(picture);
    this.overview.show(picture);
    if (!whole) return;
    this.#tick(this.player.shown);
    const { rows } = session.reading;
    const none = !this.queries.list.some((one) => !one.negative);
    const name = query ? wordsOf(query) : "";
    const outstanding = query ? session.reading.best(query.id, "baseline")?.peakOdds >= 0 : false;
    this.segmentList.show({ found: session.segments, query: name, empty: conditions.segmentWords({ none, rows, outstanding, name }) });
    const moments = session.moments?.query === query?.id ? session.moments : null;
    this.filmstrip.show({ found: moments, query: name, anyway: this.state.anyway, words: conditions.momentWords({ none, rows }) });
  }

  #picture(video, job, query) {
    const { session } = this;
    const { reading, scale } = session;
    const duration = video.duration_ms ? video.duration_ms / 1000 : this.player.duration || 1;
    const values = reading.on(scale, scale === "share" ? session.among : session.shown.map((one) => one.id), this.state.smooth);
    const curves = session.shown.filter((one) => values.has(one.id)).map((one) => ({
      slot: one.slot, text: `${one.negative ? "not " : ""}${wordsOf(one)}`, times: reading.times, values: values.get(one.id), faint: one.negative, thin: one.slot !== query?.slot }));
    const threshold = query && !query.hidden && curves.length ? session.threshold : NaN;
    const [low, high] = rangeOf(curves, scale, threshold);
    const empty = conditions.plotWords({ queries: this.queries.list, rows: reading.rows, state: video.state, job, model: this.app.info.model, unplayable: this.unplayable });
    return {
      duration, window: this.state.window && [this.state.window[0], Math.min(this.state.window[1], duration)], curves, low, high, threshold,
      decimals: SCALES[scale].decimals, segments: session.segments?.segments ?? [], gaps: reading.header || video.state !== "analysed" ? reading.gaps(duration) : [], // without a text nothing was asked
      describe: (value) => written(value, scale), thumbnail: (time) => session.sprites.picture(time, 160),
      empty: empty && { key: empty.key, nodes: () => this.#emptyPlot(empty) },
    };
  }

  #emptyPlot({ title, words, analyse, chips }) {
    return [element("strong", {}, title), element("span", {}, words), element("div", { class: "chips" },
      analyse && action({ label: "Analyse this video", first: true, act: () => this.session.analyse() }),
      chips && this.app.info.example_texts.map((text) => action({ label: text, act: () => this.queries.add({ kind: "text", text }) })))];
  }
}
