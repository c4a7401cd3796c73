// What has happened, what is put aside, who else is there, what it costs.

import { attr, byID, el, hide, keyed, link, text } from "./dom.js";
import { called, level } from "./operations.js";
import { age, amount, count, moment, plural, stamp, visible } from "./text.js";
import { paged, table, words } from "./table.js";

const ago = (name, of) => ({
  name: "number ago",
  title: name,
  make: (cell) => {
    const span = el("span");
    cell.append(span);
    return (item, context) => {
      text(span, `${age((context.now - moment(of(item))) / 1000)} ago`);
      attr(span, "title", stamp(moment(of(item))));
    };
  },
});

// transitionsIn returns show(list, context, error); list is null before it is known.
export function transitionsIn() {
  const node = byID("transitions");
  const columns = [
    ago("When", (t) => t.at),
    {
      name: "name",
      title: "Operation",
      make: (cell) => {
        const [name, under] = [el("bdi", { class: "strong" }), el("bdi", { class: "quiet under" })];
        cell.append(name, under);
        return (t) => {
          text(name, visible(called(t), 80));
          text(under, visible([t.kind, t.request].filter(Boolean).join(" · "), 80));
        };
      },
    },
    {
      name: "change",
      title: "State",
      make: (cell) => {
        const [from, to, why] = [el("bdi", { class: "badge" }), el("bdi", { class: "badge" }), el("bdi", { class: "quiet under" })];
        cell.append(from, el("span", { class: "to" }, " → "), to, why);
        return (t) => {
          text(from, visible(t.from, 40) || "none");
          text(to, visible(t.to, 40));
          attr(from, "data-level", level(t.from));
          attr(to, "data-level", level(t.to));
          text(why, visible(t.reason, 160));
        };
      },
    },
  ];
  const render = paged({
    show: table(node, columns, (t) => `${t.at} ${t.partition} ${t.id} ${t.to}`),
    node,
    none: byID("transitions-none"),
    pages: byID("transitions-pager"),
    size: 20,
    empty: (context) => `This replica has written no new state since it started, ${age((context.now - context.started) / 1000)} ago.`,
  });
  return (list, context, error) => {
    hide(byID("transitions-error"), !error);
    text(byID("transitions-error"), error ? `The transitions could not be read: ${error}.` : "");
    if (list) render(list, context);
    text(byID("transitions-note"), list?.length ? `the last ${count(list.length)}` : "");
  };
}

export function quarantineIn() {
  const node = byID("quarantine");
  const columns = [
    {
      name: "name",
      title: "Document",
      make: (cell) => {
        const [id, under] = [el("bdi", { class: "strong" }), el("bdi", { class: "quiet under" })];
        cell.append(id, under);
        return (q) => {
          text(id, visible(q.id, 80) || "(no id)");
          text(under, `${visible(q.partition, 60) || "no partition"} · LSN ${count(q.lsn)}`);
        };
      },
    },
    words("why", "Reason", (q) => visible(q.reason, 300)),
    ago("Since", (q) => q.at),
  ];
  const render = paged({
    show: table(node, columns, (q) => `${q.partition}\u0000${q.id}`),
    node,
    none: byID("quarantine-none"),
    pages: byID("quarantine-pager"),
    size: 20,
    empty: () => "No document is put aside. One that does not decode, or makes its step fail by its own fault, would be here with the reason.",
  });
  return (snapshot, context) => {
    const list = snapshot.quarantined ?? [];
    const total = snapshot.quarantinedTotal ?? list.length;
    render(list, context);
    text(byID("quarantine-note"), total ? plural("document", total) + (total > list.length ? `, the newest ${count(list.length)}` : "") : "");
    attr(byID("quarantine-note"), "class", total ? "warn" : "quiet");
  };
}

export function replicasIn() {
  return (snapshot) => {
    const owners = new Map();
    for (const r of snapshot.ranges ?? []) {
      if (!r.owner || r.owner === snapshot.instance) continue;
      const o = owners.get(r.owner) ?? { name: r.owner, page: "", ranges: 0 };
      o.ranges++;
      o.page ||= r.page ?? "";
      owners.set(r.owner, o);
    }
    for (const h of snapshot.hosts ?? []) {
      if (h.instance && !owners.has(h.instance)) owners.set(h.instance, { name: h.instance, page: h.page ?? "", ranges: 0 });
    }
    const list = [...owners.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, 50);
    keyed(
      byID("replicas"),
      list,
      (o) => o.name,
      () => el("li", {}, el("a", { class: "txt" }), el("span", { class: "quiet" })),
      (item, o) => {
        text(item.firstChild, visible(o.name, 80));
        link(item.firstChild, o.page);
        text(item.lastChild, (o.ranges ? plural("range", o.ranges) : "no range") + (item.firstChild.hasAttribute("href") ? "" : ", tells no page"));
      },
    );
    hide(byID("replicas-none"), list.length > 0);
    const any = (snapshot.ranges ?? []).length > 0;
    text(byID("replicas-none"), any ? "No other replica is known: this one reads alone." : "Not known before the leases are.");
  };
}

// factsIn shows what else a snapshot tells.
export function factsIn() {
  const units = table(byID("units").appendChild(el("table", { class: "small", "aria-label": "Request units by purpose" })), [
    words("", "Cosmos DB, since the start", (u) => visible(u.purpose, 60)),
    words("number", "Requests", (u) => count(u.requests)),
    words("number", "Request units", (u) => amount(u.requestUnits)),
  ], (u) => u.purpose);
  return (snapshot, context) => {
    const service = snapshot.service ?? {};
    const list = [
      ["Started", `${age((context.now - moment(snapshot.started)) / 1000)} ago`, stamp(moment(snapshot.started))],
      ["Last list of the backstop", Number.isFinite(moment(snapshot.lastList)) ? `${age((context.now - moment(snapshot.lastList)) / 1000)} ago` : "none yet", stamp(moment(snapshot.lastList))],
      ["Recovered by it", count(snapshot.recovered ?? 0), "changes that a list showed and the feed should have brought; 0 in health", snapshot.recovered > 0 ? "bad" : null],
      ["Left alone", count(snapshot.leftAlone ?? 0), "operations that are nobody's to poll"],
    ];
    for (const [state, n] of Object.entries(service.subscriptions ?? {}).sort()) {
      list.push([`Subscriptions, ${visible(state, 40)}`, count(n), null]);
    }
    keyed(
      byID("facts"),
      list.slice(0, 16),
      ([name]) => name,
      ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
      (row, [, value, title, how]) => {
        text(row.lastChild, value);
        attr(row, "title", title);
        attr(row.lastChild, "class", how);
      },
    );
    const spent = Object.entries(service.cosmos ?? {}).map(([purpose, u]) => ({ purpose, requests: u.requests, requestUnits: u.requestUnits }));
    units(spent.filter((u) => u.requests > 0).sort((a, b) => b.requestUnits - a.requestUnits).slice(0, 16), context);
  };
}
