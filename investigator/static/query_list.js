// The list of texts beside the player, and the row to add one.
import { announce, element } from "./element.js";
import { icon } from "./icons.js";
import { sentence } from "./notice.js";
import { swatch } from "./palette.js";
import { wordsOf } from "./queries.js";
import { percent, wordFor, written } from "./scales.js";
import { clock, placeAt } from "./time.js";

export class QueryList {
  /** `limits` of the server · `grab({negative})` adds the frame on screen · `now()`: seconds at the playhead. */
  constructor({ list, form, count, session, limits, grab, now }) {
    Object.assign(this, { list, count, session, limits, grab, now, queries: session.queries, state: session.state });
    this.editing = null;
    this.rows = new Map();
    form.append(this.#form());
  }

  show() {
    const all = this.queries.list;
    this.count.textContent = `${all.length} of ${this.limits.queries}`;
    const focused = this.queries.focused?.slot;
    this.rows.clear();
    const active = document.activeElement?.dataset?.key; // redrawing keeps the keyboard's place
    this.list.replaceChildren(...all.map((query) => this.#row(query, query.slot === focused)));
    if (active) this.list.querySelector(`[data-key="${active}"]`)?.focus();
    this.add.disabled = this.queries.full;
    this.input.placeholder = this.queries.full ? "Twelve at once: remove one first" : "Describe what to look for";
    this.tick();
  }

  /** The values at the playhead; called for each presented frame. */
  tick() {
    const { reading, scale, among } = this.session;
    if (!reading?.rows) return;
    const row = placeAt(reading.times, this.now());
    for (const query of this.queries.ready) {
      const nodes = this.rows.get(query.slot);
      const odds = reading.baseline.get(query.id)?.[row];
      if (!nodes || odds === undefined) continue;
      const values = scale === "share" ? reading.on(scale, among, 0).get(query.id) : reading[scale].get(query.id);
      const word = wordFor(odds);
      const text = values ? written(values[row], scale) : "";
      if (nodes.value.textContent !== text) nodes.value.textContent = text;
      if (nodes.word.textContent === word) continue;
      nodes.word.textContent = word;
      nodes.word.className = `word-${word.split(" ")[0]}`;
    }
  }

  #row(query, focused) {
    const value = element("span", { class: "number" });
    const word = element("span");
    this.rows.set(query.slot, { value, word });
    const name = wordsOf(query);
    const tool = (sign, label, act, more = {}) => element("button", {
      type: "button", class: "icon quiet", "aria-label": `${label}: ${name}`, title: label, "data-key": `${query.slot} ${label}`, on: { click: act }, ...more }, icon(sign));
    return element("li", { class: "query", "data-focused": focused, "data-hidden": query.hidden, "data-slot": query.slot },
      element("button", { class: "words", type: "button", "aria-pressed": String(focused), "data-key": `${query.slot} words`, title: "Choose it; Shift and ↑ ↓ move it",
        on: { click: () => this.state.set({ focus: query.slot }), keydown: (event) => this.#moved(event, query) } },
        swatch(query.slot),
        element("span", { class: "text" }, query.negative && element("span", { class: "not" }, "not"),
          query.picture && element("img", { src: query.picture, alt: "" }), name),
        element("span", { class: "now" }, value, " ", word),
        element("span", { class: "best" }, this.#best(query))),
      element("div", { class: "tools" },
        tool("up", "Move up", () => this.queries.move(query.slot, -1), { disabled: query === this.queries.list[0] }),
        tool(query.hidden ? "hidden" : "eye", "Show in the plot", () => this.queries.change(query.slot, { hidden: !query.hidden }), { "aria-pressed": String(!query.hidden) }),
        query.kind === "text" && tool("edit", "Edit", () => { this.editing = query.slot; this.show(); this.list.querySelector("form input")?.select(); }),
        tool("remove", "Remove", () => { this.queries.remove(query.slot); this.input.focus(); announce(`${name} removed`); })),
      this.editing === query.slot && this.#editor(query));
  }

  #moved(event, query) {
    if (!event.shiftKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    this.queries.move(query.slot, event.key === "ArrowUp" ? -1 : 1);
    announce(`${wordsOf(query)}: place ${this.queries.list.findIndex((one) => one.slot === query.slot) + 1} of ${this.queries.list.length}`);
  }

  #best(query) {
    if (query.state === "failed") return `${sentence(query.error.message)} ${sentence(query.error.advice ?? "")}`;
    if (query.state === "encoding") return "encoding…";
    const best = this.session.reading?.best(query.id, this.session.scale);
    if (!best) return query.negative ? "moments like this are left out" : "no score yet";
    const head = query.negative ? "left out where it fits · best" : "best";
    return best.peakOdds >= 0
      ? `${head} ${written(best.peak, best.scale)} at ${clock(best.peakTime, 1)} · ${percent(best.peakOdds)} against neutral texts`
      : "nothing stands out";
  }

  #editor(query) {
    const done = () => { this.editing = null; this.show(); this.list.querySelector(`[data-key="${query.slot} Edit"]`)?.focus(); };
    const input = element("input", { type: "text", "aria-label": `New words for ${query.text}`, maxlength: this.limits.text_characters, value: query.text,
      on: { keydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); done(); } } } });
    return element("form", { on: { submit: (event) => {
      event.preventDefault();
      const text = input.value.trim();
      this.editing = null;
      if (text && text !== query.text) this.queries.edit(query.slot, text);
      done();
    } } }, input, element("button", { type: "submit", class: "first" }, "Save"));
  }

  #form() {
    this.input = element("input", { type: "text", id: "new-text", "aria-label": "New text to look for", maxlength: this.limits.text_characters, autocomplete: "off" });
    this.negative = element("input", { type: "checkbox", id: "new-negative" });
    this.add = element("button", { type: "submit", class: "first" }, "Add");
    this.error = element("p", { class: "error", role: "alert", hidden: true });
    const file = element("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "unseen", tabindex: "-1", "aria-label": "Picture to look for",
      on: { change: () => { if (file.files[0]) this.#picture(file.files[0]); file.value = ""; } } });
    this.input.addEventListener("paste", (event) => {
      const [picture] = event.clipboardData?.files ?? [];
      if (picture?.type.startsWith("image/")) { event.preventDefault(); this.#picture(picture); }
    });
    return element("form", { class: "query-form", on: { submit: (event) => { event.preventDefault(); this.#submit(); } } },
      element("div", { class: "row" }, this.input, this.add),
      element("div", { class: "row" },
        element("label", { class: "check", title: "Leave out moments that look like this" }, this.negative, "not this"),
        element("button", { type: "button", on: { click: () => this.#tell(this.grab({ negative: this.negative.checked })) } }, icon("frame"), "This frame"),
        element("button", { type: "button", on: { click: () => file.click() } }, icon("picture"), "Picture…"), file),
      this.error);
  }

  #submit() {
    const text = this.input.value.trim().replace(/\s+/g, " ");
    if (!text) return this.input.focus();
    this.#tell(this.queries.add({ kind: "text", text, negative: this.negative.checked }));
    this.input.value = "";
    this.negative.checked = false;
  }

  #picture(file) {
    const limit = this.limits.upload_bytes;
    if (file.size > limit) return this.#complain(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; pictures up to ${(limit / 1e6).toFixed(0)} MB can be looked for.`);
    if (!/^image\/(png|jpeg|webp)$/.test(file.type)) return this.#complain(`${file.name} is no PNG, JPEG or WebP picture.`);
    this.#tell(this.queries.add({ kind: "image", text: "", file, label: file.name, negative: this.negative.checked }));
    this.negative.checked = false;
  }

  #tell(slot) { this.#complain(slot === null ? "Twelve texts are shown already. Remove one first." : ""); }

  #complain(sentence) {
    this.error.textContent = sentence;
    this.error.hidden = !sentence;
  }
}
