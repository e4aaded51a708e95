// The model in the bar: which one this page works with, and the others that the server offers.
import { byId, element } from "./element.js";
import { icon } from "./icons.js";
import { failure } from "./notice.js";
import { get, model } from "./server.js";

export class ModelMenu {
  /** `choose(id)`: the page begins anew with that model. */
  constructor(choose) {
    this.menu = byId("model-menu");
    this.list = element("div", {});
    this.menu.append(this.list);
    this.menu.addEventListener("toggle", () => { if (this.menu.open) this.#fill(choose); });
  }

  show({ feature_type: type, model_name: name, state }) {
    const words = byId("model-words");
    words.textContent = { loading: `${name}, loading`, ready: name, failed: `${name} failed` }[state];
    words.className = `tag ${{ failed: "bad", loading: "warn" }[state] ?? ""}`;
    words.title = `${type}, ${name}`;
  }

  async #fill(choose) {
    try {
      const { models } = await get("api/models");
      this.list.replaceChildren(
        ...models.map((one) => element("button", { type: "button", "aria-pressed": String(one.id === model), on: { click: () => { this.menu.open = false; if (one.id !== model) choose(one.id); } } },
          one.id === model && icon("keep"), element("span", {}, one.model_name, element("span", { class: "soft" }, ` · ${one.feature_type}, ${one.words}`)))),
        element("p", { class: "hint" }, "Each model has features and scores of its own. Others are named at the start: encoders=."));
    } catch (error) {
      this.list.replaceChildren(failure(error));
    }
  }
}
