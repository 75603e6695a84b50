// A histogram's threshold by slider or button: the picture follows, and the figure tells whoever listens (segments/fields/views.py).
(() => {
  const stopsOf = new WeakMap();
  const stops = range => {
    if (!stopsOf.has(range)) stopsOf.set(range, JSON.parse(range.dataset.stops));
    return stopsOf.get(range);
  };

  function show(range, [, shown, note, x]) {
    const figure = range.closest(".hist"), mark = figure.querySelector(".h-at");
    const [line, words] = [mark.querySelector(".h-mark"), mark.querySelector(".h-flag")];
    line.setAttribute("x1", `${x}%`);
    line.setAttribute("x2", `${x}%`);
    words.setAttribute("x", `${x}%`);
    words.setAttribute("dx", x > 60 ? -8 : 8);
    words.setAttribute("text-anchor", x > 60 ? "end" : "start");
    mark.querySelector(".h-flag-v").textContent = shown;
    mark.querySelector(".h-flag-p").textContent = note;
    mark.removeAttribute("visibility");
    const taken = figure.querySelector("clipPath rect"), isAbove = figure.dataset.side === "above";
    taken.setAttribute("x", isAbove ? `${x}%` : "0%");
    taken.setAttribute("width", isAbove ? `${100 - x}%` : `${x}%`);
    range.setAttribute("aria-valuetext", `${shown}, ${note}`);
  }

  const tell = (element, value, shown, done) =>
    element.closest(".hist").dispatchEvent(new CustomEvent("fields:threshold", { bubbles: true, detail: { value, shown, done } }));

  function slid(event, done) {
    const range = event.target;
    if (!range.matches?.(".h-range")) return;
    const stop = stops(range)[range.value];
    show(range, stop);
    tell(range, stop[0], stop[1], done);
  }
  document.addEventListener("input", event => slid(event, false));
  document.addEventListener("change", event => slid(event, true));

  document.addEventListener("click", event => {
    const button = event.target.closest(".hist [data-threshold]");
    if (!button) return;
    const range = button.closest(".hist").querySelector(".h-range");
    const value = Number(button.dataset.threshold) || Date.parse(button.dataset.threshold);
    const of = stop => Number(stop[0]) || Date.parse(stop[0]) || 0;
    const all = stops(range);
    const nearest = all.reduce((best, stop, place) => Math.abs(of(stop) - value) < Math.abs(of(all[best]) - value) ? place : best, 0);
    range.value = nearest;
    show(range, [button.dataset.threshold, button.dataset.shown, all[nearest][2], all[nearest][3]]);
    tell(button, button.dataset.threshold, button.dataset.shown, true);
  });
})();
