// Choosing in the builder: fields in a dialog, values under an input, a threshold on a histogram. What there is to choose from comes from
// the server as it is typed (segments/fields/views.py); what was chosen is posted by the button or input itself, as its attributes say.
(() => {
  const dialog = document.getElementById("picker"), values = document.getElementById("values");
  if (!dialog) return;

  // An answer of a session that has ended is the log-in page, which belongs in the window.
  async function ask(url, query, signal) {
    const answer = await fetch(`${url}?${query}`, { signal });
    if (new URL(answer.url).pathname.endsWith("/login/")) location.reload();
    return answer.ok ? answer.text() : "";
  }

  // A list of options of which one is active: the field names it for whoever hears the page.
  class Options {
    constructor(field, place) { this.field = field; this.place = place; }
    get all() { return [...this.place.querySelectorAll('[role="option"]')]; }
    get active() { return this.place.querySelector('[role="option"][aria-selected="true"]'); }
    activate(option) {
      this.active?.setAttribute("aria-selected", "false");
      option?.setAttribute("aria-selected", "true");
      if (option) this.field.setAttribute("aria-activedescendant", option.id); else this.field.removeAttribute("aria-activedescendant");
    }
    move(key) {
      const all = this.all, at = all.indexOf(this.active), last = all.length - 1;
      const to = { ArrowDown: at < last ? at + 1 : 0, ArrowUp: at > 0 ? at - 1 : last, PageDown: Math.min(last, at + 8), PageUp: Math.max(0, at - 8) }[key];
      this.activate(all[to]);
      all[to]?.scrollIntoView({ block: "nearest" });
    }
  }

  // What goes with the next request of an element, beside what it sends itself.
  const along = new WeakMap();
  document.addEventListener("htmx:configRequest", event => {
    const more = along.get(event.detail.elt);
    if (!more) return;
    along.delete(event.detail.elt);
    for (const [name, value] of Object.entries(more)) event.detail.parameters[name] = value;
  });

  // ---- Fields ----
  const typed = dialog.querySelector("input"), found = dialog.querySelector("[data-picker-found]"), about = dialog.querySelector("[data-picker-card]");
  const stage = dialog.querySelector("[data-picker-stage]"), title = dialog.querySelector("h2");
  const fields = new Options(typed, found);
  const cards = new Map();
  let opener = null, kind = "", isFirstStep = false, asked = null, answered = Promise.resolve(), waiting = 0;

  function open(button) {
    opener = button;
    isFirstStep = false;
    title.textContent = button.getAttribute("aria-label");
    cards.clear();
    opener.setAttribute("aria-expanded", "true");
    dialog.showModal();
    begin();
    place();
  }

  function begin() {
    kind = typed.value = "";
    stage.hidden = !isFirstStep;
    const query = new URLSearchParams(isFirstStep ? "only=event" : opener.dataset.pick);
    typed.setAttribute("aria-label", query.has("event") ? `Search the properties of ${query.get("event")}` : query.has("only") ? "Search events" : "Search events, traits, scores, segments, lists and permissions");
    typed.placeholder = query.has("event") ? "Search properties" : query.has("only") ? "Search events" : "Search everything";
    typed.focus();
    search();
  }

  // Below what it was opened by, where there is room; else as near as the window allows. Narrow windows give it all their width.
  function place() {
    const at = opener.getBoundingClientRect(), size = dialog.getBoundingClientRect();
    const below = at.bottom + 4, above = at.top - size.height - 4;
    dialog.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
    dialog.style.top = `${Math.max(8, below + size.height <= innerHeight - 8 || above < 8 ? Math.min(below, innerHeight - size.height - 8) : above)}px`;
  }

  function search() {
    clearTimeout(waiting);
    asked?.abort();
    const { signal } = asked = new AbortController();
    const query = new URLSearchParams(isFirstStep ? "only=event" : opener.dataset.pick);
    query.set("q", typed.value);
    query.set("list", "picker-list");
    if (kind) query.set("kind", kind);
    answered = ask(dialog.dataset.list, query, signal).then(text => {
      if (signal.aborted) return;
      const wasOnTab = found.contains(document.activeElement) && kind === document.activeElement.dataset.kind;
      found.innerHTML = text || '<p class="pop-0" role="alert">The list could not be had. Try again.</p>';
      if (wasOnTab) found.querySelector('[aria-pressed="true"]')?.focus();
      look(fields.all.find(option => option.ariaDisabled !== "true") || fields.all[0]);
    }, error => { if (error.name !== "AbortError") found.innerHTML = '<p class="pop-0" role="alert">The platform could not be reached.</p>'; });
  }

  // The card of the active field: after a moment, so that who runs down the list asks for none in between.
  let looking = 0;
  function look(option) {
    fields.activate(option);
    clearTimeout(looking);
    if (!option?.dataset.kind) { about.replaceChildren(); return; }
    const { kind: of, key, event = "" } = option.dataset;
    const query = new URLSearchParams({ kind: of, key, event }).toString();
    const show = text => { if (fields.active === option) about.innerHTML = text; };
    if (cards.has(query)) return show(cards.get(query));
    looking = setTimeout(async () => {
      const text = await ask(dialog.dataset.card, query).catch(() => "");
      cards.set(query, text);
      show(text);
    }, 80);
  }

  function choose(option) {
    if (!option || option.ariaDisabled === "true") return;
    const { form, about: what } = option.dataset;
    if (form === "sequence") { isFirstStep = true; return begin(); }
    const button = opener;
    button.value = `${isFirstStep ? "sequence" : form}:${what}`;
    dialog.close();
    htmx.trigger(button, "picked");
  }

  typed.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  dialog.addEventListener("keydown", async event => {
    if (event.target.closest("button, a")) return;
    if (["ArrowDown", "ArrowUp", "PageDown", "PageUp"].includes(event.key)) {
      event.preventDefault();
      fields.move(event.key);
      look(fields.active);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (typed.value && waiting) search(); // what was typed last is meant, not what was found before
      await answered;
      choose(fields.active);
    }
  });
  dialog.addEventListener("click", event => {
    if (event.target === dialog || event.target.closest(".pop-x-b")) return dialog.close();
    const tab = event.target.closest("[data-picker-found] [aria-pressed]");
    if (tab) { kind = tab.dataset.kind; search(); } else choose(event.target.closest('[role="option"]'));
  });
  found.addEventListener("pointermove", event => {
    const option = event.target.closest('[role="option"]');
    if (option && option !== fields.active) look(option);
  });
  dialog.addEventListener("close", () => { clearTimeout(waiting); asked?.abort(); opener?.setAttribute("aria-expanded", "false"); found.replaceChildren(); about.replaceChildren(); });
  addEventListener("resize", () => { if (dialog.open) place(); });

  // ---- Values ----
  let field = null, listed = null, asking = null, soon = 0, arriving = null;

  function shut() {
    clearTimeout(soon);
    soon = 0;
    asking?.abort();
    if (values.matches(":popover-open")) values.hidePopover();
    field?.setAttribute("aria-expanded", "false");
    field?.removeAttribute("aria-activedescendant");
    field = null;
  }

  async function suggest(input, text) {
    if (field !== input) shut();
    field = input;
    listed = new Options(input, values);
    asking?.abort();
    const { signal } = asking = new AbortController();
    const [name, rest] = input.dataset.suggest.split("?");
    const query = new URLSearchParams(rest);
    query.set("q", text);
    const answer = await ask(dialog.dataset[name], query, signal).catch(() => null);
    if (answer === null || field !== input) return;
    values.innerHTML = answer;
    const chosen = new Set([...input.parentElement.querySelectorAll(".pill")].map(pill => pill.dataset.value.toLowerCase()));
    if (chosen.size) listed.all.filter(option => chosen.has(option.dataset.value.toLowerCase())).forEach(option => option.remove());
    const isAny = listed.all.length > 0;
    input.setAttribute("aria-expanded", isAny);
    listed.activate(null);
    if (!isAny) { if (values.matches(":popover-open")) values.hidePopover(); return; }
    if (text && values.querySelector("[data-closed]")) listed.activate(listed.all[0]); // there is no other value than these
    if (!values.matches(":popover-open")) values.showPopover();
    beside();
  }

  function beside() {
    const at = (field.closest(".multi") || field).getBoundingClientRect(), size = values.getBoundingClientRect();
    values.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
    const wanted = at.bottom + 4 + size.height <= innerHeight ? at.bottom + 4 : at.top - size.height - 4;
    values.style.top = `${Math.max(8, Math.min(wanted, innerHeight - size.height - 8))}px`; // in sight, wherever the field is by now
  }

  function take(option) {
    const input = field;
    input.value = option.dataset.value;
    along.set(input, option.dataset.vals ? JSON.parse(option.dataset.vals) : { whole: "yes" });
    shut();
    say(input);
  }

  const say = input => input.dispatchEvent(new Event("change", { bubbles: true }));
  const isSuggested = element => element?.matches?.("[data-suggest]");
  document.addEventListener("input", event => {
    if (!isSuggested(event.target)) return;
    clearTimeout(soon);
    soon = setTimeout(() => { soon = 0; arriving = suggest(event.target, event.target.value); }, 120);
  });
  document.addEventListener("click", event => {
    if (isSuggested(event.target) && field !== event.target) suggest(event.target, "");
    else if (field && !values.contains(event.target) && event.target !== field) shut();
  });
  document.addEventListener("focusout", event => { if (event.target === field) shut(); });
  document.addEventListener("keydown", async event => {
    const input = event.target;
    if (!isSuggested(input)) return;
    const isOpen = field === input && values.matches(":popover-open");
    if (["ArrowDown", "ArrowUp"].includes(event.key)) {
      event.preventDefault();
      if (isOpen) listed.move(event.key); else suggest(input, input.value === input.defaultValue ? "" : input.value);
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      shut();
    } else if (event.key === "Enter" && !event.isComposing) {
      const isTyped = input.value !== input.defaultValue, isBehind = soon;
      if (!isTyped && !isOpen) return;
      event.preventDefault();
      clearTimeout(soon);
      // What was typed last may stand for one of the values there are: "germany" for its code.
      if (isBehind) arriving = suggest(input, input.value);
      await arriving;
      if (field === input && listed.active) return take(listed.active);
      shut();
      if (isTyped) say(input);
    }
  });
  values.addEventListener("pointerdown", event => event.preventDefault()); // the focus stays in the field
  values.addEventListener("click", event => { const option = event.target.closest('[role="option"]'); if (option && field) take(option); });
  addEventListener("scroll", event => { if (field && !values.contains(event.target)) beside(); }, true);
  addEventListener("resize", () => { if (field) beside(); });
  document.addEventListener("htmx:afterSettle", () => { if (field?.isConnected) beside(); }); // what came in above moved the field

  // ---- Days ----
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-calendar]");
    if (button) button.nextElementSibling.showPicker();
  });
  document.addEventListener("change", event => {
    if (!event.target.matches(".cal")) return;
    const input = document.getElementById(event.target.previousElementSibling.dataset.calendar);
    input.value = event.target.value;
    say(input);
  });

  // ---- Histograms ----
  const placeOf = button => document.getElementById(button.getAttribute("aria-controls"));
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-histogram]");
    if (!button) return;
    const place = placeOf(button);
    if (place.firstChild) { place.replaceChildren(); button.setAttribute("aria-expanded", "false"); } else htmx.trigger(button, "look");
  });

  // The picture stays while the rule changes around it: a slider that is being moved must not go.
  const keeps = Idiomorph.defaults.callbacks;
  keeps.beforeNodeMorphed = (old, fresh) => !(old.dataset?.keep && old.firstChild && old.dataset.keep === fresh.dataset?.keep);
  const asIs = ({ value, ...others }) => JSON.stringify(others);
  document.addEventListener("htmx:afterSwap", event => {
    const place = event.detail.target;
    if (place.matches(".hist-at")) {
      const button = document.querySelector(`[aria-controls="${CSS.escape(place.id)}"]`);
      if (!button) return;
      button.setAttribute("aria-expanded", "true");
      [place.dataset.of, place.dataset.value] = [asIs(JSON.parse(button.getAttribute("hx-vals"))), String(JSON.parse(button.getAttribute("hx-vals")).value)];
    } else if (place.id === "builder") document.querySelectorAll(".hist-at").forEach(follow);
    const input = document.activeElement;
    if (place.id === "builder" && isSuggested(input) && "many" in input.dataset && input.value === "") suggest(input, "");
  });

  // A picture of something else than the condition now says is asked for again; the threshold that it set itself it knows.
  function follow(place) {
    if (!place.firstChild) return;
    const button = document.querySelector(`[aria-controls="${CSS.escape(place.id)}"]`);
    if (!button) return;
    button.setAttribute("aria-expanded", "true");
    const now = JSON.parse(button.getAttribute("hx-vals"));
    const isSame = place.dataset.of === asIs(now) && (place.dataset.value === String(now.value) || Number(place.dataset.value) === Number(now.value));
    if (!isSame) htmx.trigger(button, "look");
  }

  let setting = 0;
  document.addEventListener("fields:threshold", event => {
    const place = event.target.closest(".hist-at"), input = place && document.getElementById(place.id.slice(1));
    if (!input) return;
    const { value, done } = event.detail;
    input.value = place.dataset.value = value;
    clearTimeout(setting);
    // A key that is held down sets many: only where it comes to rest is a step of its own.
    if (done) setting = setTimeout(() => say(input), 200);
  });

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-pick]");
    if (button) open(button);
  });
})();
