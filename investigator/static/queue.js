// The queue: what is being analysed, what waits, and what failed with its cause.
import { element } from "./element.js";
import { action, sentence } from "./notice.js";
import { get, model, post } from "./server.js";
import { isActive, isStale, jobActions, jobBar, jobWords } from "./status.js";

const SHOWN = 8;

export class Queue {
  constructor(container) {
    this.container = container;
    this.jobs = new Map();
    this.names = new Map();
  }

  async fetch() {
    const { jobs } = await get("api/jobs").catch(() => ({ jobs: [] }));
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    this.#draw();
  }

  take(job) {
    if (isStale(job, this.jobs.get(job.id))) return;
    this.jobs.set(job.id, job);
    this.#soon();
  }

  #soon() { this.drawing ??= setTimeout(() => { this.drawing = null; this.#draw(); }, 200); }

  async #name(id) {
    if (!id || this.names.has(id)) return;
    this.names.set(id, "…");
    const video = await get(`api/videos/${id}`).catch(() => null);
    this.names.set(id, video?.name ?? "a video");
    this.#draw();
  }

  #draw() {
    if (this.container.matches(":active")) return this.#soon(); // a button that is pressed stays where it is
    const focused = document.activeElement;
    const place = this.container.contains(focused) && `[data-job="${focused.closest("[data-job]")?.dataset.job}"] [data-verb="${focused.dataset.verb}"]`;
    const order = { running: 0, paused: 1, queued: 2, failed: 3 };
    const latest = new Map(); // of a video and a kind: what failed and was done again later is no failure any more
    for (const job of [...this.jobs.values()].sort((a, b) => a.number - b.number)) latest.set(`${job.video} ${job.kind} ${job.model_id}`, job);
    const all = [...latest.values()].filter((job) => job.state === "failed" || isActive(job)).sort((a, b) => order[a.state] - order[b.state]);
    this.container.hidden = !all.length;
    const waiting = all.filter((job) => job.state === "queued").length;
    const failed = all.filter((job) => job.state === "failed").length;
    const shown = [...all.filter((job) => job.state !== "queued"), ...all.filter((job) => job.state === "queued")].slice(0, SHOWN);
    shown.forEach((job) => this.#name(job.video));
    this.container.replaceChildren(
      element("div", { class: "card-head" }, element("h2", {}, "Queue"), element("span", { class: "count" }, [waiting && `${waiting} waiting`, failed && `${failed} failed`].filter(Boolean).join(" · ")),
        all.filter((job) => job.kind === "analysis" && isActive(job)).length > 1 && action({ label: "Cancel all", class: "quiet", act: async () => (await post("api/jobs/cancel")).jobs.forEach((job) => this.take(job)) })),
      element("ul", { class: "queue-list" }, shown.map((job) => element("li", { "data-state": job.state, "data-job": job.id },
        element("strong", {}, this.names.get(job.video) ?? "…", (job.model_id ?? model) !== model && " (another model)"),
        element("span", { class: job.state === "failed" ? "queue-error" : "soft number" }, job.state === "failed" ? `${sentence(job.error ?? "failed")} ${sentence(job.do ?? "")}` : jobWords(job)),
        job.state === "running" ? jobBar(job) : element("span"),
        element("span", { class: "queue-actions" }, jobActions(job, (answer) => this.take(answer)))))),
      ...(all.length > shown.length ? [element("p", { class: "hint queue-more" }, `and ${all.length - shown.length} more`)] : []));
    if (place) this.container.querySelector(place)?.focus();
  }
}
