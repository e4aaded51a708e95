// The three scales that a score is shown on. Raw cosines stand close together and mean little alone; the other two are made
// of them, and say so in their names.

export const SCALES = {
  baseline: {
    name: "Against neutral texts", decimals: 1,
    meaning: "Log-odds that the frame fits this text rather than neutral ones such as “a photo”. Above 0 the text wins; below, it does not stand out.",
  },
  raw: {
    name: "Raw cosine", decimals: 3,
    meaning: "The model's cosine between text and frame. Its height says little alone: compare it along one text, not between texts.",
  },
  share: {
    name: "Share among the texts", decimals: 2,
    meaning: "Softmax over the texts shown. It says which of them fits best, never that one fits at all.",
  },
};

const STRONG = 2.2; // log-odds: nine to one against the neutral texts
const WEAK = 0; // even

/** Log-odds against neutral texts -> the word beside the number. */
export function wordFor(odds) {
  if (!Number.isFinite(odds)) return "";
  return odds >= STRONG ? "strong" : odds >= WEAK ? "weak" : "within noise";
}

/** A value on a scale as people read it: "+6.8", "0.291", "87 %". */
export function written(value, scale) {
  if (!Number.isFinite(value)) return "–";
  if (scale === "share") return `${Math.round(value * 100)} %`;
  if (scale === "raw") return value.toFixed(3);
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)}`;
}

/** 2.2 -> "90 %": log-odds as a share of two. */
export function percent(odds) {
  const share = 100 / (1 + Math.exp(-odds));
  if (share > 99.9 || share < 0.1) return share > 50 ? "over 99.9 %" : "under 0.1 %";
  return `${share > 99 || share < 1 ? share.toFixed(1) : Math.round(share)} %`;
}

/** Softmax at each row over `curves` of cosines (arrays of equal length), times the model's own `logitScale`. */
export function shares(curves, logitScale) {
  const out = curves.map((curve) => new Float32Array(curve.length));
  for (let row = 0; row < (curves[0]?.length ?? 0); row += 1) {
    const best = Math.max(...curves.map((curve) => curve[row]));
    const weights = curves.map((curve) => Math.exp((curve[row] - best) * logitScale));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    weights.forEach((weight, place) => { out[place][row] = weight / total; });
  }
  return out;
}

/** The mean over the rows within `seconds` / 2 of each row. `times` increases. For the eye: segments do not use it. */
export function smooth(times, values, seconds) {
  if (!seconds) return values;
  const out = new Float32Array(values.length);
  let [begin, end, sum] = [0, 0, 0];
  for (let row = 0; row < values.length; row += 1) {
    while (end < values.length && times[end] <= times[row] + seconds / 2) { sum += values[end]; end += 1; }
    while (times[begin] < times[row] - seconds / 2) { sum -= values[begin]; begin += 1; }
    out[row] = sum / (end - begin);
  }
  return out;
}

/** [low, high] of the plot for these curves, with the threshold inside and a little room. */
export function rangeOf(curves, scale, threshold) {
  if (scale === "share") return [0, 1];
  let [low, high] = [Infinity, -Infinity];
  for (const { values } of curves) for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (Number.isFinite(threshold)) [low, high] = [Math.min(low, threshold), Math.max(high, threshold)];
  if (!Number.isFinite(low)) return scale === "raw" ? [0, 0.4] : [-6, 6];
  const room = Math.max((high - low) * 0.06, scale === "raw" ? 0.005 : 0.3);
  return [low - room, high + room];
}
