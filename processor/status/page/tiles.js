// The numbers of late: a value of this moment, and a line of the last 15 minutes.

import { attr, draw, el, text } from "./dom.js";
import { age, amount, count, plural, seconds } from "./text.js";

const slots = 180; // points of a whole history
const [width, height] = [160, 36];

const own = (snapshot) => (snapshot.ranges ?? []).filter((r) => r.mine);

// now takes the value from a snapshot; where there is none, the line's end is it.
const tiles = [
  { name: "pending", title: "Pending", say: count, now: (s) => s.pending, about: "next step is due later" },
  { name: "waiting", title: "Waiting", say: count, now: (s) => s.waiting, about: (s) => `${count(s.running ?? 0)} running` },
  { name: "lag", title: "Lag", say: count, now: lag, about: "transactions behind" },
  { name: "staleness", title: "Staleness", say: seconds, now: stale, about: "since the feed was read", bad: 30, warn: 5 },
  { name: "steps", title: "Steps", unit: "/s", say: amount, about: "looks at operations" },
  { name: "transitions", title: "Transitions", unit: "/s", say: amount, about: "states written" },
  { name: "requestUnits", title: "Request units", unit: "/s", say: amount, about: "spent on Cosmos DB" },
];

function lag(snapshot) {
  const known = own(snapshot).filter((r) => typeof r.lag === "number");
  return known.length ? known.reduce((sum, r) => sum + r.lag, 0) : NaN;
}

function stale(snapshot) {
  const mine = own(snapshot);
  return mine.length ? Math.max(...mine.map((r) => r.staleness ?? 0)) : NaN;
}

// tilesIn returns show(snapshot, history); either may be null yet.
export function tilesIn(node) {
  const made = tiles.map((tile) => {
    const value = el("b", {}, "–");
    const about = el("span", { class: "quiet" });
    const peak = el("span", { class: "quiet" });
    const line = spark();
    const box = el(
      "div",
      { class: "tile", "data-tile": tile.name },
      el("div", { class: "about" }, el("h3", {}, tile.title), peak),
      el("p", { class: "value" }, value, el("i", {}, tile.unit ?? "")),
      el("p", { class: "about" }, about),
      line.node,
    );
    node.append(box);
    return { tile, box, value, about, peak, line };
  });
  return (snapshot, history) => {
    for (const { tile, box, value, about, peak, line } of made) {
      const points = history?.series?.[tile.name] ?? [];
      const now = tile.now ? tile.now(snapshot) : points.at(-1);
      text(value, tile.say(now ?? NaN));
      text(about, typeof tile.about === "function" ? tile.about(snapshot) : tile.about);
      attr(box, "data-level", tile.bad && now >= tile.bad ? "bad" : tile.warn && now >= tile.warn ? "warn" : null);
      const top = points.length ? Math.max(...points.filter(Number.isFinite), 0) : NaN;
      text(peak, points.length ? `peak ${tile.say(top)}` : "");
      line.show(points, `${tile.title}, the last ${age(points.length * (history?.interval ?? 5))}: ` +
        `${tile.say(points.at(-1) ?? NaN)} now, ${tile.say(top)} at most, ${plural("point", points.length)}`);
    }
  };
}

// spark is a line from zero to the greatest value; the newest point is at the
// right, so that a short history begins in the middle.
function spark() {
  const area = draw("path", { class: "area" });
  const line = draw("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const dot = draw("path", { class: "end", "vector-effect": "non-scaling-stroke" });
  const name = draw("title");
  const node = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" }, name, area, line, dot);
  return {
    node,
    show(points, label) {
      const shown = points.slice(-slots).map((p) => (Number.isFinite(p) ? Math.max(0, p) : 0));
      const top = Math.max(...shown, 1e-9);
      const x = (i) => ((slots - shown.length + i) / (slots - 1)) * (width - 4) + 1;
      const y = (p) => height - 2 - (p / top) * (height - 6);
      const path = shown.map((p, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(p).toFixed(1)}`).join("");
      const end = shown.length - 1;
      attr(line, "d", path || null);
      attr(area, "d", path ? `${path}L${x(end).toFixed(1)} ${height}L${x(0).toFixed(1)} ${height}Z` : null);
      attr(dot, "d", path ? `M${x(end).toFixed(1)} ${y(shown[end]).toFixed(1)}h0.01` : null);
      text(name, label);
    },
  };
}
