// The theme is set before the first paint, which is why this is no module. It is a taste of this browser, not of a link:
// the one thing that is kept beside the address.
(() => {
  const root = document.documentElement;
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage may be switched off: then the system's theme stands */ }
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
})();
