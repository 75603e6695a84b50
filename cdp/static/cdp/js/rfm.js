// The table of groups in RFM's settings: dragging a row is a step like a press on its arrows, and the focus goes along with a row that moved.
(() => {
  const form = () => document.getElementById("rfm-settings");
  // What is being typed an answer doesn't take back; it is sent itself when it is done.
  Idiomorph.defaults.ignoreActiveValue = true;

  function letDrag() {
    const table = form()?.querySelector("[data-rows]");
    if (!table || !form().dataset.draft || Sortable.get(table)) return;
    // While a row is on its way Sortable says "change" of the table; what sends the form is a change of a field.
    table.addEventListener("change", event => { if (event.target === table) event.stopPropagation(); });
    Sortable.create(table, {
      handle: "[data-grip]", draggable: "[data-row]", animation: 120, forceFallback: true, fallbackOnBody: true, fallbackTolerance: 3, ghostClass: "is-ghost",
      onEnd: ({ oldDraggableIndex: before, newDraggableIndex: after }) => {
        if (before === after) return;
        // The form is sent in the order that is seen: the row lies where it was dropped already.
        const asked = htmx.ajax("POST", form().dataset.draft, { source: form(), target: form(), swap: "morph:outerHTML" });
        asked.catch(() => { /* a newer step took its place */ });
      },
    });
  }

  document.addEventListener("htmx:afterSettle", event => {
    if (event.detail.target?.id !== "rfm-settings") return;
    letDrag();
    const wanted = form().dataset.focus && document.getElementById(form().dataset.focus);
    if (wanted) (wanted.disabled ? wanted.parentElement.querySelector("button:not(:disabled)") : wanted)?.focus();
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", letDrag); else letDrag();
})();
