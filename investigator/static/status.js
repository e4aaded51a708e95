// What the analysis is doing, in counts, rate and time left, with pause and cancel.
import { element } from "./element.js";
import { action } from "./notice.js";
import { post } from "./server.js";
import { span } from "./time.js";

const ACTIVE = new Set(["queued", "running", "paused"]);
const WHAT = { analysis: "Analysing", proxy: "Making a playable copy", clips: "Cutting clips", thumbnails: "Making thumbnails" };

export function isActive(job) { return Boolean(job) && ACTIVE.has(job.state); }

/** Whether `job` is older news than what is known of it: an answer may come after the event of a later state. What has ended never goes on. */
export function isStale(job, known) { return Boolean(known) && !ACTIVE.has(known.state) && ACTIVE.has(job.state); }

/** "Analysing, key frames first: 38 % · 214 of 560 · 9.1 a second · 38 s left" */
export function jobWords(job) {
  const what = WHAT[job.kind] ?? job.kind;
  if (job.state === "queued") return `${what}: waiting in the queue`;
  const phase = job.phase === "coarse" ? ", key frames first" : "";
  const parts = [];
  if (job.total) parts.push(`${Math.min(100, Math.floor((100 * job.done) / job.total))} %`);
  if (job.total && job.kind === "analysis") parts.push(`${job.done} of ${job.total} frames`); // copies count milliseconds
  if (job.state === "paused") parts.push("paused");
  else {
    if (job.rate && job.kind === "analysis") parts.push(`${job.rate < 10 ? job.rate.toFixed(1) : Math.round(job.rate)} a second`);
    if (Number.isFinite(job.seconds_left) && job.seconds_left !== null) parts.push(`${span(job.seconds_left)} left`);
  }
  return `${what}${phase}: ${parts.join(" · ") || "starting"}`;
}

export function jobBar(job) {
  return element("progress", { max: job.total || 1, value: job.total ? job.done : null, "aria-label": WHAT[job.kind] ?? job.kind });
}

/** Buttons that command a job. `done(job)` gets the server's answer. */
export function jobActions(job, done) {
  const command = (verb, label) => action({ label, act: async () => done(await post(`api/jobs/${job.id}/${verb}`)), "data-verb": verb });
  if (job.state === "paused") return [command("resume", "Go on"), command("cancel", "Cancel")];
  if (ACTIVE.has(job.state)) return [job.kind === "analysis" && job.state === "running" && command("pause", "Pause"), command("cancel", "Cancel")].filter(Boolean);
  return job.state === "failed" || job.state === "cancelled" ? [command("retry", "Try again")] : [];
}

/** Shows `jobs` that run for what is on screen, or the quiet sentence `idle` and its buttons. */
export function showStatus(container, jobs, idle, done) {
  const active = jobs.filter(isActive);
  container.classList.toggle("working", active.length > 0);
  const key = JSON.stringify(active.length ? active.map((job) => [job.id, job.state]) : [idle.key]);
  if (container.dataset.key !== key) {
    container.dataset.key = key;
    container.replaceChildren(...(active.length
      ? active.flatMap((job) => [element("span", { "data-job": job.id }), jobBar(job), element("div", { class: "actions" }, jobActions(job, done))])
      : idle.nodes()));
  }
  for (const job of active) {
    const words = container.querySelector(`[data-job="${job.id}"]`);
    words.textContent = jobWords(job);
    const bar = words.nextElementSibling;
    if (job.total) { bar.max = job.total; bar.value = job.done; }
  }
}
