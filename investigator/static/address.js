// The page's whole state in the part of the address behind #, so that a reload or a copied link shows the same.
//
// `#/watch?v=ID&t=12.43&text0=a+red+circle&not3=a+ring&focus=0&scale=relative…`: a query's kind and its slot (colour and
// shape) make the key, their order is the list's. Nothing else remembers anything.
import { model } from "./server.js";

const ANY = [-1e6, 1e6];
const LENGTH = [0, 1e6];
const NUMBERS = { threshold: ANY, drop: LENGTH, shortest: LENGTH, join: LENGTH, padding: LENGTH, smooth: [0, 3], rate: [0.1, 8], offset: ANY, volume: [0, 1] };
const WORDS = ["scale", "sort", "sync", "view", "filter", "group", "folder", "length", "match"];
const CHOICES = { scale: ["baseline", "raw", "share"], sort: ["name", "modified", "size", "duration"], sync: ["stage", "time", "free"], view: ["wipe", "blend"],
  group: ["analysed", "open", "failed"], length: ["short", "middle", "long", "hours"], match: ["any", "all"] }; // of the other words anything
const SWITCHES = ["muted", "still", "anyway"];

/** The address's part -> {mode, values}; what cannot be read is left out. */
export function parseAddress(hash) {
  const [, mode = "watch", rest = ""] = /^#\/([a-z]+)\??(.*)$/s.exec(hash) ?? [];
  const given = new URLSearchParams(rest);
  const values = {};
  const number = (text) => (text !== null && text !== "" && Number.isFinite(Number(text)) ? Number(text) : null);
  for (const [key, [low, high]] of Object.entries(NUMBERS)) {
    const value = number(given.get(key));
    if (value !== null && value >= low && value <= high) values[key] = value;
  }
  for (const key of WORDS) if (given.get(key) && (CHOICES[key]?.includes(given.get(key)) ?? true)) values[key] = given.get(key);
  for (const key of SWITCHES) if (given.get(key) === "1") values[key] = true;
  for (const [key, name] of [["v", "video"], ["a", "a"], ["b", "b"], ["result", "result"], ["model", "model"], ["stage", "stage"],
    ["difference", "difference"]]) if (given.get(key)) values[name] = given.get(key);
  if (number(given.get("t")) !== null) values.time = Math.max(0, number(given.get("t")));
  const zoom = (given.get("zoom") ?? "").split("-").map(Number);
  if (zoom.length === 2 && zoom.every(Number.isFinite) && zoom[1] > zoom[0]) values.window = zoom;
  const queries = [];
  for (const [key, text] of given) {
    const [, kind, slot] = /^(text|not|image|frame|notimage|notframe)(\d{1,2})$/.exec(key) ?? [];
    if (!kind || Number(slot) > 11 || !text || queries.some((one) => one.slot === Number(slot))) continue;
    const plain = kind === "not" ? "text" : kind.replace("not", "");
    queries.push({ slot: Number(slot), kind: plain, negative: kind.startsWith("not"), ...pictured(plain, text), hidden: false });
  }
  if (queries.length || given.has("none")) values.queries = queries;
  const slots = (name) => (given.get(name) ?? "").split(".").filter(Boolean).map(Number);
  for (const slot of slots("hide")) for (const query of queries) if (query.slot === slot) query.hidden = true;
  if (number(given.get("focus")) !== null) values.focus = number(given.get("focus"));
  return { mode: ["watch", "library", "compare"].includes(mode) ? mode : "watch", values };
}

function pictured(kind, text) {
  const [id, rest] = text.split("~");
  if (kind === "frame") return { video: id, time: Number(rest) || 0, text: "" };
  return kind === "image" ? { image: id, text: "" } : { text };
}

function written(query) {
  if (query.kind === "frame") return `${query.video}~${Math.round(query.time * 1000) / 1000}`;
  return query.kind === "image" ? query.image : query.text;
}

/** {mode, values} -> the address's part. Values that are undefined, null or the page's own defaults are left out by the caller. */
export function formatAddress(mode, values) {
  const parts = new URLSearchParams();
  const short = (value) => String(Math.round(value * 10_000) / 10_000);
  for (const [key, name] of [["v", "video"], ["a", "a"], ["b", "b"], ["result", "result"], ["stage", "stage"],
    ["difference", "difference"]]) if (values[name]) parts.set(key, values[name]);
  if (model) parts.set("model", model);
  if (values.time) parts.set("t", String(Math.round(values.time * 1e6) / 1e6)); // a frame's own time, or the frame before is shown
  for (const query of values.queries ?? []) {
    const kind = query.negative ? (query.kind === "text" ? "not" : `not${query.kind}`) : query.kind;
    parts.set(`${kind}${query.slot}`, written(query));
  }
  if (values.queries && !values.queries.length) parts.set("none", "1");
  const hidden = (values.queries ?? []).filter((query) => query.hidden).map((query) => query.slot);
  if (hidden.length) parts.set("hide", hidden.join("."));
  if (Number.isInteger(values.focus)) parts.set("focus", values.focus);
  for (const key of WORDS) if (values[key]) parts.set(key, values[key]);
  for (const key of Object.keys(NUMBERS)) if (Number.isFinite(values[key])) parts.set(key, short(values[key]));
  for (const key of SWITCHES) if (values[key]) parts.set(key, "1");
  if (values.window) parts.set("zoom", values.window.map(short).join("-"));
  const text = parts.toString();
  return `#/${mode}${text ? `?${text}` : ""}`;
}
