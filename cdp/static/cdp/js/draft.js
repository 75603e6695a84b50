// Around a draft: dialogs over the page (review, conflict, SQL), files taken in, and pasting where the clipboard is closed to us.
// What is asked and answered is the server's; without this a review is a page of its own.
(() => {
  const host = () => document.getElementById("review");
  const dialog = () => host()?.querySelector("dialog");

  document.addEventListener("htmx:afterSwap", event => {
    const target = event.detail.target;
    if (target?.id === "review") { const shown = dialog(); if (shown && !shown.open) shown.showModal(); return; }
    if (!["builder", "new-segment"].includes(target?.id)) return;
    dialog()?.close();
    // Refused: to what has to be mended.
    if (event.detail.xhr?.status === 422) requestAnimationFrame(() => document.querySelector("#new-segment .form [aria-invalid=true], #builder .cond--bad [aria-invalid=true]")?.focus());
  });

  // A slow answer about a draft that has changed since: what is wrong with it would take the place of what was written, and what it
  // would save isn't what is there. So the first is let go, and the second asked for again.
  document.addEventListener("htmx:beforeSwap", event => {
    const { xhr, requestConfig } = event.detail, isReview = requestConfig?.elt?.id === "review-b";
    if (!isReview && !/\/segment\/(preview|draft\/permits)\/$/.test(requestConfig?.path)) return;
    if (lines(requestConfig.parameters.rule) === lines(document.getElementById("rule")?.value)) return isReview || leaveOutRows(event.detail);
    event.detail.shouldSwap = false; // what is counted of the newer draft is asked for by itself
    if (isReview && xhr.status !== 422) setTimeout(() => htmx.trigger(requestConfig.elt, "click")); // once this one has ended
  });
  // Counted as it is typed, before the rows of it stand: what belongs to them is asked for again once they do.
  let isAhead = false;
  function leaveOutRows(detail) {
    const answer = new DOMParser().parseFromString(detail.serverResponse, "text/html");
    const beside = [...answer.querySelectorAll("[hx-swap-oob]")], early = beside.filter(one => !document.getElementById(one.id));
    if (beside.length) isAhead = early.length > 0;
    if (!early.length) return;
    early.forEach(one => one.remove());
    detail.serverResponse = answer.body.innerHTML;
  }
  document.addEventListener("htmx:afterSwap", event => {
    if (event.detail.target?.id !== "builder" || !isAhead) return;
    isAhead = false;
    if (pressed === document.getElementById("rule")?.value) htmx.trigger("#preview-form", "submit"); else htmx.trigger("#preview-typed", "rows");
  });
  const lines = text => String(text).replaceAll("\r\n", "\n"); // forms send their line ends in another way

  // "close" doesn't bubble. What is counted for a dialog that is gone is not waited for.
  document.addEventListener("close", event => {
    if (event.target.parentElement !== host()) return;
    event.target.querySelectorAll("[hx-post]").forEach(one => htmx.trigger(one, "htmx:abort"));
    host().replaceChildren();
  }, true);

  document.addEventListener("click", event => {
    if (event.target.closest("[data-close]") || (event.target === dialog() && outside(event))) dialog()?.close();
  });
  function outside(event) { // on its backdrop: a click on its own padding is within its edges
    const edges = dialog().getBoundingClientRect();
    return event.clientX < edges.left || event.clientX > edges.right || event.clientY < edges.top || event.clientY > edges.bottom;
  }

  // What is saved needn't be kept as a draft. Where it is refused, the builder still has it, and keeps it with the next step.
  document.addEventListener("htmx:beforeOnLoad", event => {
    if (event.detail.xhr.getResponseHeader("HX-Redirect")) try { sessionStorage.removeItem(`draft:${location.pathname}`); } catch { /* there is none */ }
  });

  // What was typed is counted a moment later, unless it was asked for meanwhile by pressing: that shows people, too, and isn't ended.
  let pressed = null;
  document.addEventListener("htmx:confirm", event => {
    const rule = document.getElementById("rule")?.value;
    if (event.detail.elt.id === "preview-form") pressed = rule;
    if (event.detail.elt.id !== "preview-typed") return;
    if (pressed === rule) event.preventDefault(); else pressed = null;
  });

  // The same file may be taken in again once it was mended.
  document.addEventListener("htmx:afterRequest", event => { if (event.detail.elt.matches?.("[data-once]")) event.detail.elt.value = ""; });

  // The clipboard can't be read: a field to paste into, where the button is.
  document.addEventListener("paste-refused", event => {
    const button = event.target, open = button.parentElement.querySelector(".clip");
    if (open) return open.querySelector("textarea").focus();
    const form = document.createElement("form"), area = document.createElement("textarea"), send = document.createElement("button");
    form.className = "clip";
    area.className = "in"; area.rows = 3; area.setAttribute("aria-label", "Paste a condition or a rule here"); area.placeholder = "Paste here: Ctrl+V";
    send.className = "btn btn--s"; send.textContent = "Add it";
    form.append(area, send);
    const put = () => {
      if (!area.value.trim()) return area.focus();
      const values = { do: "paste", into: button.dataset.paste, value: area.value };
      form.remove();
      // As the builder's own steps: after those on their way, with the rule as it is by then.
      htmx.ajax("POST", document.getElementById("builder").dataset.build, { source: "#builder", target: "#builder", swap: "morph:outerHTML", values });
    };
    form.addEventListener("submit", sent => { sent.preventDefault(); put(); });
    form.addEventListener("keydown", pressed => { if (pressed.key === "Escape") { form.remove(); button.focus(); } });
    area.addEventListener("paste", () => setTimeout(put));
    button.after(form);
    area.focus();
  });
})();
