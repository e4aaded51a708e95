// A list of thousands of rows of which only those in sight exist.
import { element } from "./element.js";

const SPARE_ROWS = 4;

export class VirtualList {
  /** `row(index)` -> the row's content as one node, or null while its data is not here; `need(first, last)` asks for the data. */
  constructor(container, { rowHeight, row, need, label }) {
    Object.assign(this, { rowHeight, row, need, total: 0, rows: new Map() });
    this.inner = element("ul", { class: "virtual-rows" });
    this.container = container;
    container.classList.add("virtual");
    container.tabIndex = 0;
    container.setAttribute("role", "region");
    container.setAttribute("aria-label", label);
    container.replaceChildren(this.inner);
    container.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(container);
  }

  /** Another number of rows, or other content: what is shown is made anew. */
  reset(total) {
    this.total = total;
    this.rows.clear();
    this.inner.replaceChildren();
    this.draw();
  }

  /** The data of some rows came or changed. */
  refresh() {
    for (const node of this.rows.values()) node.remove();
    this.rows.clear();
    this.draw();
  }

  draw() {
    this.inner.style.height = `${this.total * this.rowHeight}px`;
    const first = Math.max(0, Math.floor(this.container.scrollTop / this.rowHeight) - SPARE_ROWS);
    const last = Math.min(this.total, Math.ceil((this.container.scrollTop + this.container.clientHeight) / this.rowHeight) + SPARE_ROWS);
    for (const [index, node] of this.rows) {
      if (index >= first && index < last) continue;
      if (node.contains(document.activeElement)) continue; // the keyboard's place is not taken away
      node.remove();
      this.rows.delete(index);
    }
    for (let index = first; index < last; index += 1) {
      if (this.rows.has(index)) continue;
      const content = this.row(index);
      const node = element("li", { class: "virtual-row", "aria-setsize": this.total, "aria-posinset": index + 1,
        style: { transform: `translateY(${index * this.rowHeight}px)`, height: `${this.rowHeight}px` } }, content ?? element("div", { class: "skeleton" }));
      this.rows.set(index, node);
      const after = [...this.inner.children].find((other) => Number(other.getAttribute("aria-posinset")) > index + 1);
      this.inner.insertBefore(node, after ?? null);
    }
    if (last > first) this.need(first, last);
  }
}
