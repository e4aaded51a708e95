// A text keeps its colour and its shape; either alone tells the twelve apart.
import { svg } from "./element.js";

export const MOST_QUERIES = 12;

// Plotly's name; a path that fills a square from 0 to 16; the sign on the curve itself, around 0, as large as Plotly's of size 8.
const SHAPES = [
  ["circle", "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z", "M4,0A4,4 0 1,1 0,-4A4,4 0 0,1 4,0Z"],
  ["square", "M2.7 2.7h10.6v10.6H2.7z", "M4,4H-4V-4H4Z"],
  ["triangle-up", "M8 1.8 14.6 13.6H1.4z", "M-4.62,2H4.62L0,-4Z"],
  ["diamond", "M8 1 15 8l-7 7-7-7z", "M5.2,0 0,5.2-5.2,0 0-5.2Z"],
  ["triangle-down", "M8 14.2 1.4 2.4h13.2z", "M-4.62-2H4.62L0,4Z"],
  ["star", "m8 .8 2.1 4.8 5.1.5-3.8 3.5 1.1 5.1L8 12.1l-4.5 2.6 1.1-5.1L.8 6.1l5.1-.5z", "M1.26-1.73H5.33L2.03.66 3.29 4.53 0 2.14-3.29 4.53-2.03.66-5.33-1.73H-1.26L0-5.6Z"],
  ["cross", "M6 1.5h4V6h4.5v4H10v4.5H6V10H1.5V6H6z", "M4.8,1.6H1.6V4.8H-1.6V1.6H-4.8V-1.6H-1.6V-4.8H1.6V-1.6H4.8Z"],
  ["x", "m3.8 1.2 4.2 4.2 4.2-4.2 2.6 2.6L10.6 8l4.2 4.2-2.6 2.6L8 10.6l-4.2 4.2-2.6-2.6L5.4 8 1.2 3.8z", "M0,2.26 2.26,4.52 4.52,2.26 2.26,0 4.52-2.26 2.26-4.52 0-2.26-2.26-4.52-4.52-2.26-2.26,0-4.52,2.26-2.26,4.52Z"],
  ["pentagon", "M8 1.2 15 6.3 12.3 14.5H3.7L1 6.3z", "M3.8-1.24 2.35,3.24H-2.35L-3.8-1.24 0-4Z"],
  ["hexagon", "M8 .8 14.3 4.4v7.2L8 15.2l-6.3-3.6V4.4z", "M3.46-2V2L0,4-3.46,2V-2L0-4Z"],
  ["hourglass", "M2 1.5h12L2 14.5h12z", "M4,4H-4L4-4H-4Z"],
  ["bowtie", "M1.5 2v12L14.5 2v12z", "M4,4V-4L-4,4V-4Z"],
];

/** The colour of a query on the present theme, as written in tokens.css. */
export function colourOf(slot) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--query-${slot % MOST_QUERIES}`).trim();
}

export function symbolOf(slot) {
  return SHAPES[slot % MOST_QUERIES][0];
}

/** The same sign as a path around (0, 0). */
export function signOf(slot) {
  return SHAPES[slot % MOST_QUERIES][2];
}

/** The little figure beside a query's words. It is decoration: the words stand next to it. */
export function swatch(slot) {
  return svg("svg", { class: `swatch query-${slot % MOST_QUERIES}`, viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    svg("path", { d: SHAPES[slot % MOST_QUERIES][1] }));
}

/** The first slot that none of `queries` has. */
export function freeSlot(queries) {
  const taken = new Set(queries.map((query) => query.slot));
  for (let slot = 0; slot < MOST_QUERIES; slot += 1) if (!taken.has(slot)) return slot;
  throw new Error(`all ${MOST_QUERIES} places for texts are taken`);
}
