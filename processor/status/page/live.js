// The stream of snapshots, kept alive. EventSource gives up for good when the
// server answers anything but 200 (503: too many watch already), and asks a dead
// server at a pace of its own; so each stream is used until its first error, and
// the pauses are ours: 1, 2, 4, 8, 10, 10, … seconds.

const longest = 10_000; // between two tries
const silence = 15_000; // without an event, on a stream that sends one a second

// live calls snapshot(value) for each snapshot and state(name, until) when the
// connection changes: "connecting", "live", "asking" (no stream, but answers),
// "lost" (until: when the next try begins, ms), "paused" (the page is not seen).
export function live({ events, once, snapshot, state }) {
  let source = null;
  let timer = 0;
  let watch = 0;
  let tries = 0;
  let answers = false; // to plain questions, while there is no stream
  let turn = 0; // what belongs to an earlier connection is dropped

  function stop() {
    turn++;
    clearTimeout(timer);
    clearTimeout(watch);
    source?.close();
    source = null;
  }

  function open() {
    stop();
    const mine = turn;
    source = new EventSource(events);
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => lost(mine), silence);
    };
    heard();
    source.addEventListener("snapshot", (event) => {
      if (mine !== turn) return;
      heard();
      const value = parse(event.data);
      if (value === null) return;
      tries = 0;
      answers = false;
      state("live");
      snapshot(value);
    });
    source.addEventListener("error", () => lost(mine));
  }

  async function lost(mine) {
    if (mine !== turn) return;
    stop();
    const now = turn;
    const pause = Math.min(longest, 1000 * 2 ** tries++);
    const wait = pause * (0.8 + 0.2 * Math.random()); // not all pages at once
    if (!answers) state("lost", Date.now() + wait);
    timer = setTimeout(open, wait);
    try {
      const value = await once();
      if (now !== turn || value === null) return;
      answers = true;
      state("asking", Date.now() + wait);
      snapshot(value);
    } catch {
      answers = false;
      if (now === turn) state("lost", Date.now() + wait);
    }
  }

  function look() {
    if (document.hidden) {
      stop();
      state("paused");
    } else {
      tries = 0;
      state("connecting");
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  // A page that comes back from the browser's cache of pages has no stream.
  addEventListener("pageshow", (event) => event.persisted && look());
  addEventListener("pagehide", stop);
  look();
  return { again: () => (document.hidden ? undefined : look()) };
}

function parse(data) {
  try {
    const value = JSON.parse(data);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
