// The operations of this replica that have not ended: filters, bars, table.

import { attr, byID, el, hide, keyed, text } from "./dom.js";
import { narrow, searchable } from "./filter.js";
import { age, count, moment, plural, stamp, visible } from "./text.js";
import { pager, pageSize, table, words } from "./table.js";

// operationsIn returns show(state) and the row keys; take(change) is called with
// the part of the filter that a reader has changed.
export function operationsIn(take) {
  const node = byID("operations");
  const show = table(node, columns(take), (c) => `${c.partition}\u0000${c.id}`, detail);
  const pages = pager(byID("operations-pager"), pageSize, (page) => {
    if (page >= 0 && page * pageSize < matching) take({ page });
  });
  const bars = barsIn(byID("bars"), take);
  let matching = 0;

  return ({ snapshot, operations, filter, error, context }) => {
    bars(snapshot, operations, filter);
    hide(byID("operations-error"), !error);
    text(byID("operations-error"), error ? `The operations could not be read: ${error}. ${operations ? "Below is what was known before." : ""}` : "");
    if (!operations) {
      text(byID("operations-note"), error ? "" : "one moment");
      return;
    }
    const rows = operations.operations ?? [];
    matching = operations.matching ?? rows.length;
    const total = operations.total ?? rows.length;
    show(rows.slice(0, pageSize), context);
    attr(node, "aria-rowcount", matching + 1);
    pages(filter.page, matching);
    text(byID("operations-note"), narrow(filter) ? `${count(matching)} of ${count(total)} match` : plural("operation", total));
    hide(byID("operations-none"), rows.length > 0);
    if (rows.length === 0) text(byID("operations-none"), empty(filter, total, snapshot));
  };
}

function empty(filter, total, snapshot) {
  if (total > 0) return narrow(filter) ? `None of the ${count(total)} operations matches. Clear shows them all.` : "This page is beyond the last.";
  const ranges = snapshot.ranges ?? [];
  if (ranges.length > 0 && !ranges.some((r) => r.mine)) return "This replica holds no range, so it has no operations. Those of the others are on their pages, below.";
  return "Nothing is pending here: every operation in this replica's ranges has ended.";
}

const columns = (take) => [
  {
    name: "name",
    title: "Operation",
    make: (cell) => {
      const label = el("bdi");
      const under = el("bdi", { class: "quiet under" });
      cell.append(el("button", { type: "button", class: "disclose" }, el("span", { class: "arrow", "aria-hidden": "true" }), label), under);
      return (c) => {
        text(label, visible(called(c), 80) || "(no name)");
        text(under, visible(place(c.resource) || c.id, 160));
      };
    },
  },
  {
    name: "kind",
    title: "Kind",
    make: (cell) => {
      const [kind, request] = [el("bdi"), el("bdi", { class: "quiet under" })];
      cell.append(kind, request);
      return (c) => {
        text(kind, visible(c.kind, 40) || "not looked at");
        text(request, visible(c.request, 40));
      };
    },
  },
  {
    name: "phase",
    title: "State",
    make: (cell) => {
      const badge = el("bdi", { class: "badge" });
      cell.append(badge);
      return (c) => {
        text(badge, visible(c.state, 40) || "New");
        attr(badge, "data-level", level(c.state));
      };
    },
  },
  words("number age", "Age", (c, context) => age((context.now - moment(c.began)) / 1000)),
  {
    name: "next",
    title: "Next step",
    make: (cell) => {
      const span = el("span");
      cell.append(span);
      return (c, context) => {
        const [say, how] = next(c, context.read);
        text(span, say);
        attr(span, "class", how);
      };
    },
  },
  {
    name: "subscription",
    title: "Subscription",
    make: (cell) => {
      const button = el("button", { type: "button", class: "quick mono", title: "Search for this subscription" }, el("bdi"));
      cell.append(button);
      let now = "";
      button.addEventListener("click", () => take({ q: searchable(now) }));
      return (c) => {
        now = c.partition ?? "";
        text(button.firstChild, visible(now, 40) || "–");
      };
    },
  },
  {
    name: "trouble",
    title: "Waits for, or failed with",
    make: (cell) => {
      const [tries, why] = [el("span", { class: "badge", "data-level": "bad" }), el("bdi")];
      cell.append(tries, why);
      return (c) => {
        hide(tries, !(c.attempt > 0));
        text(tries, c.attempt > 0 ? `${count(c.attempt)} ×` : "");
        text(why, visible(c.error || c.reason, 160));
        attr(cell, "data-empty", !(c.attempt > 0) && !c.error && !c.reason);
      };
    },
  },
];

