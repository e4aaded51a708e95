// The plot's lines on a canvas, in a few milliseconds: what is on screen until Plotly has loaded, and whatever moves. It looks as
// Plotly's own drawing of the same figure, to the pixel where that can be had.
import { MARGIN } from "./axis.js";
import { signedPlaces } from "./figure.js";
import { signOf } from "./palette.js";

const LABEL_BELOW = 14.8; // from the axis down to the times' base line
const LABEL_LEFT = 1; // from the axis to the scores
const LABEL_DROP = 0.35; // of the letters' size: a score stands beside its line's middle
const PIECE = 8; // points of a wide line that are stroked at once: of a whole line of peaks it takes ten times as long

/** Draws `figure` (of figure.js) on `canvas`, which lies over the whole plot. */
export function drawOn(canvas, figure) {
  const { axis, low, high, height, colours, font } = figure;
  const scale = window.devicePixelRatio || 1;
  const [left, right, top, bottom] = [MARGIN.l, MARGIN.l + axis.width, MARGIN.t, height - MARGIN.b];
  const size = [Math.round((right + MARGIN.r) * scale), Math.round(height * scale)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = size;
    [canvas.style.width, canvas.style.height] = size.map((pixels) => `${pixels / scale}px`); // never stretched
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, right + MARGIN.r, height);
  const levelOf = (value) => top + ((high - value) / (high - low)) * (bottom - top);
  const sharp = (pixel) => (Math.ceil(pixel * scale) - 1) / scale; // whole pixels, where the eye expects a line
  const thin = 1;

  context.font = `${font.size}px ${font.family}`;
  context.textAlign = "center";
  figure.columns.values.forEach((time, place) => {
    const x = axis.pixelOf(time);
    context.fillStyle = colours.line;
    if (x - left > 1 && right - x > 1) context.fillRect(sharp(x), top, thin, bottom - top);
    context.fillStyle = colours.soft;
    const label = figure.columns.labels[place];
    const half = context.measureText(label).width / 2;
    if (x - half >= 0 && x + half <= right + MARGIN.r) context.fillText(label, x, bottom + LABEL_BELOW); // never half a time
  });
  context.textAlign = "right";
  figure.rows.values.forEach((value, place) => {
    const y = levelOf(value);
    const zero = value === 0 && low < 0 && high > 0;
    context.fillStyle = zero ? colours["line-strong"] : colours.line;
    if (zero || (y - top > 1 && bottom - y > 1)) context.fillRect(left, sharp(y), axis.width, thin);
    context.fillStyle = colours.soft;
    context.fillText(figure.rows.labels[place], left - LABEL_LEFT, y + font.size * LABEL_DROP);
  });

  context.save();
  context.beginPath();
  context.rect(left, top, axis.width, bottom - top);
  context.clip();
  context.lineJoin = "miter";
  context.miterLimit = 2;
  figure.lines.forEach((line, place) => {
    context.globalAlpha = line.opacity;
    context.strokeStyle = context.fillStyle = line.colour;
    context.lineWidth = line.width;
    const most = line.width * scale > 1 ? PIECE : Infinity;
    for (let from = 0; from < line.x.length - 1; from += most - 1) {
      context.beginPath();
      for (let n = from; n < Math.min(from + most, line.x.length); n += 1) context.lineTo(axis.pixelOf(line.x[n]), levelOf(line.y[n]));
      context.stroke();
    }
    const sign = new Path2D(signOf(line.slot));
    for (const n of signedPlaces(line, place, figure)) {
      const [x, y] = [axis.pixelOf(line.x[n]), levelOf(line.y[n])];
      context.translate(x, y);
      context.fill(sign);
      context.translate(-x, -y);
    }
  });
  context.restore();
  context.fillStyle = colours["line-strong"];
  context.fillRect(left, sharp(bottom + 0.5), axis.width, thin);
}
