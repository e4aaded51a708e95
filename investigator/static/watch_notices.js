// Which of Watch's conditions hold now, shown where they belong: above the page, over the picture, in the status line.
import * as conditions from "./conditions.js";
import { confirmed } from "./confirm.js";
import { byId, element } from "./element.js";
import { action, failure, notice, sentence } from "./notice.js";
import { post } from "./server.js";
import { showStatus } from "./status.js";
import { span } from "./time.js";

export class WatchNotices {
  /** `watch`: {app, session, player, unplayable, open(id, time), draw()} */
  constructor(watch) {
    this.watch = watch;
    this.trouble = null;
    this.closedClips = null;
    watch.app.live.addEventListener("forgotten", (event) => watch.session.takeForgotten(event.detail.video));
  }

  #library() { this.watch.app.go("library", {}); }

  /** An address without a video. */
  noVideo() {
    const { app } = this.watch;
    const field = element("input", { type: "text", "aria-label": "Path of a video in these folders", placeholder: "folder/video.mp4" });
    const words = element("p", { role: "alert" });
    const form = element("form", { class: "field", on: { submit: async (event) => {
      event.preventDefault();
      try {
        app.go("watch", { video: (await post("api/videos", { path: field.value.trim() })).id });
      } catch (error) {
        words.textContent = `${sentence(error.message)} ${sentence(error.advice)}`;
      }
    } } }, field, element("button", { type: "submit" }, "Open this path"));
    const box = notice(conditions.noVideo({ roots: app.info.roots, library: () => this.#library() }));
    box.append(form, words);
    this.#put([box]);
  }

  /** A video that could not be opened at all. */
  notOpened(error, again) {
    this.#put([error.code === "unreachable" ? failure(error, [{ label: "Try again", act: again, first: true }])
      : notice(conditions.missing(error, { library: () => this.#library(), again }))]);
  }

  clear() { this.#put([]); }

  #put(nodes) {
    const node = byId("watch-notice");
    delete node.dataset.key;
    node.replaceChildren(...nodes);
  }

  show(video) {
    const { session, app, player } = this.watch;
    const failed = session.job("analysis") ? null : session.last("analysis");
    const ways = { library: () => this.#library(), again: () => this.watch.open(video.id, player.shown) };
    const clips = session.last("clips");
    const parts = [
      app.info.model.state === "failed" && conditions.modelFailed(app.info.model, app.modelWays),
      video.state === "missing" && conditions.missing({ code: "gone", message: video.problem ?? `${video.name} is not where it was.`,
        advice: "What was analysed stays here. Put the file back, or open it from its new place in the library." }, ways),
      video.state === "changed" && conditions.changed({ analyse: () => session.analyse({ again: true }) }),
      video.state === "unreadable" && conditions.unreadable(video, ways),
      failed?.state === "failed" && conditions.analysisFailed(failed, { rows: session.reading.rows, again: () => session.analyse(), anew: () => session.analyse({ again: true }) }),
      this.trouble && { kind: "bad", title: this.trouble.message, words: this.trouble.advice, command: this.trouble.command, actions: [{ label: "Close", act: () => this.complain(null) }] },
      clips?.state === "done" && clips.result?.clips && clips.id !== this.closedClips && conditions.clipsReady(clips, { close: () => { this.closedClips = clips.id; this.watch.draw(); } }),
    ].filter(Boolean);
    fillNotices(byId("watch-notice"), parts);
    const job = session.job("proxy");
    fillNotices(byId("screen-notice"), (this.watch.unplayable || player.short) && video.state !== "missing" ? [conditions.unplayable(video, { short: player.short, job, copy: () => this.#copy() })] : []);
    showStatus(byId("status"), [...session.jobs.values()], this.#idle(video), (answer) => session.takeJob(answer));
  }

  complain(error) {
    this.trouble = error && { message: error.message, advice: error.advice ?? "", command: error.command ?? null };
    this.watch.draw();
  }

  #copy() {
    const webm = this.watch.player.video.canPlayType('video/webm; codecs="vp9,opus"') !== "";
    return this.watch.session.makeCopy(webm ? "webm" : "mp4");
  }

  #idle(video) {
    const { session, app } = this.watch;
    const rows = video.state === "analysed" ? video.rows : session.reading.rows || video.rows;
    const model = app.info.model.model_name;
    const fps = session.reading.header?.extraction_fps ?? video.extraction_fps;
    const sentence = {
      analysed: `Analysed: ${rows} frames${fps ? ` at ${fps} a second` : ""} with ${model}.`,
      partial: `Analysed in part: ${rows} frames with ${model}.`,
      coarse: `Only key frames so far: ${rows}.`,
      new: `Not analysed: ${span((video.duration_ms ?? 0) / 1000)} of video.${video.pickled ? " Its features lie there as pickles, which are never opened here: it is analysed anew, beside them." : ""}`,
    }[video.state] ?? "";
    return { key: `${video.id} ${video.state} ${rows} ${fps} ${model}`, nodes: () => [element("span", {}, sentence), element("div", { class: "actions" },
      ["partial", "coarse"].includes(video.state) && action({ label: "Go on with the analysis", act: () => session.analyse() }),
      video.state === "analysed" && action({ label: "Analyse anew", class: "quiet", act: () => session.analyse({ again: true }) }),
      ["analysed", "partial", "coarse"].includes(video.state) && action({ label: "Forget analysis…", class: "quiet", act: () => this.#forget(video, rows) }))] };
  }

  async #forget(video, rows) {
    const wanted = await confirmed({ title: "Forget this analysis?", yes: "Remove the analysis", words: [
      `The ${rows} stored features of ${video.name} by ${this.watch.app.info.model.model_name} are removed from the disk, for the command line, too. To have curves again, its frames must be read again.`,
      "The video itself stays, and so does what you kept or rejected."] });
    if (wanted) await this.watch.session.forget();
  }
}

/** Shows `parts` of notices in `node`, and leaves what is there alone while it says the same. */
function fillNotices(node, parts) {
  const key = JSON.stringify(parts);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(...parts.map((one) => {
    const box = notice(one);
    if (one.links) box.append(element("ul", {}, one.links.map((link) => element("li", {}, element("a", { href: link.url, download: link.name }, link.name)))));
    return box;
  }));
}
