// The state at a glance: who this is, whether it is ready, whether we still hear it.
// A screen reader is told of each change once, in a region for each subject: what is
// said of one must not replace what was just said of another.

import { attr, byID, el, hide, keyed, text } from "./dom.js";
import { age, clock, count, moment, plural, seconds, visible } from "./text.js";

const names = { cosmos: "Cosmos DB", leases: "leases", feed: "feed", cluster_service: "Cluster Service", running: "running" };

export function topIn() {
  const build = { first: "" };
  return (snapshot, context) => {
    const service = snapshot.service ?? {};
    const name = visible(snapshot.instance, 80) || "opfeed";
    text(byID("instance"), name);
    text(byID("about"), about(service));
    const [title, state] = verdict(service, snapshot);
    text(byID("state-title"), title);
    attr(byID("state"), "data-state", state);
    const now = service.build?.revision ?? "";
    build.first ||= now;
    const renewed = build.first !== now ? " The service was replaced by another build since this page was loaded: load it anew for the page of that build." : "";
    text(byID("state-text"), sentence(snapshot) + renewed);
    conditions(service.conditions ?? [], context);
    text(byID("say-state"), title);
    const title2 = `${state === "bad" ? "⚠ " : ""}${count(snapshot.pending ?? 0)} pending · ${name}`;
    if (document.title !== title2) document.title = title2;
  };
}

function about(service) {
  const parts = ["opfeed"];
  const { version, revision } = service.build ?? {};
  if (version) parts.push(visible(version, 60));
  if (revision && revision !== "unknown") parts.push(visible(revision, 60).replace(/^([0-9a-f]{10})[0-9a-f]+/, "$1"));
  if (service.processorName) parts.push(`processor ${visible(service.processorName, 60)}`);
  return parts.join(" · ");
}

// verdict is the state in words, and its colour.
function verdict(service, snapshot) {
  if (typeof service.ready !== "boolean") return ["Running", "good"]; // an engine without the service
  if (!service.ready) {
    const wrong = (service.conditions ?? []).filter((c) => !c.ok && !c.advisory);
    const first = wrong[0];
    if (!first) return ["Not ready", "bad"];
    const more = wrong.length > 1 ? `, and ${count(wrong.length - 1)} more` : "";
    return [`Not ready: ${names[first.name] ?? visible(first.name, 40)} – ${visible(first.reason, 200) || "no reason told"}${more}`, "bad"];
  }
  const advice = (service.conditions ?? []).find((c) => !c.ok);
  if (advice) return [`Ready, but without ${names[advice.name] ?? visible(advice.name, 40)}: ${visible(advice.reason, 200)}`, "warn"];
  const held = (snapshot.ranges ?? []).filter((r) => r.mine);
  const nobody = (snapshot.ranges ?? []).filter((r) => !r.owner).length;
  if (nobody) return [`Ready, but nobody reads ${plural("range", nobody)}`, "warn"];
  if (held.some((r) => r.blocked)) return ["Ready, but overloaded: reading pauses until the queue has room", "warn"];
  return ["Ready", "good"];
}

function sentence(snapshot) {
  const ranges = snapshot.ranges ?? [];
  const held = ranges.filter((r) => r.mine);
  const parts = [ranges.length ? `Reads ${count(held.length)} of ${plural("range", ranges.length)}` : "Knows no range yet"];
  if (held.length) parts.push(`each within the last ${seconds(Math.max(...held.map((r) => r.staleness ?? 0)))}`);
  parts.push(`${plural("operation", snapshot.pending ?? 0)} pending`);
  const aside = snapshot.quarantinedTotal ?? snapshot.quarantined?.length ?? 0;
  if (aside) parts.push(`${count(aside)} in quarantine`);
  return `${parts.join(", ")}.`;
}

function conditions(list, context) {
  keyed(
    byID("conditions"),
    list,
    (c) => c.name,
    () => el("li", {}, el("span", { class: "mark", "aria-hidden": "true" }), el("span"), el("bdi", { class: "quiet" })),
    (item, c) => {
      attr(item, "data-ok", c.ok ? "true" : "false");
      const [mark, name, why] = item.children;
      text(mark, c.ok ? "✓" : "✕");
      text(name, names[c.name] ?? visible(c.name, 40));
      const since = age((context.now - moment(c.since)) / 1000);
      text(why, c.ok ? "" : `${visible(c.reason, 120)}, for ${since}`);
      attr(item, "title", `${c.ok ? "holds" : "does not hold"} since ${since}`);
    },
  );
}

// lineIn returns show(state, until, heard): the connection, in words.
export function lineIn() {
  let clockTimer = 0;
  return (state, until, heard) => {
    clearInterval(clockTimer);
    const show = () => {
      const wait = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      const last = Number.isFinite(heard) ? ` Last event ${clock(heard)}.` : "";
      const words = {
        connecting: "connecting",
        live: `live, ${clock(heard)}`,
        asking: `no live updates, asking every few seconds, ${clock(heard)}`,
        lost: wait > 0 ? `connection lost, trying again in ${wait} s.${last}` : `connection lost, trying again.${last}`,
        paused: "paused while unseen",
      };
      text(byID("live-text"), words[state]);
    };
    attr(byID("live"), "data-state", state);
    attr(document.body, "data-line", state);
    // While it connects the button stays as it is: who has pressed it keeps the focus.
    if (state !== "connecting") hide(byID("again"), state !== "lost" && state !== "asking");
    show();
    if (state === "lost") {
      clockTimer = setInterval(show, 500);
      text(byID("say-line"), "Connection lost, trying again");
      if (!document.title.startsWith("✕ ")) document.title = `✕ ${document.title.replace(/^(⚠|paused ·) /, "")}`;
    } else if (state === "live") {
      text(byID("say-line"), "Live");
    } else if (state === "paused") {
      document.title = `paused · ${byID("instance").textContent}`; // its numbers would stand there for hours
    }
  };
}
