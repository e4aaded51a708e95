// What the page knows, in one place: views read it and are told which keys changed.

export class State extends EventTarget {
  constructor(values) {
    super();
    Object.assign(this, values);
  }

  /** Takes the new values and tells the listeners once, with the set of keys that really changed. */
  set(values) {
    const changed = new Set();
    for (const [key, value] of Object.entries(values)) {
      if (this[key] === value) continue;
      this[key] = value;
      changed.add(key);
    }
    if (changed.size) this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }

  /** Calls `listener(changed)` whenever one of `keys` changes; without keys, on every change. */
  on(keys, listener) {
    this.addEventListener("change", (event) => {
      if (!keys.length || keys.some((key) => event.detail.has(key))) listener(event.detail);
    });
  }
}
