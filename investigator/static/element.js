// Making DOM nodes. Text goes in as text nodes only; nothing here or elsewhere parses a string as markup.

const SVG = "http://www.w3.org/2000/svg";

/** A new element. Attributes: `class`, `on` (event -> listener), `style` (property -> value), else by name; null is left out. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "style") for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The element of the page with this id, which index.html must have. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`index.html has no #${id}`);
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** Says a sentence to assistive technology, at most the latest of a burst. */
let saying = 0;
export function announce(sentence) {
  clearTimeout(saying);
  saying = setTimeout(() => { byId("announcer").textContent = sentence; }, 150);
}
