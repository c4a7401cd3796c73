// Questions to /api/v1. One at a time of each kind: another one ends the older. The
// same one again waits for the answer that is on its way, for an answer may take
// longer than it is until the page asks the next time.

const patience = 10_000;

export function asker(path) {
  let under = null; // the question that is on its way
  // ask returns the answer, or null if another question has come instead.
  return function ask(parameters = {}) {
    const query = new URLSearchParams(parameters).toString();
    if (under?.query === query) return under.answer;
    under?.control.abort();
    const mine = (under = { query, control: new AbortController() });
    mine.answer = fetched(query ? `${path}?${query}` : path, mine.control).then(
      (answer) => (under === mine ? answer : null),
      (error) => {
        if (under === mine) throw error;
        return null;
      },
    );
    const over = () => under === mine && (under = null);
    mine.answer.then(over, over);
    return mine.answer;
  };
}

async function fetched(address, control) {
  const timer = setTimeout(() => control.abort(new Error("no answer for 10 s")), patience);
  try {
    const response = await fetch(address, {
      signal: control.signal,
      headers: { Accept: "application/json" },
      cache: "no-store",
      credentials: "same-origin",
    });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return await response.json();
  } catch (error) {
    if (control.signal.aborted) throw control.signal.reason;
    throw error instanceof TypeError ? new Error("the server does not answer") : error;
  } finally {
    clearTimeout(timer);
  }
}
