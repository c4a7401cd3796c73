// How values are written for people. Pure functions; whatever comes from a
// document is hostile until it has gone through here.

// What a reader cannot see, or what turns the text around it: control and format
// characters (marks of direction, zero-width ones, tags), spaces and ends of lines
// other than the space, characters that are drawn as nothing, halves of pairs.
const unseen =
  /\p{Cc}|\p{Cf}|\p{Cs}|\p{Zl}|\p{Zp}|(?! )\p{Zs}|[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\uffff\u{e0000}-\u{e0fff}]/gu;

// The server cuts long texts, too, at 480 bytes, and says behind how long they were.
const cut = /… \((\d{3,20}) bytes\)$/;

// visible returns text of at most `most` characters in which nothing hides.
export function visible(value, most = 200) {
  const text = value === undefined || value === null ? "" : String(value);
  // Cut before looking: a name may be megabytes long. Never in the middle of a pair.
  let end = most;
  if (text.length > most && /[\ud800-\udbff]/.test(text[end - 1])) end--;
  const part = text.length > most ? text.slice(0, end) : text;
  const shown = part.replace(unseen, (c) => "\\u{" + c.codePointAt(0).toString(16).toUpperCase() + "}");
  if (text.length <= most) return shown;
  const told = cut.exec(text.slice(-40));
  return `${shown}… (${told ? `${count(Number(told[1]))} bytes` : `${count(text.length)} characters`})`;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

// count writes a number of things: 12,345.
export function count(n) {
  return Number.isFinite(n) ? whole.format(n) : "–";
}

// amount writes a measure with about three digits: 0.42, 4.2, 42, 4,200.
export function amount(n) {
  if (!Number.isFinite(n)) return "–";
  if (n === 0) return "0";
  const size = Math.abs(n);
  if (size >= 99.95) return whole.format(n);
  if (size >= 9.95) return trim(n.toFixed(1));
  return size < 0.005 ? "<0.01" : trim(n.toFixed(2));
}

const trim = (s) => s.replace(/\.?0+$/, "");

// age writes a length of time in its two largest units: 4 s, 3 min 20 s, 2 h 5 min.
export function age(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 60) return `${Math.floor(s)} s`;
  const [m, h, d] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  if (m < 10 && Math.floor(s % 60)) return `${m} min ${Math.floor(s % 60)} s`;
  if (h < 1) return `${m} min`;
  if (d < 1) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return h % 24 ? `${d} d ${h % 24} h` : `${d} d`;
}

// seconds writes a short time with its fraction: 0.3 s; longer ones as age does.
export function seconds(s) {
  if (!Number.isFinite(s)) return "–";
  return s < 9.95 ? `${trim(s.toFixed(1))} s` : age(s);
}

// moment reads a time of RFC 3339 as milliseconds; NaN if there is none.
export function moment(value) {
  return typeof value === "string" && value !== "" && !value.startsWith("0001-") ? Date.parse(value) : NaN;
}

// clock writes the time of day, as the reader's own clock shows it.
export function clock(ms) {
  return Number.isFinite(ms) ? new Date(ms).toLocaleTimeString("en-GB") : "–";
}

// stamp writes date and time in UTC, as logs have it.
export function stamp(ms) {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC") : "–";
}

// web returns the address if it is one of http or https, without credentials,
// else "". A page's address was written by another replica: a database says so.
export function web(value) {
  if (typeof value !== "string" || value.length > 2048) return "";
  let url;
  try {
    url = new URL(value);
  } catch {
    return "";
  }
  const fine = (url.protocol === "http:" || url.protocol === "https:") && !url.username && !url.password;
  return fine ? url.href : "";
}

// plural("range", 2) is "2 ranges".
export function plural(word, n) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}
