// What the table of operations shows, kept in the address (#q=…&kind=…), so that
// a view can be sent to a colleague.

const sorts = ["age", "due", "attempts"];
const longest = 512; // characters of a search: the server takes 2048 bytes
const empty = { q: "", kind: "", request: "", state: "", sort: "age", page: 0 };

export function read(hash = location.hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const filter = { ...empty };
  for (const name of ["q", "kind", "request", "state"]) filter[name] = (given.get(name) ?? "").slice(0, name === "q" ? longest : 600);
  if (sorts.includes(given.get("sort"))) filter.sort = given.get("sort");
  const page = Number.parseInt(given.get("page") ?? "1", 10);
  filter.page = page > 1 && page < 100_000 ? page - 1 : 0;
  return filter;
}

// searchable is a text of an operation as one can search for it: what was cut off
// long ones, and told, is in none.
export const searchable = (text) =>
  String(text ?? "")
    .replace(/… \(\d+ bytes\)$/, "")
    .slice(0, longest)
    .replace(/[\ud800-\udbff]$/, ""); // half of a pair

export function write(filter) {
  const kept = new URLSearchParams();
  for (const name of ["q", "kind", "request", "state"]) if (filter[name]) kept.set(name, filter[name]);
  if (filter.sort !== empty.sort) kept.set("sort", filter.sort);
  if (filter.page) kept.set("page", filter.page + 1);
  const hash = kept.toString();
  const address = location.pathname + location.search + (hash ? `#${hash}` : "");
  if (address === location.pathname + location.search + location.hash) return;
  try {
    history.replaceState(null, "", address);
  } catch {
    // Safari allows 100 in 10 s. The next change brings the address up to date.
  }
}

// narrow says whether anything is left out.
export const narrow = (filter) => ["q", "kind", "request", "state"].some((name) => filter[name]);
