// Asks before what cannot be undone.
import { element } from "./element.js";

/** Resolves to whether the person wants it. `words`: what goes, and what stays. */
export function confirmed({ title, words, yes }) {
  const button = (value, label, more) => element("button", { value, ...more }, label);
  const dialog = element("dialog", { class: "confirm", "aria-labelledby": "confirm-title" }, element("form", { method: "dialog" },
    element("h2", { id: "confirm-title" }, title), words.map((one) => element("p", {}, one)),
    element("div", { class: "actions" }, button("yes", yes, { class: "first" }), button("", "Keep it", { autofocus: true }))));
  document.body.append(dialog);
  return new Promise((done) => {
    dialog.addEventListener("close", () => { dialog.remove(); done(dialog.returnValue === "yes"); });
    dialog.showModal();
  });
}
