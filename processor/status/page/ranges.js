// Ranges: one bar of the key space by owner, and a table.

import { attr, byID, el, hide, keyed, link, text } from "./dom.js";
import { age, count, moment, plural, seconds, visible } from "./text.js";
import { paged, table, words } from "./table.js";

// ownerOf says whose a range is: "own", "other", "nobody".
export const ownerOf = (r) => (r.mine ? "own" : r.owner ? "other" : "nobody");

const columns = [
  {
    name: "range",
    title: "Range",
    make: (cell) => {
      const [token, keys] = [el("bdi", { class: "strong" }), el("bdi", { class: "quiet mono" })];
      cell.append(token, " ", keys);
      return (r) => {
        text(token, visible(r.token, 40) || "(no token)");
        text(keys, `${edge(r.min) || "start"} – ${r.max === "FF" ? "end" : edge(r.max)}`);
      };
    },
  },
  {
    name: "owner",
    title: "Owner",
    make: (cell) => {
      const who = el("a", { class: "txt" });
      cell.append(el("span", { class: "swatch", "aria-hidden": "true" }), who);
      return (r) => {
        attr(cell, "data-owner", ownerOf(r));
        text(who, r.owner ? visible(r.owner, 80) + (r.mine ? " (this)" : "") : "nobody");
        link(who, r.mine || !r.owner ? "" : r.page);
      };
    },
  },
  words("mono position", "Position", (r) => visible(r.continuation, 60).replace(/^"(.*)"$/, "$1") || "none yet"),
  words("number", "Lag", (r) => (typeof r.lag === "number" ? count(r.lag) : "–")),
  {
    name: "number",
    title: "Freshness",
    make: (cell) => {
      const value = el("span");
      cell.append(value);
      return (r, context) => {
        const stale = r.mine ? (r.staleness ?? 0) : NaN;
        text(value, seconds(stale));
        attr(value, "class", stale >= 30 ? "bad" : stale >= 5 ? "warn" : null);
        const change = (context.now - moment(r.lastChange)) / 1000;
        attr(cell, "title", r.mine && Number.isFinite(change) ? `last change ${age(change)} ago` : null);
      };
    },
  },
  words("number", "Waiting · running · pending", (r) => (r.mine ? `${count(r.waiting)} · ${count(r.running)} · ${count(r.pending)}` : "–")),
  {
    name: "flags",
    title: "State",
    make: (cell) => {
      const flag = el("span", { class: "badge" });
      const epoch = el("span", { class: "quiet" });
      cell.append(flag, " ", epoch);
      return (r) => {
        const [say, level] = flagOf(r);
        text(flag, say);
        attr(flag, "data-level", level);
        text(epoch, `epoch ${count(r.epoch)}`);
      };
    },
  },
];

function flagOf(r) {
  if (!r.owner) return ["nobody reads it", "bad"];
  if (r.ours) return ["not held now", "warn"];
  if (!r.mine) return ["elsewhere", null];
  if (r.blocked) return ["blocked: queue full", "warn"];
  return r.listed ? ["listed", "good"] : ["not listed yet", "warn"];
}

// edge writes a border of the key space shortly.
function edge(key) {
  const short = visible(key, 40);
  return short.length > 8 ? `${short.slice(0, 6)}…` : short;
}

export function rangesIn() {
  const node = byID("ranges");
  const render = paged({
    show: table(node, columns, (r) => `${r.token} ${r.min} ${r.max}`),
    node,
    none: byID("ranges-none"),
    pages: byID("ranges-pager"),
    size: 25,
    empty: () => "No lease is known yet. The first list of the lease container shows them; until then nothing is read.",
  });
  const bar = byID("keyspace");
  const legend = byID("legend");
  return (snapshot, context) => {
    // The list of leases may be older than what this replica knows of its own.
    const ours = (r) => !r.mine && r.owner === snapshot.instance;
    const ranges = (snapshot.ranges ?? []).map((r) => ({ ...r, ours: ours(r) })).sort((a, b) => (a.min < b.min ? -1 : a.min > b.min ? 1 : a.max < b.max ? -1 : 1));
    render(ranges, context);
    const parts = pieces(ranges);
    keyed(
      bar,
      parts,
      (p) => p.key,
      () => el("span", { class: "piece" }, el("bdi")),
      (node, p) => {
        attr(node, "data-owner", p.whose);
        attr(node, "data-shade", p.whose === "other" ? p.shade : null);
        attr(node, "title", p.title);
        text(node.firstChild, p.label);
        node.style.flexGrow = p.share.toFixed(4);
      },
    );
    const sums = { own: 0, other: 0, nobody: 0 };
    for (const p of parts) sums[p.whose] += p.share;
    const numbers = { own: 0, other: 0, nobody: 0 };
    for (const r of ranges) numbers[ownerOf(r)]++;
    const entries = [
      ["own", "this replica"],
      ["other", "other replicas"],
      ["nobody", "nobody"],
    ].filter(([whose]) => numbers[whose] || sums[whose] > 0);
    keyed(
      legend,
      entries,
      ([whose]) => whose,
      ([whose]) => el("li", { "data-owner": whose }, el("span", { class: "swatch", "aria-hidden": "true" }), el("span")),
      (item, [whose, name]) => text(item.lastChild, `${name}: ${plural("range", numbers[whose])}, ${Math.round(sums[whose] * 100)} %`),
    );
    attr(bar, "aria-label", `The key space: ${entries.map(([whose, name]) => `${name} ${Math.round(sums[whose] * 100)} %`).join(", ")}`);
    hide(bar, ranges.length === 0);
    const held = ranges.filter((r) => r.mine).length;
    text(byID("ranges-note"), ranges.length ? `${count(held)} of ${count(ranges.length)} read here` : "");
  };
}

// pieces lays the ranges side by side from 0 to 1. What no lease covers is a
// piece of nobody's. Pure.
function pieces(ranges) {
  const end = keyspaceEnd(ranges);
  const at = (key) => (key === "FF" ? 1 : Math.min(1, fraction(key) / end));
  const shades = new Map();
  const list = [];
  let covered = 0;
  const gap = (to) => {
    if (to - covered > 1e-9) {
      list.push({ key: `gap ${covered}`, whose: "nobody", share: to - covered, label: "", title: "no lease covers this part" });
    }
  };
  for (const r of ranges) {
    const [from, to] = [Math.max(at(r.min), covered), at(r.max)];
    if (to <= from) continue; // its children have been drawn, or nonsense
    gap(from);
    const whose = ownerOf(r);
    if (whose === "other" && !shades.has(r.owner)) shades.set(r.owner, shades.size % 3);
    list.push({
      key: `${r.token} ${r.min} ${r.max}`,
      whose,
      shade: shades.get(r.owner),
      share: to - from,
      label: r.owner ? visible(r.owner, 40) : "nobody",
      title: `range ${visible(r.token, 40)}: ${r.owner ? visible(r.owner, 80) : "nobody"}`,
    });
    covered = to;
  }
  if (list.length) gap(1);
  return list;
}

// fraction reads the first six bytes of a border as a part of 1.
function fraction(key) {
  const digits = /^[0-9a-fA-F]*/.exec(String(key ?? ""))[0].slice(0, 12);
  return digits ? Number.parseInt(digits.padEnd(12, "0"), 16) / 16 ** 12 : 0;
}

// Real keys are below 40, because Cosmos DB clears the two top bits of the hash.
function keyspaceEnd(ranges) {
  const all = ranges.flatMap((r) => [r.min, r.max]).filter((key) => key !== "FF");
  return all.every((key) => fraction(key) <= 0.25) ? 0.25 : 1;
}
