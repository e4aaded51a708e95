// Asking the server. Commands go over HTTP; what happens by itself comes over the socket (live.js).

/** What the server refused or could not do: a sentence, and what to do about it. `code` "unreachable": no answer at all. */
class ServerError extends Error {
  constructor({ code = "internal", message = "The server answered with an error.", do: advice = "" }, status = 0) {
    super(message);
    this.code = code;
    this.advice = advice;
    this.status = status;
  }
}

/** The model that this page has chosen, by the server's id; "" is the one of the command. */
export let model = "";
export function useModel(id) {
  if (id !== model) ahead.clear();
  model = id;
}

const ahead = new Map(); // path and body -> the answer, as a promise: what was asked for before anybody needed it
const AHEAD_MS = 5000; // an older answer may no longer be true
let overtaken = false; // the page asks by itself: from then on nothing is asked ahead, or it would be asked twice

/**
 * Asks now for what `get` or `post` will want soon; the first of them takes the answer. It is returned too, and rejected where
 * nothing is asked any more.
 */
export function askAhead(path, body) {
  if (overtaken) return Promise.reject(new Error("the page is ahead"));
  const options = body ? posted(body) : {};
  const key = `${path} ${options.body ?? ""}`;
  const answer = request(path, options);
  ahead.set(key, answer);
  setTimeout(() => { if (ahead.get(key) === answer) ahead.delete(key); }, AHEAD_MS);
  return answer; // whoever takes it says what is wrong
}

function taken(path, { body = "" }) {
  const key = `${path} ${body}`;
  const answer = ahead.get(key);
  if (!answer) overtaken = true;
  ahead.delete(key);
  return answer;
}

function request(path, options) {
  return fetch(path, { credentials: "same-origin", cache: "no-store", ...options, headers: { ...(model && { "X-Clipreel-Model": model }), ...options.headers } });
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await (taken(path, options) ?? request(path, options));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError({ code: "unreachable", message: "The server does not answer.", do: "See whether it still runs; what you typed is kept." });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new ServerError(typeof body.error === "object" ? body.error : { message: body.error ?? `The server answered ${answer.status}.` }, answer.status);
}

export async function get(path, options) {
  return (await ask(path, options)).json();
}

const posted = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function send(path, body, options = {}) {
  return ask(path, { ...posted(body), ...options });
}

export async function post(path, body = {}, options = {}) {
  return (await send(path, body, options)).json();
}

/** Uploads a picture as a query. */
export async function postPicture(file) {
  return (await ask("api/queries/image", { method: "POST", headers: { "Content-Type": file.type }, body: file })).json();
}

/** Asks for a file and gives it to the person. */
export async function download(path, body, name) {
  const answer = await send(path, body);
  const given = /filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  const address = URL.createObjectURL(await answer.blob());
  save(address, given ?? name);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Gives the person what is at `address` as a file. */
export function save(address, name) {
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** The times of all frames in seconds, or null where the file does not tell. */
export async function frameTimes(video) {
  try {
    const body = await (await ask(`api/videos/${video}/frame_times`)).arrayBuffer();
    return new Float64Array(body).map((milliseconds) => milliseconds / 1000);
  } catch (error) {
    if (error.code === "unreachable") throw error;
    return null;
  }
}

/** The scales that come from the server; a share is made of the first. */
export const SHOWN_SCALES = ["raw", "baseline"];
export const curvesPath = (video, queries, scale) => `api/videos/${video}/curves?q=${queries.join(",")}&scale=${scale}`;

/**
 * Curves of a video: {header, times (seconds, float64 [rows]), scores (query id -> float32 [rows])}.
 * The body is: uint32 length of the header, the header as JSON, times in ms, scores in the header's order.
 */
export async function curves(video, queries, scale, options) {
  const body = await (await ask(curvesPath(video, queries, scale), options)).arrayBuffer();
  const length = new DataView(body).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 4, length)));
  const times = new Float64Array(body, 4 + length, header.rows).map((milliseconds) => milliseconds / 1000);
  const scores = new Map(header.queries.map((query, place) => (
    [query.id, new Float32Array(body, 4 + length + 8 * header.rows + 4 * header.rows * place, header.rows)])));
  return { header, times, scores };
}
