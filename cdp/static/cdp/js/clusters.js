// A set of features is one click: those of the set are chosen, the others aren't.
document.addEventListener("click", event => {
  const button = event.target.closest("[data-preset]");
  if (!button) return;
  const wanted = new Set(button.dataset.preset.split(" "));
  for (const box of document.querySelectorAll('input[name="feature"]')) {
    box.checked = wanted.has(box.id.slice(2));
    if (box.checked) box.closest("details").open = true;
  }
  htmx.trigger("#together", "chosen");
});
