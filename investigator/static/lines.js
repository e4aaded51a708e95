// The curves themselves: on a canvas at once, and by Plotly, which this file alone knows, as soon as nothing moves any more. It
// draws; pointers and keys are the overlay's.
import { MARGIN } from "./axis.js";
import { drawOn } from "./canvas_lines.js";
import { element } from "./element.js";
import { figureOf, sameLook, SIGNS } from "./figure.js";
import { symbolOf } from "./palette.js";

const SETTLED_MS = 120; // a figure that has stood so long is handed over
const IDLE_MS = 1000; // at most so long is waited for a moment in which the page has nothing to do
let loading = null;

/** Plotly, whose megabytes are asked for when the first curves are on screen: nothing waits for them but a picture to save. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const place = document.getElementById("plotly");
    const script = element("script", { id: "plotly", src: place.dataset.src, "data-src": place.dataset.src });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => { loading = null; reject(new Error("the plotting library could not be loaded from the server")); });
    place.replaceWith(script);
  });
  return loading;
}

let pressed = false; // something is being dragged: the canvas alone is quick enough to follow
for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) addEventListener(type, (event) => { pressed = event.buttons > 0; }, true);

const whenIdle = window.requestIdleCallback?.bind(window) ?? ((act) => setTimeout(act, 0));

export class Lines {
  /** `failed(error)`: Plotly could not draw; the canvas stays. */
  constructor(container, failed) {
    this.failed = failed;
    this.canvas = element("canvas");
    this.sheet = element("div", { class: "sheet", "data-behind": true });
    container.append(this.canvas, this.sheet);
    this.picture = null;
    this.busy = false;
    addEventListener("theme", () => { this.picture = null; });
  }

  /** `picture`: as figureOf takes it. */
  draw(picture) {
    if (sameLook(picture, this.picture)) return;
    this.picture = picture;
    this.figure = figureOf(picture);
    drawOn(this.canvas, this.figure);
    this.#front(this.canvas);
    this.#later();
  }

  #front(one) {
    this.canvas.hidden = one !== this.canvas;
    this.sheet.toggleAttribute("data-behind", one !== this.sheet); // it is drawn while it is not seen, so it keeps its box
  }

  #later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => whenIdle(() => this.#settle(), { timeout: IDLE_MS }), SETTLED_MS);
  }

  async #settle() {
    const { figure } = this;
    if (pressed) return this.#later();
    if (this.busy || !(figure.lines.length || window.Plotly)) return; // without a curve nothing is worth its loading
    this.busy = true;
    try {
      const library = window.Plotly ?? await plotly();
      if (figure === this.figure) await library.react(this.sheet, traces(figure), layout(figure), { staticPlot: true, displayModeBar: false, responsive: false });
      if (figure === this.figure) this.#front(this.sheet);
      else this.#later(); // something moved meanwhile
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = false;
    }
  }

  /** What is on screen as a PNG (a data: address), with the texts beside it. */
  async image() {
    const library = await plotly();
    const { figure } = this;
    const data = traces(figure).map((trace, place) => ({ ...trace, name: figure.lines[place].text, showlegend: true }));
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
    const whole = { ...layout(figure), height: 420, showlegend: true, legend: { orientation: "h" }, paper_bgcolor: ground, margin: { ...MARGIN, b: 70, pad: 0 } };
    return library.toImage({ data, layout: whole }, { format: "png", width: whole.width, height: whole.height, scale: 2 });
  }
}

function traces({ lines }) {
  return lines.map(({ slot, colour, opacity, width, x, y }) => ({
    type: "scatter", mode: "lines+markers", hoverinfo: "skip", showlegend: false, opacity, x, y, line: { color: colour, width },
    marker: { color: colour, symbol: symbolOf(slot), size: 8, maxdisplayed: SIGNS },
  }));
}

function layout({ axis, low, high, height, columns, rows, colours, font }) {
  const both = { automargin: false, gridcolor: colours.line, fixedrange: true };
  return {
    width: axis.width + MARGIN.l + MARGIN.r, height, margin: { ...MARGIN, pad: 0 }, font: { ...font, color: colours.soft }, uirevision: 1,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    xaxis: { ...both, range: [axis.start, axis.end], tickvals: columns.values, ticktext: columns.labels, zeroline: false, linecolor: colours["line-strong"], showline: true },
    yaxis: { ...both, range: [low, high], tickvals: rows.values, ticktext: rows.labels, zeroline: low < 0 && high > 0, zerolinecolor: colours["line-strong"] },
  };
}
