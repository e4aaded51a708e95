// A state of the page in words: what is the case, why, and buttons that lead on.
import { element } from "./element.js";

/**
 * `kind`: plain | info | warn | bad. `actions`: [{label, act, first}]; `act` may return a promise, while which the button waits.
 * `command`: an exact command line to copy.
 */
export function notice({ kind = "info", title, words = [], command = null, actions = [], level = "h2" }) {
  return element("div", { class: `notice ${kind}`, "data-notice": title },
    element(level, {}, title),
    [words].flat().filter(Boolean).map((one) => element("p", {}, one.startsWith("python ") ? element("code", {}, one) : sentence(one))),
    command && element("p", {}, element("code", {}, command)),
    actions.length > 0 && element("div", { class: "actions" }, actions.filter(Boolean).map(action)));
}

/** The server's words as a sentence of the page: a capital in front (but for names of files), a stop behind. */
export function sentence(words) {
  const text = words.trim();
  const named = /^\S*[./_\\]\S/.test(text);
  return text && (named ? text : text[0].toUpperCase() + text.slice(1)) + (/[.:!?…]$/.test(text) ? "" : ".");
}

export function action({ label, act, first = false, ...more }) {
  return element("button", { type: "button", class: first ? "first" : null, ...more, on: { click: async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await act();
    } finally {
      button.disabled = false;
    }
  } } }, label);
}

/** An error as a notice, with the server's own advice. */
export function failure(error, actions = []) {
  return notice({ kind: "bad", title: sentence(error.message).replace(/\.$/, ""), words: error.advice || "", actions });
}
