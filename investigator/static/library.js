// Library: every video below the folders, one search over all that is analysed, and the queue.
import * as conditions from "./conditions.js";
import { byId, element } from "./element.js";
import { icon } from "./icons.js";
import { action, failure, notice } from "./notice.js";
import { Queries } from "./queries.js";
import { QueryChips } from "./query_chips.js";
import { Queue } from "./queue.js";
import { SearchResults } from "./search_results.js";
import { get, post } from "./server.js";
import { taken } from "./session.js";
import { State } from "./state.js";
import { bytes, clock, span } from "./time.js";
import { VirtualList } from "./virtual_list.js";

const PAGE = 50;
const ROW_PIXELS = 68;
const SORTS = [["name", "Name"], ["modified", "Newest first"], ["duration", "Length"], ["size", "Size"]];
const GROUPS = [["", "any state"], ["analysed", "analysed"], ["open", "not analysed"], ["failed", "failed"]];
const LENGTHS = [["", "any length", {}], ["short", "under a minute", { longest_ms: 60_000 }], ["middle", "1 to 10 minutes", { shortest_ms: 60_000, longest_ms: 600_000 }],
  ["long", "10 to 60 minutes", { shortest_ms: 600_000, longest_ms: 3_600_000 }], ["hours", "over an hour", { shortest_ms: 3_600_000 }]];
const FILTERS = ["filter", "group", "folder", "length"];
const STATES = { new: ["not analysed", ""], coarse: ["key frames only", "warn"], partial: ["in part", "warn"], analysed: ["analysed", "good"],
  missing: ["missing", "bad"], unreadable: ["unreadable", "bad"], changed: ["changed", "warn"] };

export class Library {
  constructor(app) {
    this.app = app;
    this.state = new State({ queries: [], focus: null, sort: "name", filter: "", group: "", folder: "", length: "", match: "any" });
    this.queries = new Queries(this.state);
    this.pages = new Map(); // first index -> videos, or a promise
    this.facts = null;
    this.#build();
    this.#wires();
  }

  get title() { return ""; }

