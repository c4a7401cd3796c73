// Light or dark, before the first paint: a classic script in the head, so that a
// page of the other colour is never flashed. Everything else is a module.
(() => {
  const key = "opfeed.theme";
  const known = ["auto", "light", "dark"];
  const root = document.documentElement;

  // Storage may be forbidden or full; the page then forgets, and works.
  const stored = () => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };
  const show = (theme) => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
  };

  let now = known.includes(stored()) ? stored() : "auto";
  show(now);

  window.opfeedTheme = {
    get: () => now,
    next() {
      now = known[(known.indexOf(now) + 1) % known.length];
      show(now);
      try {
        localStorage.setItem(key, now);
      } catch {
        // not remembered
      }
      return now;
    },
  };
})();
