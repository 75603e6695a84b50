// The builder's comforts: going back and forth among the drafts of a visit, moving by mouse and by keyboard, pasting. What a step does to a rule
// only the server knows; each answer carries the whole draft, so going back is asking for an earlier one to be shown again.
(() => {
  const MOST = 100;
  const panel = () => document.getElementById("builder");
  const rule = () => document.getElementById("rule");
  const store = () => `draft:${location.pathname}`;
  let drafts = [], now = 0, left = "", notice = "", isGrabbed = false, isMoving = false;

  const load = () => {
    try { ({ drafts, now } = JSON.parse(sessionStorage.getItem(store())) || { drafts: [], now: 0 }); } catch { drafts = []; now = 0; }
    const saved = document.getElementById("draft").dataset.saved, mine = drafts[now];
    if (drafts.length && drafts[0].text === saved) return;
    // Somebody else saved meanwhile: what stood here is not lost, Redo puts it over theirs.
    const isLeft = now > 0 && mine && mine.text !== saved;
    drafts = [{ text: saved, said: "" }, ...(isLeft ? [{ text: mine.text, said: "Bring back your draft" }] : [])];
    now = 0;
    if (isLeft) notice = "Another version was saved meanwhile. Redo brings your draft back.";
  };
  const keep = () => { try { sessionStorage.setItem(store(), JSON.stringify({ drafts, now })); } catch { /* full or forbidden: this visit only */ } };

  // As if the panel asked: after the steps that are on their way, and with the rule as it is by then (hx-sync and hx-include of the panel).
  const post = values => htmx.ajax("POST", panel().dataset.build, { source: "#builder", target: "#builder", swap: "morph:outerHTML", values });

  function tell() {
    const pending = document.querySelector("[data-pending]"), undo = document.querySelector("[data-undo]"), redo = document.querySelector("[data-redo]");
    if (!pending) return;
    pending.textContent = notice || (now ? `${now} unsaved change${now > 1 ? "s" : ""}` : "");
    notice = "";
    const had = document.activeElement;
    undo.disabled = !now;
    undo.setAttribute("aria-label", now ? `Undo: ${drafts[now].said}` : "Undo: nothing to undo");
    redo.disabled = now >= drafts.length - 1;
    redo.setAttribute("aria-label", redo.disabled ? "Redo: nothing to redo" : `Redo: ${drafts[now + 1].said}`);
    document.querySelectorAll("[data-discard]").forEach(one => { one.hidden = !now; });
    // A button that has nothing more to do hands the focus on.
    if (had?.disabled || had?.hidden) [undo, redo].find(one => !one.disabled)?.focus();
  }

  // What wasn't answered isn't done: the history stands where the rule does, and says so.
  for (const failed of ["htmx:sendError", "htmx:responseError"]) document.addEventListener(failed, event => {
    if (event.detail.target?.id !== "builder") return;
    const at = drafts.findIndex(one => one.text === rule().value);
    if (at >= 0) now = shown = at; // so nobody asks on behalf of who was told to try again
    isMoving = false;
    keep();
    notice = "That was not done: the platform gave no answer. Try again.";
    tell();
  });

  // To an earlier draft or a later one. Pressed again before it is shown, the one under way goes on to there.
  let going = false, shown = null;
  async function go(to) {
    if (to < 0 || to >= drafts.length || to === now) return;
    now = to;
    typed.clear();
    keep();
    tell();
    if (going) return;
    going = true;
    try {
      for (shown = null; shown !== now;) {
        shown = now;
        await post({ do: "show", rule: drafts[shown].text });
      }
    } finally { going = false; }
  }

  // Where a thing is let go is a step like any other; the rows are drawn again from what the server answers.
  function letDrag() {
    if (!document.querySelector("[data-grip]") || document.querySelector("#builder [inert]")) return;
    document.querySelectorAll("#builder [data-into]").forEach(list => {
      if (Sortable.get(list)) return;
      Sortable.create(list, {
        group: list.dataset.kind, handle: "[data-grip]", draggable: "[data-at]", animation: 120, forceFallback: true, fallbackOnBody: true,
        fallbackTolerance: 3, swapThreshold: 0.6, ghostClass: "is-ghost", dragClass: "is-dragged",
        onEnd: ({ item, from, to, oldDraggableIndex: before, newDraggableIndex: after }) => {
          if (from === to && before === after) return;
          isGrabbed = true;
          // The place counts in the list as it was, with what is moved still in it.
          post({ do: "move", what: item.dataset.at, into: to.dataset.into, position: from === to && after > before ? after + 1 : after });
        },
      });
    });
  }

  function note() {
    letDrag();
    const text = rule().value, said = panel().dataset.said;
    if (!going && drafts[now] && text !== drafts[now].text) {
      const before = drafts.slice(1, now + 1).slice(1 - MOST);
      drafts = [drafts[0], ...before, { text, said: said || "Edit the JSON" }]; // the first is what is saved, and stays
      now = drafts.length - 1;
      keep();
    }
    tell();
    rule().dispatchEvent(Object.assign(new Event("input", { bubbles: true }), { isOurs: true })); // whoever counts follows
    const place = panel().dataset.focus || (document.activeElement === document.body ? left : "");
    const goesToGrip = isGrabbed;
    isGrabbed = false;
    if (!place) return;
    const row = document.querySelector(`[data-at="${CSS.escape(place)}"]`) || document.getElementById(`n${place.replaceAll("/", "-")}`);
    const target = row && (goesToGrip ? row.querySelector("[data-grip]") : row.querySelector("input:not([tabindex])") || row.querySelector("select:not(.tok--field), select"));
    if (target) target.focus();
  }

  // What was typed or chosen since, an answer doesn't take back: it is sent itself in a moment. Nor is what was unfolded folded.
  const typed = new Set();
  document.addEventListener("input", event => { if (!event.isOurs && event.target.closest("#builder")) typed.add(event.target); });
  document.addEventListener("htmx:beforeRequest", event => typed.delete(event.detail.elt));
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node, change) => {
    if (name === "open" && change === "remove" && node.matches("#builder details")) return false;
    return !(["value", "selected", "checked"].includes(name) && typed.has(node.closest("input, select, textarea")));
  };

  document.addEventListener("htmx:afterRequest", event => { if (event.detail.elt.id === "builder") isMoving = false; });
  // Where the focus was, should an answer take away what had it.
  document.addEventListener("htmx:beforeSwap", event => { if (event.detail.target?.id === "builder") left = document.activeElement.closest?.("[data-at]")?.dataset.at || ""; });
  document.addEventListener("htmx:afterSwap", event => { if (["builder", "new-segment"].includes(event.detail.target?.id) && panel()) note(); });

  document.addEventListener("click", async event => {
    if (event.target.closest("[data-undo]")) return go(now - 1);
    if (event.target.closest("[data-redo]")) return go(now + 1);
    if (event.target.closest("[data-discard]")) return go(0);
    const paste = event.target.closest("[data-paste]");
    if (paste) {
      let text = "";
      try { text = await navigator.clipboard.readText(); } catch { /* closed to us: as if it were empty */ }
      if (text) post({ do: "paste", into: paste.dataset.paste, value: text });
      else paste.dispatchEvent(new Event("paste-refused", { bubbles: true })); // an empty one: a field to paste into
    }
    document.querySelectorAll("[data-menu][open]").forEach(menu => { if (!menu.contains(event.target) || event.target.closest(".more-b")) menu.open = false; });
  });

  // On a grip the arrows move, and each move is a step of its own.
  document.addEventListener("keydown", event => {
    const grip = event.target.closest?.("[data-grip]");
    if (grip) {
      // Where things are is known again once the last move is answered: another key meanwhile would move or remove something else.
      if (isMoving && (event.key.startsWith("Arrow") || event.key === "Delete")) return event.preventDefault();
      const moves = { ArrowUp: "up", ArrowDown: "down", ArrowRight: "in", ArrowLeft: "out" };
      const what = grip.closest("[data-at]").dataset.at;
      if (moves[event.key]) {
        event.preventDefault();
        isGrabbed = true; // the focus goes along
        isMoving = true;
        post({ do: moves[event.key], what });
      } else if (event.key === "Delete") {
        event.preventDefault();
        isMoving = true;
        post({ do: "remove", what });
      }
      return;
    }
    const isTyping = event.target.closest?.("input:not([type=checkbox]), textarea");
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || isTyping || !panel()) return;
    event.preventDefault();
    go(event.shiftKey ? now + 1 : now - 1);
  });

  const begin = () => {
    if (!panel() || !rule() || !document.getElementById("draft")) return;
    load();
    letDrag();
    if (now && drafts[now].text !== rule().value) post({ do: "show", rule: drafts[now].text });
    tell();
  };
  document.addEventListener("submit", event => { if (event.target.id === "rule-form" && !event.submitter?.hasAttribute("data-download")) sessionStorage.removeItem(store()); });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
