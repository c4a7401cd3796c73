// The page: hears snapshots, asks for the rest now and then, shows it all.

import { asker } from "./ask.js";
import { byID, el, hide, keyed, text } from "./dom.js";
import { narrow, read, write } from "./filter.js";
import { keysIn } from "./keys.js";
import { live } from "./live.js";
import { choices, operationsIn } from "./operations.js";
import { factsIn, quarantineIn, replicasIn, transitionsIn } from "./others.js";
import { rangesIn } from "./ranges.js";
import { moment, visible } from "./text.js";
import { tilesIn } from "./tiles.js";
import { pageSize } from "./table.js";
import { lineIn, topIn } from "./top.js";

const askEvery = 5; // events
const choose = { kind: "kind", request: "request", state: "state-filter", sort: "sort" };

const known = { snapshot: null, operations: null, transitions: null, history: null };
const wrong = { operations: "", transitions: "", history: "" };
let filter = read();
let heard = NaN; // when the last snapshot came, by our clock
let ahead = 0; // the server's clock less ours, ms
let events = 0;
let aloud = false; // the next answer about operations is said

const ask = {
  snapshot: asker("api/v1/snapshot"),
  operations: asker("api/v1/operations"),
  transitions: asker("api/v1/transitions"),
  history: asker("api/v1/history"),
};
const show = {
  top: topIn(),
  line: lineIn(),
  tiles: tilesIn(byID("tiles")),
  ranges: rangesIn(),
  operations: operationsIn(change),
  transitions: transitionsIn(),
  quarantine: quarantineIn(),
  replicas: replicasIn(),
  facts: factsIn(),
};

// context is what rows need beside themselves. Ages are told by the server's
// clock: a reader's may be wrong.
const context = () => ({ now: Date.now() + ahead, started: moment(known.snapshot?.started) });

function renderSnapshot() {
  const c = context();
  show.top(known.snapshot, c);
  show.ranges(known.snapshot, c);
  show.quarantine(known.snapshot, c);
  show.replicas(known.snapshot, c);
  show.facts(known.snapshot, c);
  renderOperations();
  renderTransitions();
  renderTiles();
}

function renderOperations() {
  fields();
  if (!known.snapshot) return;
  const read = moment(known.operations?.now);
  show.operations({ snapshot: known.snapshot, operations: known.operations, filter, error: wrong.operations, context: { ...context(), read } });
}

function renderTransitions() {
  if (known.snapshot) show.transitions(known.transitions ? (known.transitions.transitions ?? []) : null, context(), wrong.transitions);
}

// A history that cannot be read is none: the ends of its lines are shown as numbers
// of this moment.
function renderTiles() {
  hide(byID("history-error"), !wrong.history);
  text(byID("history-error"), wrong.history ? `The history could not be read: ${wrong.history}.` : "");
  if (known.snapshot) show.tiles(known.snapshot, wrong.history ? null : known.history);
}

// one asks for one thing and shows it; a failure is shown beside what was known.
async function one(name, parameters, render) {
  try {
    const answer = await ask[name](parameters);
    if (answer === null) return;
    known[name] = answer;
    wrong[name] = "";
  } catch (error) {
    wrong[name] = error.message;
  }
  render();
}

function askOperations() {
  const { q, kind, request, state, sort, page } = filter;
  return one("operations", { q, kind, request, state, sort, limit: pageSize, offset: page * pageSize }, () => {
    const beyond = known.operations && filter.page > 0 && filter.page * pageSize >= (known.operations.matching ?? 0);
    if (beyond && !wrong.operations) change({ page: Math.max(0, Math.ceil((known.operations.matching ?? 0) / pageSize) - 1) });
    renderOperations();
    if (aloud && !wrong.operations) text(byID("say-found"), byID("operations-note").textContent);
    aloud = false;
  });
}

function askAll() {
  askOperations();
  one("transitions", {}, renderTransitions);
  one("history", {}, renderTiles);
}

// change takes another filter; any but another page begins at the first. How many
// match then is said aloud, once; not each time that the number changes.
function change(part) {
  filter = { ...filter, page: 0, ...part };
  aloud ||= !("page" in part);
  write(filter);
  renderOperations();
  askOperations();
}

// fields makes the form say what the filter is, but for what is being typed.
function fields() {
  const q = byID("q");
  if (document.activeElement !== q && q.value !== filter.q) q.value = filter.q;
  for (const name of ["kind", "request", "state"]) {
    const values = new Set(choices(known.operations, name));
    if (filter[name]) values.add(filter[name]);
    keyed(
      byID(choose[name]),
      ["", ...[...values].sort().slice(0, 100)],
      (v) => v,
      (v) => el("option", { value: v }),
      (option, v) => text(option, v === "" ? "all" : visible(v, 60)),
    );
  }
  for (const [name, id] of Object.entries(choose)) if (byID(id).value !== filter[name]) byID(id).value = filter[name];
  hide(byID("clear"), !narrow(filter));
}

function listen() {
  let typing = 0;
  const q = byID("q");
  const search = () => {
    clearTimeout(typing);
    if (q.value !== filter.q) change({ q: q.value });
  };
  q.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  q.addEventListener("change", search); // who leaves the field waits for nothing
  for (const [name, id] of Object.entries(choose)) byID(id).addEventListener("change", (event) => change({ [name]: event.target.value }));
  const forget = () => {
    q.value = "";
    search();
  };
  byID("clear").addEventListener("click", () => {
    clearTimeout(typing);
    q.value = "";
    change({ q: "", kind: "", request: "", state: "" });
    q.focus();
  });
  byID("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  // Not by the address, which holds the view.
  byID("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byID("operations-title").focus();
  });
  addEventListener("hashchange", () => {
    filter = read();
    byID("q").value = filter.q;
    renderOperations();
    askOperations();
  });
  const turn = (by) => {
    const page = filter.page + by;
    if (page >= 0 && page * pageSize < (known.operations?.matching ?? 0)) change({ page });
  };
  const themeWords = () => text(byID("theme"), `Theme: ${window.opfeedTheme.get()}`);
  const theme = () => {
    window.opfeedTheme.next();
    themeWords();
  };
  themeWords();
  byID("theme").addEventListener("click", theme);
  keysIn({ theme, turn, forget });
}

listen();
byID("q").value = filter.q;
fields();
const line = live({
  events: "api/v1/events",
  once: () => ask.snapshot(),
  snapshot(value) {
    if (!value) return;
    known.snapshot = value;
    heard = Date.now();
    const theirs = moment(value.now);
    if (Number.isFinite(theirs)) ahead = theirs - heard;
    renderSnapshot();
    show.line(document.body.dataset.line ?? "live", heard, heard);
    if (events++ % askEvery === 0) askAll();
  },
  state(state, until) {
    if (state !== "live") events = 0; // what comes after a break is asked for at once
    if (state === "live" && document.body.dataset.line === "live") return;
    show.line(state, until, heard);
  },
});
byID("again").addEventListener("click", () => line.again());
