// What the plot is to look like, whoever draws it: the axes' marks, and few enough points of each curve.
import { decimated } from "./decimation.js";
import { colourOf } from "./palette.js";
import { ticks } from "./time.js";

const MOST_COLUMNS = 5000; // of all curves: a picture of more takes too long to follow a hand
const THIN = 1; // pixel: any other width takes many times as long
const LEVELS = 6; // marks on the axis of the scores
export const SIGNS = 9; // of a curve: enough to tell it without its colour

/**
 * `picture`: {axis, low, high, height, decimals, curves: [{slot, text, times, values, faint, thin}]} ->
 * {axis, low, high, height, columns, rows, colours, font, lines: [{slot, text, colour, opacity, width, x, y}]}; columns and rows
 * are {values, labels}.
 */
export function figureOf(picture) {
  const { axis, low, high, height, decimals, curves } = picture;
  const style = getComputedStyle(document.documentElement);
  const columns = Math.min(1000, Math.max(200, Math.round(axis.width)), Math.round(MOST_COLUMNS / Math.max(1, curves.length)));
  return {
    axis, low, high, height, columns: ticks(axis.start, axis.end, Math.max(3, axis.width / 90)), rows: levels(low, high, decimals),
    colours: Object.fromEntries(["soft", "line", "line-strong"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()])),
    font: { family: style.fontFamily, size: 11.5 },
    lines: curves.map(({ slot, text, times, values, faint, thin }) => {
      const places = decimated(times, values, axis.start, axis.end, columns);
      return { slot, text, colour: colourOf(slot), opacity: faint ? 0.45 : 1, width: thin ? THIN : 2,
        x: places.map((place) => times[place]), y: places.map((place) => values[place]) };
    }),
  };
}

/** Whether two pictures look the same in the theme that both are drawn in. */
export function sameLook(one, other) {
  if (!one || !other || one.curves.length !== other.curves.length) return false;
  const keys = ["low", "high", "height", "decimals"];
  return keys.every((key) => one[key] === other[key]) && ["start", "end", "width"].every((key) => one.axis[key] === other.axis[key])
    && one.curves.every((curve, place) => ["slot", "text", "times", "values", "faint", "thin"].every((key) => curve[key] === other.curves[place][key]));
}

/** Round values inside [low, high], at most about six, and their labels. */
function levels(low, high, decimals) {
  const least = (high - low) / LEVELS;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= least * (1 - 1e-9));
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9; n += 1) values.push(n ? n * step : 0);
  return { values, labels: values.map((value) => value.toFixed(decimals).replace("-", "−")) };
}

/**
 * The places of the points that carry their curve's sign, for the `place`-th line: every so many of those inside, each curve's
 * elsewhere. It is Plotly's own rule for `maxdisplayed`, so that no sign jumps when it takes over from the canvas.
 */
export function signedPlaces({ x, y }, place, { axis, low, high }) {
  const inside = [];
  for (let n = 0; n < x.length; n += 1) if (x[n] >= axis.start && x[n] <= axis.end && y[n] >= low && y[n] <= high) inside.push(n);
  const step = Math.ceil(inside.length / SIGNS);
  const first = Math.round((place * step) / 3 + (Math.floor(place / 3) * step) / 7.1);
  return inside.filter((_, n) => (n + first) % step === 0);
}
