// One open video with its texts: everything that is asked of the server for it, and what came back. It draws nothing.
import { Queries } from "./queries.js";
import { Reading } from "./reading.js";
import { download, frameTimes, get, model, post } from "./server.js";
import { Sprites } from "./sprites.js";
import { State } from "./state.js";
import { isActive, isStale } from "./status.js";

export const DEFAULTS = {
  scale: "baseline", threshold: null, drop: null, shortest: null, join: null, padding: null, smooth: 0, window: null, still: false,
  anyway: false, rate: 1, muted: false, volume: 1,
};
const MOMENTS = 12;
const MOMENTS_PAUSE_MS = 3000;

/**
 * Events: `drawn`: curves, jobs or the video changed · `segments` · `moments` · `video` {before}: another state or a proxy ·
 * `frames` {times} · `finished`: the analysis is complete · `trouble` {error}.
 */
export class Session extends EventTarget {
  constructor() {
    super();
    this.state = new State({ video: null, queries: [], focus: null, ...DEFAULTS });
    this.queries = new Queries(this.state);
    this.#clear(null);
  }

  tell(type, detail = {}) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #clear(id) {
    this.id = id; // the video that was asked for last
    this.jobs = new Map();
    this.reading = id && new Reading(id);
    this.sprites = id && new Sprites(id);
    this.segments = null; // {query, precision, drop, segments: [{start, end, peak, peakTime, state}]}
    this.moments = null;
    this.momentsKey = null;
  }

  /** Opens a video; the answer is null where another one was asked for meanwhile. */
  async open(id) {
    this.#clear(id);
    this.state.set({ video: null });
    const video = await get(`api/videos/${id}`);
    if (this.id !== id) return null;
    if (video.job) this.jobs.set(video.job.id, video.job);
    this.state.set({ video });
    this.fetchScores();
    this.fetchFrameTimes();
    this.fetchSprites();
    this.fetchJobs();
    return video;
  }

  // --- commands -----------------------------------------------------------------------------------------------------------

  async #command(act) {
    try {
      await act();
    } catch (error) {
      this.tell("trouble", { error });
    }
  }

  analyse({ again = false } = {}) {
    return this.#command(async () => this.takeJob(await post(`api/videos/${this.id}/analyse`, { again, first: true })));
  }

  /** Removes the stored analysis; what was kept or rejected stays. */
  forget() {
    return this.#command(async () => {
      this.takeVideo(await post(`api/videos/${this.id}/forget`));
      this.takeForgotten(this.id);
    });
  }

  makeCopy(format) {
    return this.#command(async () => this.takeJob(await post(`api/videos/${this.id}/proxy`, { format })));
  }

  mark(segment, state) {
    return this.#command(async () => {
      await post(`api/videos/${this.id}/marks`, { query: this.queries.focused.id, time_ms: segment.peakTime * 1000, state });
      await this.fetchSegments();
    });
  }

  exportFile(format, what, only) {
    if (this.queries.focused?.state !== "ready") return this.tell("trouble", { error: { message: "There is no text yet.", advice: "Add one: segments and scores are a text's." } });
    const shown = this.queries.ready.filter((query) => this.scale !== "share" || this.among.includes(query.id));
    const queries = what === "scores" ? shown.map((query) => this.segmentsBody(query)) : [this.segmentsBody()];
    return this.#command(() => download(`api/videos/${this.id}/export`, { format, what, queries, only }, `${this.state.video.name}.${format}`));
  }

  cutClips(mode, only) {
    const wanted = (this.segments?.segments ?? []).filter((one) => only === "all" || (only === "kept" ? one.state === "keep" : one.state !== "reject"));
    if (!wanted.length) return this.tell("trouble", { error: { message: "There is no such segment to cut out.", advice: "Drag the threshold down in the plot, or take others in the menu." } });
    return this.#command(async () => this.takeJob(await post(`api/videos/${this.id}/clips`, {
      mode, padding_ms: 0, segments: wanted.map((one) => ({ begin_ms: one.start * 1000, end_ms: one.end * 1000 })) })));
  }

  // --- news -----------------------------------------------------------------------------------------------------------------

  job(kind) { return [...this.jobs.values()].filter((job) => job.kind === kind && isActive(job)).at(-1) ?? null; }
  last(kind) { return [...this.jobs.values()].filter((job) => job.kind === kind).sort((one, other) => one.number - other.number).at(-1) ?? null; }

  /** `old`: it was over before anything was fetched. */
  takeJob(job, { old = false } = {}) {
    if (job.video !== this.id || (job.model_id ?? model) !== model) return;
    const before = this.jobs.get(job.id);
    if (isStale(job, before)) return;
    this.jobs.set(job.id, job);
    const over = !old && before?.state !== job.state && !isActive(job);
    if (over && job.kind !== "clips") this.fetchVideo();
    if (over && job.kind === "analysis") {
      this.fetchScores({ again: true });
      this.fetchSprites();
      if (before && job.state === "done") this.tell("finished");
    }
    this.tell("drawn");
  }

  takeVideo(video) {
    if (video.id !== this.id || !this.state.video) return;
    const before = this.state.video;
    const known = Object.fromEntries(Object.entries(video).filter(([key, value]) => value !== null || ["problem", "job", "proxy"].includes(key)));
    this.state.set({ video: { ...before, ...known } });
    this.tell("video", { before });
  }

  /** The analysis was taken back, by this page or another. */
  takeForgotten(id) {
    if (id !== this.id) return;
    this.reading = new Reading(this.id);
    this.segments = this.moments = this.momentsKey = null;
    this.fetchScores({ again: true });
  }

  async fetchVideo() {
    const video = await get(`api/videos/${this.id}`).catch(() => null);
    if (video) this.takeVideo(video);
  }

  async fetchJobs() {
    const { jobs } = await get("api/jobs").catch(() => ({ jobs: [] }));
    for (const job of jobs) {
      const old = !isActive(job) && !this.jobs.has(job.id);
      if (!old || job.kind === "analysis") this.takeJob(job, { old }); // clips and copies that were ready before are no news
    }
  }

  async fetchFrameTimes() {
    const { id } = this;
    const times = await frameTimes(id).catch(() => null);
    if (times && id === this.id) this.tell("frames", { times });
  }

  async fetchSprites() {
    if (await this.sprites?.fetch()) this.tell("segments");
  }

  /** After a gap in the news: everything that is on screen. */
  async fetchAll() {
    if (!this.id) return;
    await Promise.all([this.fetchVideo(), this.fetchJobs(), this.fetchSprites(), this.fetchScores({ again: true })]);
  }

  // --- scores -----------------------------------------------------------------------------------------------------------------

  /** Fetches the curves that are missing, or all anew; what is asked for meanwhile is done once afterwards. */
  async fetchScores({ again = false } = {}) {
    this.again ||= again;
    if (this.fetching) { this.waiting = true; return; }
    this.fetching = true;
    const { reading, again: whole } = this;
    this.again = false;
    try {
      const ids = this.queries.ready.map((query) => query.id);
      if (reading && ids.length) await reading.fetch(ids, { again: whole });
      if (reading?.header && !reading.rows && this.state.video?.state === "analysed") this.fetchVideo(); // the file was replaced meanwhile
    } catch (error) {
      if (error.code === "not_found" && this.state.video) this.queries.encodeAll({ again: true }); // the server was started anew
      else if (this.state.video && !["unreachable", "not_ready", "not_found"].includes(error.code)) this.tell("trouble", { error });
    } finally {
      this.fetching = false;
    }
    if (reading !== this.reading || this.waiting) {
      this.waiting = false;
      return this.fetchScores();
    }
    this.tell("drawn");
    this.fetchSegments();
    this.fetchMoments();
  }

  /** The queries that the plot shows, in the list's order. */
  get shown() { return this.queries.ready.filter((query) => !query.hidden && this.reading?.raw.has(query.id)); }

  /** Ids that a share is among: what is shown, without the texts that are to be left out. */
  get among() { return [...new Set(this.shown.filter((query) => !query.negative).map((query) => query.id))]; }

  /** The scale on screen: share needs two texts, and until then it is the baseline's. */
  get scale() { return this.state.scale === "share" && this.among.length < 2 ? "baseline" : this.state.scale; }

  get threshold() {
    const query = this.queries.focused;
    return this.state.threshold ?? (query ? this.reading?.defaults(query.id, this.scale).threshold : NaN) ?? NaN;
  }

  segmentsBody(query = this.queries.focused) {
    const defaults = this.reading.defaults(query.id, this.scale);
    return {
      query: query.id, scale: this.scale, threshold: this.state.threshold ?? defaults.threshold, drop: this.state.drop ?? defaults.drop,
      minimum_ms: (this.state.shortest ?? 0) * 1000, gap_ms: (this.state.join ?? 0) * 1000, padding_ms: (this.state.padding ?? 0) * 1000,
      not: this.queries.ready.filter((one) => one.negative && one.id !== query.id).map((one) => ({ query: one.id, threshold: 0 })),
      among: this.among,
    };
  }

  /** Segments as the server cuts them, so that an export holds what is seen. One request at a time; the newest counts. */
  async fetchSegments() {
    if (this.cutting) { this.cutAgain = true; return; }
    const { reading } = this;
    const query = this.queries.focused;
    const inShare = this.scale !== "share" || this.among.includes(query?.id);
    if (!reading?.rows || query?.state !== "ready" || !reading.raw.has(query.id) || !inShare) {
      this.segments = null;
      return this.tell("segments");
    }
    this.cutting = true;
    const body = this.segmentsBody();
    try {
      const { segments, precision } = await post(`api/videos/${reading.video}/segments`, body);
      this.segments = { query: query.id, precision, drop: body.drop, segments: segments.map((one) => ({
        start: one.begin_ms / 1000, end: one.end_ms / 1000, peak: one.peak, peakTime: one.peak_ms / 1000, state: one.state })) };
    } catch (error) {
      if (error.code !== "unreachable") this.tell("trouble", { error });
    } finally {
      this.cutting = false;
    }
    if (this.cutAgain) {
      this.cutAgain = false;
      return this.fetchSegments();
    }
    this.tell("segments");
  }

  /** The best distinct moments; while the analysis runs not for every new row, because each has a picture. */
  async fetchMoments() {
    const query = this.queries.focused;
    const key = `${this.id} ${query?.id} ${this.reading?.revision}`;
    if (key === this.momentsKey) return this.tell("moments");
    if (!this.reading?.rows || query?.state !== "ready") {
      this.moments = this.momentsKey = null;
      return this.tell("moments");
    }
    if (this.job("analysis") && this.moments?.query === query.id && performance.now() - this.moments.when < MOMENTS_PAUSE_MS) return;
    this.momentsKey = key;
    const found = await get(`api/videos/${this.id}/moments?q=${query.id}&count=${MOMENTS}&scale=baseline`).catch(() => null);
    if (key !== this.momentsKey) return;
    this.moments = found && { ...found, query: query.id, when: performance.now() };
    this.tell("moments");
  }
}

/** The texts of CLIP= as queries. */
export function startTexts(info) {
  return [...new Set(info.texts)].slice(0, info.limits.queries).map((text, slot) => ({ slot, kind: "text", text, negative: false, hidden: false }));
}

/** `given` (of an address) as queries of `queries`; those that are there already keep their id. */
export function taken(queries, given) {
  const keys = ["slot", "kind", "text", "negative", "image", "video", "time"];
  return given.map((query) => {
    const whole = { text: "", negative: false, hidden: false, ...query };
    const same = queries.list.find((one) => one.id && keys.every((key) => one[key] === whole[key]));
    return same ? { ...same, hidden: whole.hidden } : { ...whole, state: "encoding" };
  });
}
