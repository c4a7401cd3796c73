// Tables whose rows are kept from one snapshot to the next, and their pages.
// Roles are said aloud, because the narrow layout takes a table's display away.

import { attr, el, hide, keyed, steady, text } from "./dom.js";
import { count } from "./text.js";

// Rows of one table in the page at once. However much there is, all tables
// together stay below 200: that is what keeps the page quick.
export const pageSize = 50;

// table(node, columns, key, detail) returns show(items, context). A column is
// { title, name, make }: make(cell) builds the cell's inside once and returns
// update(item, context). detail, if given, is made like a cell, below the row,
// when the row's disclosure is opened.
export function table(node, columns, key, detail = null) {
  attr(node, "role", "table");
  node.append(
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns.map((c) => el("th", { role: "columnheader", scope: "col", class: c.name }, c.title)))),
  );

  function make(item) {
    const body = el("tbody", { role: "rowgroup" });
    const row = el("tr", { role: "row" });
    body.append(row);
    const parts = columns.map((c) => {
      const inside = el("div");
      row.append(el("td", { role: "cell", class: c.name, "data-label": c.title }, inside));
      return c.make(inside);
    });
    let below = null;
    let shown = false; // the details
    const button = detail && row.querySelector("button.disclose");
    body.refresh = (now, context) => {
      for (const update of parts) update(now, context);
      if (!button) return;
      attr(button, "aria-expanded", shown ? "true" : "false");
      if (shown && !below) {
        const cell = el("td", { role: "cell", colspan: columns.length, class: "detail" });
        below = { row: el("tr", { role: "row", class: "below" }, cell), update: detail(cell) };
        body.append(below.row);
      }
      if (!shown && below) {
        below.row.remove();
        below = null;
      }
      below?.update(now, context);
      body.last = [now, context];
    };
    button?.addEventListener("click", () => {
      shown = !shown;
      body.refresh(...body.last);
    });
    return body;
  }

  return (items, context) => {
    hide(node, items.length === 0);
    steady(node, () => keyed(node, items, key, make, (body, item) => body.refresh(item, context)));
  };
}

// words makes a column of one plain text.
export function words(name, title, of) {
  return {
    name,
    title,
    make: (cell) => {
      const inner = el("bdi");
      cell.append(inner);
      return (item, context) => text(inner, of(item, context));
    },
  };
}

// pager(node, size, go) returns show(page, total): which rows are shown, and the ways
// to the others. go(page) is called when one is taken.
export function pager(node, size, go) {
  const before = el("button", { type: "button" }, "Previous");
  const after = el("button", { type: "button" }, "Next");
  const note = el("span");
  let now = 0;
  before.addEventListener("click", () => go(now - 1));
  after.addEventListener("click", () => go(now + 1));
  node.append(before, note, after);
  return (page, total) => {
    now = page;
    hide(node, total <= size && page === 0);
    const [from, to] = [page * size + 1, Math.min(total, (page + 1) * size)];
    text(note, from > to ? `none of ${count(total)}` : `${count(from)} – ${count(to)} of ${count(total)}`);
    // Not "disabled": that would take the focus from who presses it again and again.
    attr(before, "aria-disabled", page === 0 ? "true" : null);
    attr(after, "aria-disabled", to >= total ? "true" : null);
  };
}

// paged is a table with pages of its own, for a list that is here as a whole.
export function paged({ show, node, none, pages, empty, size = pageSize }) {
  let page = 0;
  let last = [[], null];
  const showPages = pager(pages, size, (to) => {
    if (to < 0 || to * size >= last[0].length) return;
    page = to;
    render(...last);
  });
  function render(items, context) {
    last = [items, context];
    page = Math.max(0, Math.min(page, Math.ceil(items.length / size) - 1));
    show(items.slice(page * size, (page + 1) * size), context);
    showPages(page, items.length);
    hide(none, items.length > 0);
    if (items.length === 0) text(none, empty(context));
    attr(node, "aria-rowcount", items.length + 1);
  }
  return render;
}
