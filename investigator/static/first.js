// What the page will ask the server for is asked as soon as its address can be read, while most of its modules are still loading.
import { parseAddress } from "./address.js";
import { askAhead, curvesPath, SHOWN_SCALES, useModel } from "./server.js";

const { mode, values } = parseAddress(location.hash);
useModel(values.model ?? "");
const state = askAhead("api/state").catch(() => null);
if (mode === "watch" && values.video) curvesAhead(values.video, values.queries ?? []);

/** What tells of the video is asked for after the state, whose number says from which event on the news are still new. */
async function curvesAhead(video, queries) {
  const texts = queries.every((query) => query.kind === "text") ? queries.map((query) => query.text) : [];
  const answers = texts.map((text) => askAhead("api/queries", { text }).then((answer) => answer.clone().json()).catch(() => ({})));
  await state;
  askAhead(`api/videos/${video}`).catch(() => null);
  const ids = (await Promise.all(answers)).map((answer) => answer.id); // none where the server refuses
  if (ids.length && ids.every(Boolean)) for (const scale of SHOWN_SCALES) askAhead(curvesPath(video, ids, scale)).catch(() => null);
}
