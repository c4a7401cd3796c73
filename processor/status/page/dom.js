// Elements without markup: every text goes in as a text node, so nothing that a
// document holds can become an element.

import { web } from "./text.js";

const svg = "http://www.w3.org/2000/svg";

// el makes an element: attributes, then children (elements, or text).
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// draw is el for SVG.
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(svg, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) attr(node, name, value);
  node.append(...children);
  return node;
}

// attr sets an attribute, or removes it, if that changes anything.
export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

// text changes what a node says, and touches nothing if it says so already: a
// reader's selection and a screen reader's place survive.
export function text(node, value) {
  const only = node.firstChild;
  if (only && only === node.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== value) only.data = value;
  } else {
    node.textContent = value;
  }
}

export function hide(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export const byID = (id) => document.getElementById(id);

// link makes the node a link to a page of http or https, or plain text.
// The node is an <a>; without an address it is none that can be followed.
export function link(node, address) {
  const href = web(address);
  attr(node, "href", href || null);
  attr(node, "rel", href ? "noopener noreferrer" : null);
  attr(node, "target", href ? "_blank" : null);
}

// keyed makes the children of parent (but for a table's head) those of items, in order. A child is made
// once for a key and then updated; one that is in its place is not moved, and
// the one that has the focus keeps it.
export function keyed(parent, items, key, make, update) {
  const have = parent.keyed ?? new Map();
  const next = new Map();
  const todo = [];
  for (const item of items) {
    let k = String(key(item));
    while (next.has(k)) k += "\u0000"; // long ids come cut, and may then be alike
    const node = have.get(k) ?? make(item);
    next.set(k, node);
    todo.push([node, item]);
  }
  for (const [k, node] of have) {
    if (next.get(k) !== node) node.remove();
  }
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let place = parent.tHead ? parent.tHead.nextSibling : parent.firstChild;
  for (const node of next.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  if (focused && focused !== document.activeElement) focused.focus({ preventScroll: true });
  parent.keyed = next;
  for (const [node, item] of todo) update(node, item);
}

// steady renders a table, and scrolls by what was put in or taken out above the
// rows that are being read. (Browsers do so by themselves, but not within a box
// that scrolls sideways.)
export function steady(table, render) {
  if (table.getBoundingClientRect().top >= 0) return render();
  const rows = [...table.tBodies].map((row) => [row, row.getBoundingClientRect()]);
  const seen = rows.filter(([, box]) => box.bottom > 0 && box.top < innerHeight);
  render();
  const kept = seen.find(([row]) => row.isConnected);
  if (!kept) return;
  const moved = kept[0].getBoundingClientRect().top - kept[1].top;
  if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: "instant" });
}
