// The scores of one video for the queries on the page, on every scale, as far as the analysis has come.
import { complement } from "./decimation.js";
import { shares, smooth } from "./scales.js";
import { curves, SHOWN_SCALES } from "./server.js";
import { placeAt } from "./time.js";

export class Reading {
  constructor(video) {
    this.video = video;
    this.#clear();
  }

  #clear() {
    this.times = new Float64Array(0);
    this.raw = new Map(); // query id -> float32 [rows]
    this.baseline = new Map();
    this.facts = new Map(); // query id -> {raw, baseline}: the server's peak, threshold, drop …
    this.header = null;
    this.made = new Map();
  }

  get rows() { return this.times.length; }
  get revision() { return this.header?.revision ?? -1; }
  get complete() { return Boolean(this.header?.complete); }

  /** Spans in seconds that are not analysed finely yet. */
  gaps(duration) {
    return complement((this.header?.sampled_ms ?? []).map(([begin, end]) => [begin / 1000, end / 1000]), duration);
  }

  /** Fetches what is missing for `ids`; all of them anew where the analysis has gone on (`again`, or another revision). */
  async fetch(ids, { again = false } = {}) {
    const wanted = again ? ids : ids.filter((id) => !this.raw.has(id));
    for (const id of this.raw.keys()) if (!ids.includes(id)) [this.raw, this.baseline, this.facts].forEach((map) => map.delete(id));
    if (!wanted.length) return;
    const [raw, baseline] = await Promise.all(SHOWN_SCALES.map((scale) => curves(this.video, wanted, scale)));
    if (raw.header.revision !== baseline.header.revision) return this.fetch(ids, { again: true }); // rows came in between
    if (!again && this.header && raw.header.revision !== this.header.revision) return this.fetch(ids, { again: true });
    if (again) this.#clear();
    this.header = raw.header;
    this.times = raw.times;
    for (const [place, query] of raw.header.queries.entries()) {
      this.raw.set(query.id, raw.scores.get(query.id));
      this.baseline.set(query.id, baseline.scores.get(query.id));
      this.facts.set(query.id, { raw: query, baseline: baseline.header.queries[place] });
    }
    this.made.clear();
  }

  /** query id -> float32 [rows] on `scale`, smoothed; share among `shown` (ids). Ids without scores are left out. */
  on(scale, shown, smoothSeconds) {
    const ids = shown.filter((id) => this.raw.has(id));
    const key = JSON.stringify([scale, ids, smoothSeconds]);
    if (!this.made.has(key)) {
      const plain = scale === "share" ? shares(ids.map((id) => this.raw.get(id)), this.header.logit_scale) : ids.map((id) => this[scale].get(id));
      if (this.made.size > 8) this.made.clear();
      this.made.set(key, new Map(ids.map((id, place) => [id, smooth(this.times, plain[place], smoothSeconds)])));
    }
    return this.made.get(key);
  }

  /** The log-odds of a query at `seconds`, unsmoothed. */
  oddsAt(id, seconds) {
    const values = this.baseline.get(id);
    return values?.length ? values[placeAt(this.times, seconds)] : NaN;
  }

  /** The server's own threshold and drop for a query on a scale. */
  defaults(id, scale) {
    if (scale === "share") return { threshold: 0.5, drop: 0.1 };
    const facts = this.facts.get(id)?.[scale];
    return { threshold: facts?.threshold ?? NaN, drop: facts?.drop ?? NaN };
  }

  /** {peak, peakTime (seconds), peakOdds, scale} of a query; null without scores. A share has no peak of its own: the odds' is given. */
  best(id, scale) {
    const facts = this.facts.get(id);
    if (!facts || !this.rows) return null;
    const given = scale === "raw" ? "raw" : "baseline";
    return { peak: facts[given].peak, peakTime: facts[given].peak_ms / 1000, peakOdds: facts.baseline.peak, scale: given };
  }
}
