// Keys. Single letters work only outside of fields, and never with a modifier.

import { byID } from "./dom.js";

export function keysIn({ theme, turn, forget }) {
  const dialog = byID("keys");
  const help = () => (dialog.open ? dialog.close() : dialog.showModal());
  byID("help").addEventListener("click", help);
  byID("keys-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

  const does = {
    "/": () => {
      byID("q").focus();
      byID("q").select();
    },
    "?": help,
    t: theme,
    j: () => step(1),
    k: () => step(-1),
    n: () => turn(1),
    p: () => turn(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.target;
    if (at === byID("q") && event.key === "Escape") {
      event.preventDefault();
      if (at.value) forget();
      else at.blur();
      return;
    }
    if (at.closest?.("input, select, textarea")) return;
    if (dialog.open && event.key !== "?") return;
    const act = does[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

// at is the place of the operation that has the focus, or had it until it ended;
// -1 when the reader is elsewhere.
let at = -1;

document.addEventListener("focusin", (event) => {
  at = all().findIndex((button) => button.closest("tbody").contains(event.target));
});

const all = () => [...byID("operations").querySelectorAll("button.disclose")];

// step moves the focus to the next operation, or the one before. In the place of
// one that has ended is the one after it.
function step(by) {
  const buttons = all();
  if (buttons.length === 0) return;
  const body = document.activeElement?.closest?.("#operations tbody");
  let to = body ? buttons.findIndex((b) => body.contains(b)) + by : by > 0 ? at : at - 1;
  if (!body && at < 0) to = by > 0 ? 0 : buttons.length - 1;
  buttons[Math.max(0, Math.min(buttons.length - 1, to))].focus();
}
