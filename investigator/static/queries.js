// What is looked for: up to twelve texts and pictures, each with its slot (colour and shape), in the order of the list.
import { freeSlot, MOST_QUERIES } from "./palette.js";
import { post, postPicture } from "./server.js";

/**
 * A query on the page: {slot, kind: text | frame | image, text, negative, hidden, video?, time?, image?, id?, label?, picture?,
 * state: encoding | ready | failed, error?}. They are replaced, never changed, so that a comparison tells what is new.
 */
export class Queries {
  constructor(state) {
    this.state = state; // its `queries` and `focus` (a slot)
  }

  get list() { return this.state.queries; }
  get ready() { return this.list.filter((query) => query.state === "ready"); }
  get focused() { return this.list.find((query) => query.slot === this.state.focus) ?? this.list.find((query) => !query.negative) ?? null; }
  get full() { return this.list.length >= MOST_QUERIES; }

  /** Adds {kind, text, …}; returns the slot, or null with all twelve taken. A text that is there already is focused instead. */
  add(query) {
    const same = query.kind === "text" && this.list.find((one) => one.kind === "text" && one.text === query.text && one.negative === Boolean(query.negative));
    if (same) {
      this.state.set({ focus: same.slot });
      return same.slot;
    }
    if (this.full) return null;
    const slot = query.slot ?? freeSlot(this.list);
    const whole = { text: "", negative: false, hidden: false, ...query, slot, state: "encoding" };
    this.state.set({ queries: [...this.list, whole], ...(whole.negative ? {} : { focus: slot }) });
    this.encode(slot);
    return slot;
  }

  change(slot, values) {
    this.state.set({ queries: this.list.map((query) => (query.slot === slot ? { ...query, ...values } : query)) });
  }

  edit(slot, text) {
    this.change(slot, { text, state: "encoding", id: null });
    return this.encode(slot);
  }

  remove(slot) {
    this.state.set({ queries: this.list.filter((query) => query.slot !== slot), focus: this.state.focus === slot ? null : this.state.focus });
  }

  /** Moves it by so many places in the list. */
  move(slot, by) {
    const list = [...this.list];
    const place = list.findIndex((query) => query.slot === slot);
    if (!list[place] || !list[place + by]) return;
    list.splice(place + by, 0, ...list.splice(place, 1));
    this.state.set({ queries: list });
  }

  /** Shows this one alone, or all again where it is alone already. */
  solo(slot) {
    const alone = this.list.every((query) => query.hidden === (query.slot !== slot));
    this.state.set({ queries: this.list.map((query) => ({ ...query, hidden: alone ? false : query.slot !== slot })) });
  }

  /** Encodes what has no id yet, or, after a new start of the server, all. */
  encodeAll({ again = false } = {}) {
    return this.#encode(this.list.filter((query) => again || !query.id));
  }

  /** Only this query is sent; no picture of the video is looked at again. */
  encode(slot) { return this.#encode(this.list.filter((query) => query.slot === slot)); }

  /** Takes all answers at once, so that what depends on the queries is fetched and drawn once. */
  async #encode(queries) {
    if (!queries.length) return;
    const answers = new Map(await Promise.all(queries.map(async (query) => [query.slot, { query, values: await answerTo(query) }])));
    this.state.set({ queries: this.list.map((one) => {
      const { query, values } = answers.get(one.slot) ?? {};
      return values && one.text === query.text ? { ...one, ...values } : one; // or it was removed or edited meanwhile
    }) });
  }
}

/** What the server says of a query, as values of it. */
async function answerTo(query) {
  try {
    const answer = query.file ? await postPicture(query.file) : await post("api/queries", bodyOf(query));
    return { id: answer.id, label: answer.label, picture: answer.picture, image: answer.kind === "image" ? answer.id : query.image, file: null, state: "ready", error: null };
  } catch (error) {
    return { state: "failed", error };
  }
}

function bodyOf(query) {
  if (query.kind === "frame") return { video: query.video, time_ms: query.time * 1000 };
  return query.kind === "image" ? { image: query.image } : { text: query.text };
}

/** What is written beside a query's sign. */
export function wordsOf(query) {
  return query.kind === "text" ? query.text : query.label || (query.kind === "frame" ? "a frame" : "a picture");
}
