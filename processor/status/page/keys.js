// Keys. Single letters work only outside of fields, and never with a modifier.

import { byID } from "./dom.js";

export function keysIn({ theme, turn, clear }) {
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
      if (at.value) clear();
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

// step moves the focus to the next operation, or the one before.
function step(by) {
  const all = [...byID("operations").querySelectorAll("button.disclose")];
  if (all.length === 0) return;
  const body = document.activeElement?.closest?.("#operations tbody");
  const now = body ? all.findIndex((b) => body.contains(b)) : by > 0 ? -1 : all.length;
  all[Math.max(0, Math.min(all.length - 1, now + by))].focus();
}
