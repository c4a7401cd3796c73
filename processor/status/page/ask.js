// Questions to /api/v1. One at a time of each kind: a newer one ends the older.

const patience = 10_000;

export function asker(path) {
  let under = null;
  // ask returns the answer, or null if a newer question has come instead.
  return async function ask(parameters = {}) {
    under?.abort();
    const mine = (under = new AbortController());
    const timer = setTimeout(() => mine.abort(new Error("no answer for 10 s")), patience);
    try {
      const query = new URLSearchParams(parameters).toString();
      const response = await fetch(query ? `${path}?${query}` : path, {
        signal: mine.signal,
        headers: { Accept: "application/json" },
        cache: "no-store",
        credentials: "same-origin",
      });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const answer = await response.json();
      return under === mine ? answer : null;
    } catch (error) {
      if (under !== mine) return null;
      throw error instanceof TypeError ? new Error("the server does not answer") : error;
    } finally {
      clearTimeout(timer);
    }
  };
}
