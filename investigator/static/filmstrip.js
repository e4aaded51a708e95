// The best moments of the chosen text that do not lie close together, or the statement that nothing stands out.
import { element } from "./element.js";
import { notice } from "./notice.js";
import { percent, wordFor, written } from "./scales.js";
import { clock } from "./time.js";

export class Filmstrip {
  /** `on`: {seek(time), add(text), anyway()} */
  constructor({ body, count, on }) {
    Object.assign(this, { body, count, on });
  }

  /** `found`: {stands_out, moments, rephrase} of the server, or null with `words`: why there is none. */
  show({ found, query, anyway, words }) {
    const key = JSON.stringify([found, query, anyway, words]);
    if (key === this.key) return;
    this.key = key;
    this.count.textContent = "";
    if (!found) return this.body.replaceChildren(notice({ kind: "plain", level: "h3", title: words.title, words: words.words }));
    const nodes = [];
    if (!found.stands_out) {
      nodes.push(notice({
        kind: "plain", level: "h3", title: `No moment stands out for “${query}”`,
        words: ["Even the best frame fits neutral texts as well. The best guesses would be little better than chance.",
          found.rephrase.length ? "Other words may do better:" : ""],
        actions: [...found.rephrase.map((text) => ({ label: text, act: () => this.on.add(text) })),
          !anyway && { label: "Show the best guesses anyway", act: () => this.on.anyway() }],
      }));
    }
    if (found.stands_out || anyway) {
      const moments = anyway || !found.stands_out ? found.moments : found.moments.filter((moment) => moment.odds >= 0);
      this.count.textContent = `for “${query}”${found.stands_out ? "" : ", within noise"}`;
      nodes.push(element("ol", { class: "film" }, moments.map((moment) => element("li", {},
        element("button", { type: "button", on: { click: () => this.on.seek(moment.time_ms / 1000) } },
          element("img", { class: "thumb", src: moment.picture, alt: "", loading: "lazy", width: 160, height: 90 }),
          element("span", {}, element("strong", { class: "number" }, clock(moment.time_ms / 1000, 1)), " ",
            element("span", { class: "value number", title: `${percent(moment.odds)} against neutral texts` }, `${written(moment.odds, "baseline")} ${wordFor(moment.odds)}`)))))));
    }
    this.body.replaceChildren(...nodes);
  }
}
