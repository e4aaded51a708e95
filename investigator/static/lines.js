// The curves themselves: the only file that knows Plotly. It draws; pointers and keys are the overlay's.
import { MARGIN } from "./axis.js";
import { element } from "./element.js";
import { colourOf, symbolOf } from "./palette.js";
import { decimated } from "./decimation.js";
import { ticks } from "./time.js";

let loading = null;
const MOST_COLUMNS = 5000; // of all curves: a picture of more takes too long to follow a hand

/** Plotly, whose script begins to load with the page, which is usable before its megabytes are here. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    let script = document.getElementById("plotly");
    if (script.dataset.failed) {
      const again = element("script", { id: "plotly", src: script.src });
      script.replaceWith(again);
      script = again;
    }
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => { loading = null; reject(new Error("the plotting library could not be loaded from the server")); });
  });
  return loading;
}

export class Lines {
  constructor(container) {
    this.container = container;
    this.waiting = null;
    this.busy = false;
  }

  /**
   * Draws the newest of what was asked for; what came while one was being drawn is skipped.
   * `picture`: {axis, low, high, height, curves: [{slot, text, times, values, faint, thin}], decimals}
   */
  async draw(picture) {
    this.waiting = picture;
    if (this.busy) return;
    this.busy = true;
    try {
      const library = await plotly();
      while (this.waiting) {
        const next = this.waiting;
        this.waiting = null;
        this.drawn = next;
        await library.react(this.container, this.#traces(next), this.#layout(next), { staticPlot: true, displayModeBar: false, responsive: false });
      }
    } finally {
      this.busy = false;
    }
  }

  /** What was drawn last as a PNG (a data: address), with the texts beside it. */
  async image() {
    const library = await plotly();
    const { drawn } = this;
    const data = this.#traces(drawn).map((trace, place) => ({ ...trace, name: drawn.curves[place].text, showlegend: true }));
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--card").trim();
    const layout = { ...this.#layout(drawn), height: 420, showlegend: true, legend: { orientation: "h" }, paper_bgcolor: ground, margin: { ...MARGIN, b: 70, pad: 0 } };
    return library.toImage({ data, layout }, { format: "png", width: layout.width, height: layout.height, scale: 2 });
  }

  #traces({ axis, curves }) {
    const columns = Math.min(1000, Math.max(200, Math.round(axis.width)), Math.round(MOST_COLUMNS / Math.max(1, curves.length)));
    return curves.map(({ slot, times, values, faint, thin }) => {
      const places = decimated(times, values, axis.start, axis.end, columns);
      const colour = colourOf(slot);
      return {
        type: "scatter", mode: "lines+markers", hoverinfo: "skip", showlegend: false, opacity: faint ? 0.45 : 1,
        x: places.map((place) => times[place]), y: places.map((place) => values[place]),
        line: { color: colour, width: thin ? 1.2 : 2 },
        marker: { color: colour, symbol: symbolOf(slot), size: 8, maxdisplayed: 9 },
      };
    });
  }

  #layout({ axis, low, high, height, decimals }) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const marks = ticks(axis.start, axis.end, Math.max(3, axis.width / 90));
    const font = { family: style.fontFamily, size: 11.5, color: colour("--soft") };
    return {
      width: axis.width + MARGIN.l + MARGIN.r, height, margin: { ...MARGIN, pad: 0 }, font, uirevision: 1,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      xaxis: {
        range: [axis.start, axis.end], tickvals: marks.values, ticktext: marks.labels, automargin: false, zeroline: false,
        gridcolor: colour("--line"), linecolor: colour("--line-strong"), showline: true, fixedrange: true,
      },
      yaxis: {
        range: [low, high], automargin: false, gridcolor: colour("--line"), zeroline: low < 0 && high > 0,
        zerolinecolor: colour("--line-strong"), nticks: 6, tickformat: `.${decimals}f`, fixedrange: true,
      },
    };
  }
}