  async enter(values) {
    const whole = Object.keys(values).length > 0 || !this.entered;
    this.entered = true;
    if (whole) this.state.set({ sort: values.sort ?? "name", match: values.match ?? "any", ...Object.fromEntries(FILTERS.map((key) => [key, values[key] ?? ""])), queries: taken(this.queries, values.queries ?? []) });
    this.sort.value = this.state.sort;
    this.#showFilters();
    this.chips.show();
    this.queries.encodeAll();
    await Promise.all([this.#facts(), this.#list(), this.queue.fetch()]);
  }

  leave() {}
  draw() { this.chips.show(); this.#facts(); } // the model is there, or is not
  values() {
    const { queries, sort, filter, group, folder, length, match } = this.state;
    return { queries: queries.length ? queries : undefined, sort: sort === "name" ? null : sort, filter, group, folder, length, match: match === "any" ? null : match };
  }

  #build() {
    this.sort = element("select", { "aria-label": "Order", on: { change: () => this.state.set({ sort: this.sort.value }) } }, SORTS.map(([value, label]) => element("option", { value }, label)));
    this.filter = element("input", { type: "search", "aria-label": "Part of the file's name", placeholder: "Part of the file's name",
      on: { input: () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.state.set({ filter: this.filter.value.trim() }), 250); } } });
    const choice = (key, label, options) => element("select", { "aria-label": label, on: { change: (event) => this.state.set({ [key]: event.target.value }) } }, options.map(([value, words]) => element("option", { value }, words)));
    this.choices = { group: choice("group", "Which state", GROUPS), length: choice("length", "Which length", LENGTHS), folder: choice("folder", "Which folder", []) };
    this.count = element("span", { class: "count" });
    this.notices = element("div", { class: "library-notices" });
    const chips = element("div", { class: "card library-search" });
    const results = element("section", { class: "library-results", "aria-label": "Found", hidden: true });
    const list = element("div", { class: "library-list" });
    const queue = element("section", { class: "card queue", "aria-label": "Queue", hidden: true });
    this.empty = element("div");
    this.all = element("section", { class: "card library-all", "aria-labelledby": "library-all-title" },
      element("div", { class: "card-head" }, element("h2", { id: "library-all-title" }, "All videos"), this.count, this.shown = element("span", { class: "count" }), element("div", { class: "tools" }, this.filter, ...Object.values(this.choices), this.sort)),
      this.empty, list);
    byId("library").append(chips, this.notices, queue, results, this.all);
    this.chips = new QueryChips(chips, this.queries, this.state, this.app.info.limits);
    this.results = new SearchResults(results, { open: (video, time) => this.#open(video, time), analyse: () => this.#analyseNew() });
    this.queue = new Queue(queue);
    this.rows = new VirtualList(list, { rowHeight: ROW_PIXELS, label: "Videos", row: (index) => this.#row(index), need: (first, last) => this.#need(first, last) });
    this.app.keyboard.set("library", [{ keys: ["/"], label: "/", words: "type a text to look for", act: () => this.chips.input.focus() }]);
  }

  #wires() {
    const { state, app } = this;
    state.on([], () => app.changed());
    state.on(["queries", "match"], () => { this.chips.show(); this.#search(); });
    state.on(["sort", ...FILTERS], () => this.#list());
    app.live.addEventListener("job", (event) => {
      this.queue.take(event.detail.job);
      if (!["queued", "running", "paused"].includes(event.detail.job.state)) this.#later();
    });
    addEventListener("theme", () => this.results.again());
    app.live.addEventListener("video", (event) => this.#takeVideo(event.detail.video));
    app.live.addEventListener("resync", () => { if (this.entered) { this.#facts(); this.#list(); this.queue.fetch(); this.queries.encodeAll({ again: true }); } });
  }

  #later() { // many jobs may end at once
    clearTimeout(this.news);
    this.newsSince ??= performance.now();
    this.news = setTimeout(() => { this.newsSince = null; this.#facts(); this.#search(); if (this.state.group) this.#list(); }, performance.now() - this.newsSince > 4000 ? 0 : 500);
  }

  // --- all videos -------------------------------------------------------------------------------------------------------------

  async #facts() {
    try {
      this.facts = await get("api/library");
    } catch (error) {
      return this.notices.replaceChildren(failure(error, [{ label: "Try again", first: true, act: () => this.enter({}) }]));
    }
    const { total, analysed, new: fresh, failed, seconds_to_analyse_new: seconds } = this.facts;
    this.count.textContent = `${total} · ${analysed} analysed${failed ? ` · ${failed} failed` : ""}`;
    this.#showFilters();
    const roots = this.app.info.roots.join(", ");
    this.all.hidden = !total;
    if (!total) {
      return this.notices.replaceChildren(notice({ title: "No video here yet", words: [`No video was found${roots ? ` in ${roots}` : ""}.`, "Put videos there and look again, or start with another folder:"],
        command: "python main.py investigator roots=\"[/path/to/videos]\"", actions: [{ label: "Look again", first: true, act: () => this.enter({}) }] }));
    }
    const { model } = this.app.info;
    if (model.state === "failed") return this.notices.replaceChildren(notice(conditions.modelFailed(model, this.app.modelWays)));
    this.notices.replaceChildren(...(fresh ? [element("p", { class: "library-new" },
      element("span", {}, `${fresh} of ${total} videos ${fresh === 1 ? "is" : "are"} not analysed yet; search finds nothing in ${fresh === 1 ? "it" : "them"}.`),
      action({ label: `Analyse ${fresh === 1 ? "it" : `all ${fresh}`}${seconds ? ` (about ${span(seconds)})` : ""}`, first: true, act: () => this.#analyseNew() }))] : []));
  }

  async #analyseNew() {
    const { jobs } = await post("api/analyse", { videos: "all_new" });
    jobs.forEach((job) => this.queue.take(job));
  }

  #showFilters() {
    const { folder } = this.choices;
    folder.hidden = !this.facts?.folders.length;
    const there = ["", ...(this.facts?.folders ?? [])];
    if (there.length !== folder.options.length || there.some((value, place) => value !== folder.options[place].value)) folder.replaceChildren(...there.map((value) => element("option", { value }, value || "any folder")));
    for (const [key, select] of Object.entries(this.choices)) select.value = this.state[key];
    if (document.activeElement !== this.filter) this.filter.value = this.state.filter;
  }

  /** What the server is asked for: the filters that are set. */
  get #asked() {
    const { sort, filter, group, folder, length } = this.state;
    return { sort, ...(filter && { find: filter }), ...(group && { state: group }), ...(folder && { folder }), ...LENGTHS.find(([value]) => value === length)?.[2] };
  }

  async #list() {
    this.pages.clear();
    const first = await this.#page(0);
    if (!first) return;
    this.rows.reset(first.total);
    const filtered = FILTERS.some((key) => this.state[key]);
    this.shown.textContent = filtered ? `${first.total} shown` : "";
    this.empty.replaceChildren(...(first.total || !filtered ? [] : [notice({ kind: "plain", title: "No video is like that", level: "h3",
      actions: [{ label: "Show all", act: () => { this.state.set(Object.fromEntries(FILTERS.map((key) => [key, ""]))); this.#showFilters(); } }] })]));
  }

  async #page(offset) {
    const asked = this.#asked;
    const key = JSON.stringify(asked);
    const answer = await get(`api/videos?${new URLSearchParams({ offset, limit: PAGE, ...asked })}`).catch(() => null);
    if (!answer || key !== JSON.stringify(this.#asked)) return null;
    this.pages.set(offset, answer.videos);
    return answer;
  }

  #need(first, last) {
    for (let offset = Math.floor(first / PAGE) * PAGE; offset < last; offset += PAGE) {
      if (this.pages.has(offset)) continue;
      this.pages.set(offset, null);
      this.#page(offset).then((answer) => (answer ? this.rows.refresh() : this.pages.delete(offset)));
    }
  }

  #takeVideo(video) {
    for (const videos of this.pages.values()) {
      const place = videos?.findIndex((one) => one.id === video.id) ?? -1;
      if (place < 0) continue;
      videos[place] = { ...videos[place], ...video };
      clearTimeout(this.redraw);
      this.redraw = setTimeout(() => this.rows.refresh(), 200);
    }
  }

  #row(index) {
    const offset = Math.floor(index / PAGE) * PAGE;
    const video = this.pages.get(offset)?.[index - offset];
    if (!video) return null;
    const [words, kind] = STATES[video.state] ?? [video.state, ""];
    const usable = !["missing", "unreadable"].includes(video.state);
    return element("div", { class: "video-row" },
      usable ? element("img", { class: "thumb", src: `api/videos/${video.id}/frame?time_ms=0&width=160`, alt: "", loading: "lazy", width: 80, height: 48 }) : element("span", { class: "thumb none" }, icon("film")),
      element("span", { class: "video-name" }, element("a", { href: `#/watch?v=${video.id}` }, video.name),
        element("span", { class: "soft" }, [video.folder && video.folder !== "." ? video.folder : null, bytes(video.size_bytes), video.problem].filter(Boolean).join(" · "))),
      element("span", { class: "number soft video-length" }, video.duration_ms ? clock(video.duration_ms / 1000, 0) : ""),
      element("span", { class: `tag ${kind}` }, words));
  }

  // --- search -------------------------------------------------------------------------------------------------------------------

  async #search() {
    const ready = this.queries.ready;
    const positive = ready.filter((query) => !query.negative);
    this.results.container.hidden = !this.queries.list.length;
    if (!positive.length) return this.results.say(this.queries.list.some((query) => query.state === "encoding") ? null : { title: "Only texts to leave out", words: "Add one to look for." });
    const body = { queries: positive.map((query) => query.id), not: ready.filter((query) => query.negative).map((query) => query.id), mode: this.state.match, limit: 50 };
    const key = JSON.stringify(body);
    this.searching = key;
    try {
      const found = await post("api/search", body);
      if (this.searching === key) this.results.show(found, ready);
    } catch (error) {
      if (error.code === "not_found") return this.queries.encodeAll({ again: true });
      this.results.fail(error, () => this.#search());
    }
  }

  #open(video, time) {
    this.app.go("watch", { video: video.id, time, queries: this.state.queries, focus: this.queries.list.find((query) => !query.negative)?.slot });
  }
}
