// The socket: the server's log of what happened, from the last event seen on. Losing it delays news and nothing else.
import { get, model } from "./server.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const SILENCE_MS = 40_000; // the server's heart beats every 15 s
const POLL_MS = 3_000;
const POLL_AFTER = 3; // failed attempts

/**
 * Events: one of each kind of the log (`job`, `scores`, `video`, `sprites`, `model`, `differences`) with the message as detail ·
 * `resync`: something was missed, fetch what you show · `state` {state: live | lost, attempt, seconds} · `gone` {gone}: whether
 * the server answers at all.
 */
export class Live extends EventTarget {
  constructor(boot, last) {
    super();
    this.boot = boot;
    this.last = last; // the last event's number: what comes before the first connection is heard behind it
    this.attempt = 0;
    this.gone = false;
    this.wake = null;
    addEventListener("online", () => this.retry());
  }

  tell(type, detail = {}) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  connect() {
    clearTimeout(this.wake);
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    if (this.boot) address.searchParams.set("boot", this.boot);
    address.searchParams.set("since", this.last);
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = () => { if (this.socket === socket) this.#lost(); };
    this.#listenForSilence();
  }

  /** Tries at once instead of when the wait is over. */
  retry() {
    if (this.socket?.readyState === WebSocket.OPEN) return;
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.connect();
  }

  #hear(message) {
    this.#listenForSilence();
    if (message.kind === "beat") return;
    if (message.kind === "hello") {
      this.attempt = 0;
      clearInterval(this.polling);
      this.polling = null;
      if (message.resync) this.last = message.last;
      this.boot = message.boot;
      this.tell("state", { state: "live", attempt: 0, seconds: 0 });
      this.#answered(true);
      if (message.resync) this.tell("resync");
      return;
    }
    if (message.seq <= this.last) return;
    this.last = message.seq;
    if ((message.model_id ?? model) === model) this.tell(message.kind, message); // not what other pages do with theirs
  }

  #lost() {
    this.attempt += 1;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.attempt - 1)) * (0.75 + Math.random() / 2);
    clearTimeout(this.silence);
    this.tell("state", { state: "lost", attempt: this.attempt, seconds: wait / 1000 });
    this.wake = setTimeout(() => this.connect(), wait);
    if (this.attempt >= POLL_AFTER) this.polling ??= setInterval(() => this.#poll(), POLL_MS);
    if (this.attempt >= 2) this.#poll();
  }

  async #poll() {
    try {
      const { jobs } = await get("api/jobs");
      this.#answered(true);
      for (const job of jobs) this.tell("job", { job });
    } catch {
      this.#answered(false);
    }
  }

  #answered(answered) {
    if (this.gone !== answered) return;
    this.gone = !answered;
    this.tell("gone", { gone: this.gone });
  }

  #listenForSilence() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket?.close(), SILENCE_MS);
  }
}
