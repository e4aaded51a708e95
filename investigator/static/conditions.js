// The states of Watch in words: what is the case, and the way on. Each function gives a notice's parts.

export function noVideo({ roots, open, library, sample }) {
  return {
    title: "See where a sentence matches a video",
    words: ["Type what to look for, and the curve shows when it is on screen. Click anywhere in the curve to go there.",
      "The video plays at once; its frames are read once in the background, and new texts then cost next to nothing.",
      `Videos are taken from ${roots.length ? roots.join(", ") : "the folders given at the start"}.`],
    actions: [{ label: "Choose in the library", first: true, act: library }, sample && { label: `Open ${sample.name}`, act: sample.act }].filter(Boolean),
    open,
  };
}

export function missing(error, { library, again }) {
  return {
    kind: "warn", title: error.code === "gone" ? "The file is gone" : "This video cannot be opened", words: [error.message, error.advice],
    actions: [{ label: "Look again", act: again, first: true }, { label: "To the library", act: library }],
  };
}

export function changed({ analyse }) {
  return {
    kind: "warn", title: "The file changed since it was analysed",
    words: "The old scores would belong to another video, so they are not shown.",
    actions: [{ label: "Analyse it again", act: analyse, first: true }],
  };
}

export function unplayable(video, { short, copy, job }) {
  const codecs = [video.video_codec, video.audio_codec].filter(Boolean).join(" with ");
  return {
    kind: "warn", title: short ? "This browser cannot play the file to its end" : "This browser cannot play the file",
    words: [short ? "Its clock does not begin at 0, and the browser goes only as far as its length. It can be analysed all the same." : `It holds ${codecs || "a codec that is not known"} in ${video.container ? video.container : "its container"}. It can be analysed all the same: curves, segments and thumbnails work.`,
      job ? "A playable copy is being made; it will start here by itself." : "A playable copy can be made beside it; the file itself is left as it is."],
    actions: job ? [] : [{ label: "Make a playable copy", act: copy, first: true }],
  };
}

export function unreadable(video, { library, again }) {
  return {
    kind: "bad", title: "This file cannot be read as a video", words: [video.problem ?? "", "Nothing can be played or analysed in it."],
    actions: [{ label: "Try again", act: again }, { label: "To the library", act: library, first: true }],
  };
}

export function modelFailed(model, { tiny, again }) {
  return {
    kind: "bad", title: `The model ${model.model_name} could not be loaded`,
    words: [model.error ?? "", model.do ?? "", "Playing and what is analysed already still work; new texts and new videos need a model: choose another in the bar above."],
    actions: [model.model_name !== "tiny" && { label: "Use the demonstration model (simple shapes only)", first: true, act: tiny }, { label: "Load it again", act: again }],
  };
}

export function analysisFailed(job, { again, anew, rows }) {
  return {
    kind: "bad", title: "The analysis stopped", words: [job.error ?? "", job.do ?? "", rows ? `What was done until then is kept: ${rows} frames.` : ""],
    actions: [job.conflict ? { label: "Replace what is stored", act: anew } : { label: "Go on from there", act: again, first: true }],
  };
}

/** What the plot says while it has no curve. `key` tells one state from another. */
export function plotWords({ queries, rows, state, job, model, unplayable }) {
  if (model.state === "failed" && !rows) return { key: "model", title: "No curve without the model", words: "See the notice above for the way on." };
  if (job && !rows) return { key: "working", title: job.state === "queued" ? "Waiting in the queue" : "Reading the first key frames", words: "The first curve stands here in seconds." };
  if (!rows && state !== "analysed") {
    return { key: "analyse", title: "Not analysed yet", words: `${unplayable ? "" : "The video can be played already. "}To draw curves, its frames are read once.`, analyse: true };
  }
  if (!queries.length) return { key: "texts", title: "Type what to look for", words: "A word or a short sentence, in the model's language. Or start with one of these:", chips: true };
  if (queries.every((query) => query.hidden)) return { key: "hidden", title: "All texts are hidden", words: "Show one with the eye beside it." };
  return null;
}

export function clipsReady(job, { close }) {
  const { clips, note } = job.result;
  return { title: clips.length === 1 ? "One clip is ready" : `${clips.length} clips are ready`, words: note ?? "", links: clips.map(({ url, name }) => ({ url, name })), actions: [{ label: "Close", act: close }] };
}

/** What the list of segments says while it is empty. */
export function segmentWords({ none, rows, outstanding, name }) {
  if (none) return { title: "Segments appear with the first text" };
  if (!rows) return { title: "Nothing is analysed yet" };
  return { title: "No segment above the threshold", words: outstanding ? "Drag the threshold down in the plot, or take other words."
    : `Nothing stands out for “${name}”. Drag the threshold down in the plot to see the best guesses.` };
}

/** What the filmstrip says while it has no pictures. */
export function momentWords({ none, rows }) {
  if (none) return { title: "The best moments appear with the first text" };
  return { title: rows ? "Looking for the best moments…" : "Nothing is analysed yet" };
}