// level colours a state that is known.
export function level(state) {
  const s = String(state ?? "").toLowerCase();
  if (s === "succeeded") return "good";
  if (s === "failed") return "bad";
  if (s === "deleting" || s === "canceled" || s === "awaitingsecret") return "warn";
  return s === "provisioning" || s === "updating" || s === "accepted" ? "busy" : null;
}

// called is what people call it: its resource, if it has no name beside its id.
export function called(c) {
  if (c.name && c.name !== c.id) return c.name;
  return String(c.resource ?? "").split("/").at(-1) || c.id;
}

// place is a resource's id without what every row says: its subscription, and whose type it is.
const place = (resource) =>
  String(resource ?? "")
    .slice(0, 1000)
    .replace(/^\/subscriptions\/[^/]+\//i, "")
    .replace(/^resourceGroups\//i, "")
    .replace(/\/providers\/[^/]+\//i, " › ");

// next is as of the moment when c was read: what it says of the next step is old a
// moment later, and would make one that is polled in time look late.
function next(c, now) {
  const since = (now - moment(c.since)) / 1000;
  if (c.phase === "running") return [Number.isFinite(since) ? `running for ${age(since)}` : "running", since > 30 ? "warn" : "busy"];
  if (c.phase === "waiting") return [Number.isFinite(since) ? `waiting for ${age(since)}` : "waiting", since > 30 ? "warn" : null];
  const due = (moment(c.due) - now) / 1000;
  if (!Number.isFinite(due)) return ["pending", null];
  if (Math.abs(due) < 1) return ["now", null];
  return due > 0 ? [`in ${age(due)}`, null] : [`${age(-due)} late`, due < -10 ? "warn" : null];
}

function detail(cell) {
  const list = el("dl", { class: "facts" });
  const rows = ["Operation", "Resource", "Subscription", "Range", "Began", "Phase", "Next step", "Failed in a row", "Last error", "Waits for"].map((name) => {
    const value = el("dd", {}, el("bdi"));
    list.append(el("dt", {}, name), value);
    return value.firstChild;
  });
  cell.append(list);
  return (c, context) => {
    const values = [
      visible(c.id, 2000),
      visible(c.resource, 2000),
      visible(c.partition, 2000),
      visible(c.range, 200),
      stamp(moment(c.began)),
      `${visible(c.phase, 40)} since ${stamp(moment(c.since))}`,
      next(c, context.read)[0] + (Number.isFinite(moment(c.due)) ? `, ${stamp(moment(c.due))}` : ""),
      count(c.attempt ?? 0),
      visible(c.error, 2000),
      visible(c.reason, 2000),
    ];
    values.forEach((value, i) => text(rows[i], value || "–"));
  };
}

// barsIn shows how many there are by state and by kind; a bar is a filter, too.
function barsIn(node, take) {
  const groups = [
    ["kind", "By kind"],
    ["request", "By request"],
    ["state", "By state"],
  ].map(([name, title]) => {
    const list = el("ul");
    const box = el("div", { class: "group" }, el("h3", {}, title), list);
    node.append(box);
    return { name, box, list };
  });
  return (snapshot, operations, filter) => {
    for (const { name, box, list } of groups) {
      // The server tells what there is of each; by state a snapshot does, too.
      const counts = operations?.counts?.[name] ?? (name === "state" ? snapshot.pendingByState : null) ?? {};
      let counted = Object.entries(counts).map(([value, n]) => ({ value, count: n }));
      counted = counted.filter((c) => c.value !== "" && c.count > 0).sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1)).slice(0, 8);
      const top = Math.max(...counted.map((c) => c.count), 1);
      hide(box, counted.length === 0);
      keyed(
        list,
        counted,
        (c) => c.value,
        (c) => {
          const button = el("button", { type: "button" }, el("bdi"), el("b"), el("span", { class: "bar", "aria-hidden": "true" }, el("span")));
          button.addEventListener("click", () => take({ [name]: button.getAttribute("aria-pressed") === "true" ? "" : c.value }));
          return el("li", {}, button);
        },
        (item, c) => {
          const [label, number, bar] = item.firstChild.children;
          attr(item.firstChild, "aria-pressed", filter[name] === c.value ? "true" : "false");
          text(label, visible(c.value, 40));
          text(number, count(c.count));
          bar.firstChild.style.width = `${Math.max(1, (c.count / top) * 100).toFixed(1)}%`;
        },
      );
    }
  };
}

// choices are the values of a filter.
export const choices = (operations, name) => (operations?.[`${name}s`] ?? []).filter((v) => typeof v === "string" && v !== "");
