// The start: asks the server how things stand, opens the log, and shows the mode that the address names.
import { formatAddress, parseAddress } from "./address.js";
import { Compare } from "./compare.js";
import { announce, byId } from "./element.js";
import { icon } from "./icons.js";
import { Keyboard } from "./keyboard.js";
import { Library } from "./library.js";
import { Live } from "./live.js";
import { failure, notice } from "./notice.js";
import { ModelMenu } from "./model_menu.js";
import { get, model, post, useModel } from "./server.js";
import { Watch } from "./watch.js";

const MODES = { watch: ["Watch", Watch], library: ["Library", Library], compare: ["Compare", Compare] };
const WRITE_MS = 250; // browsers refuse addresses that change much more often
const TICK_WRITE_MS = 1000; // while playing

class App extends EventTarget {
  constructor() {
    super();
    this.modes = {};
    this.mode = null;
    this.info = null;
    this.wrote = -Infinity; // when the address was written last
  }

  async begin() {
    try {
      useModel(parseAddress(location.hash).values.model ?? "");
      this.info = await get("api/state").catch((error) => { // a link may name a model that is no longer offered
        if (error.code !== "no_model") throw error;
        useModel("");
        return get("api/state");
      });
    } catch (error) {
      byId("watch-grid").hidden = true;
      byId("watch-notice").replaceChildren(failure(error, [{ label: "Try again", first: true, act: () => this.begin() }]));
      setTimeout(() => { if (!this.info) this.begin(); }, 3000); // it may only just be starting
      return;
    }
    byId("watch-notice").replaceChildren();
    this.keyboard = new Keyboard();
    this.live = new Live(this.info.boot, this.info.last);
    this.models = new ModelMenu((id) => this.choose(id));
    this.#news();
    this.models.show(this.info.model);
    if (this.info.notes.length) byId("banner").replaceChildren(...this.info.notes.map((title) => notice({ title, actions: [{ label: "Close", act: () => byId("banner").replaceChildren() }] })));
    addEventListener("hashchange", () => this.#route());
    await this.#route();
    this.live.connect();
  }

  // --- address --------------------------------------------------------------------------------------------------------------

  async #route() {
    if (location.hash === this.written) return;
    const { mode, values } = parseAddress(location.hash || (this.info.video || !this.info.roots.length ? "#/watch" : "#/library"));
    const [name, Mode] = MODES[mode];
    if (values.model !== undefined && values.model !== model) return location.reload();
    if (this.mode !== mode) this.modes[this.mode]?.leave();
    this.mode = mode;
    this.keyboard.mode = mode;
    this.modes[mode] ??= new Mode(this);
    for (const key of Object.keys(MODES)) {
      byId(key).hidden = key !== mode;
      if (key === mode) byId(`mode-${key}`).setAttribute("aria-current", "page");
      else byId(`mode-${key}`).removeAttribute("aria-current");
    }
    byId("mode-title").textContent = name;
    await this.modes[mode].enter(values);
    this.#write();
  }

  /** Goes to a mode, as a step that Back undoes. */
  go(mode, values) {
    this.#write();
    location.hash = formatAddress(mode, values).slice(1);
  }

  /** The same page with another model: everything but the videos differs, so it begins anew. */
  choose(id) {
    useModel(id);
    this.#write();
    location.reload();
  }

  /** Ways on where the model cannot be had: the demonstration's, which is always there, or another attempt, of which the log tells. */
  modelWays = {
    tiny: async () => {
      const { models } = await get("api/models");
      this.choose(models.find((one) => one.model_name === "tiny").id);
    },
    again: () => post("api/model/retry"),
  };

  /** The state changed: the address is written soon. */
  changed() { this.#later(WRITE_MS); }
  ticked() { this.#later(TICK_WRITE_MS); }

  #later(milliseconds) {
    const when = Math.max(performance.now(), this.wrote + milliseconds); // the first change at once, those behind it seldom
    if (this.writing && this.when <= when) return;
    clearTimeout(this.writing);
    this.when = when;
    this.writing = setTimeout(() => { this.writing = null; this.#write(); }, when - performance.now());
  }

  #write() {
    const mode = this.modes[this.mode];
    if (!mode) return;
    this.wrote = performance.now();
    const address = formatAddress(this.mode, mode.values());
    byId("bar-title").textContent = mode.title;
    document.title = `${mode.title ? `${mode.title} · ` : ""}clipreel investigator`;
    for (const [key, other] of Object.entries(this.modes)) if (key !== this.mode) byId(`mode-${key}`).href = formatAddress(key, other.values());
    if (address === location.hash) { this.written = location.hash; return; }
    history.replaceState(null, "", address);
    this.written = location.hash;
  }

  // --- news -------------------------------------------------------------------------------------------------------------------

  #news() {
    const { live } = this;
    live.addEventListener("state", (event) => this.#liveWords(event.detail));
    live.addEventListener("gone", (event) => this.#gone(event.detail.gone));
    live.addEventListener("model", (event) => {
      const failed = this.info.model.state === "failed" || this.again;
      this.info.model = event.detail.model;
      this.again = failed && this.info.model.state === "loading";
      this.models.show(this.info.model);
      this.modes[this.mode]?.draw();
      if (failed && this.info.model.state === "ready") live.tell("resync"); // what was refused until now
    });
    live.addEventListener("resync", async () => { this.info = await get("api/state").catch(() => this.info); this.models.show(this.info.model); });
    byId("live-retry").addEventListener("click", () => live.retry());
  }

  #liveWords({ state, attempt, seconds }) {
    clearInterval(this.counting);
    byId("live").dataset.state = state;
    byId("live-retry").hidden = state === "live";
    if (state === "live") { byId("live-words").textContent = "live"; return; }
    const until = performance.now() + seconds * 1000;
    const say = () => { byId("live-words").textContent = `reconnecting (${attempt}) in ${Math.max(0, Math.ceil((until - performance.now()) / 1000))} s`; };
    say();
    this.counting = setInterval(say, 500);
  }

  #gone(gone) {
    byId("banner").replaceChildren(...(gone ? [notice({
      kind: "bad", title: "The server does not answer", words: "What is on screen stays, and so does what you typed. The page goes on by itself once the server is back.",
      actions: [{ label: "Try now", first: true, act: () => this.live.retry() }] })] : []));
  }
}

function themeButton() {
  const button = byId("theme");
  const root = document.documentElement;
  const order = ["system", "light", "dark"];
  const names = { system: "as the system", light: "light", dark: "dark" };
  const show = () => {
    const theme = root.dataset.theme ?? "system";
    button.replaceChildren(icon(theme));
    button.setAttribute("aria-label", `Theme: ${names[theme]}`);
    button.title = `Theme: ${names[theme]}`;
  };
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme ?? "system") + 1) % order.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* storage switched off: the choice lasts until the page closes */ }
    show();
    announce(`theme ${names[next]}`);
    dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
  show();
}

byId("help").append(icon("help"));
byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); });
document.addEventListener("click", (event) => { // an open menu closes when something else is pressed
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.activeElement?.closest("details.menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});
themeButton();
new App().begin();
