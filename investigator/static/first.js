// What the page will ask the server for is asked as soon as its address can be read, while most of its modules are still loading.
import { parseAddress } from "./address.js";
import { askAhead, curvesPath, SHOWN_SCALES, useModel } from "./server.js";

const { mode, values } = parseAddress(location.hash);
useModel(values.model ?? "");
askAhead("api/state");
if (mode === "watch" && values.video) {
  askAhead(`api/videos/${values.video}`);
  const queries = values.queries ?? [];
  if (queries.length && queries.every((query) => query.kind === "text")) curvesAhead(values.video, queries.map((query) => query.text));
}

async function curvesAhead(video, texts) {
  const answers = texts.map((text) => askAhead("api/queries", { text }).then((answer) => answer.clone().json()).catch(() => ({})));
  const ids = (await Promise.all(answers)).map((answer) => answer.id); // none where the server refuses
  if (ids.every(Boolean)) for (const scale of SHOWN_SCALES) askAhead(curvesPath(video, ids, scale));
}
