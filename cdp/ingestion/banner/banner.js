// Asks people on a page what they permit, keeps what the page tells of them until they have said so, and remembers it.
//
//   <script>window.cdp = window.cdp || function () { (cdp.q = cdp.q || []).push(arguments); };</script>
//   <script src="https://cdp.example/banner.js" data-write-key="wk_…" data-notice="banner" async></script>
//
// Nothing that somebody does is sent, and nothing but the choice itself is kept on the device, before a yes. What isn't known is
// no. The server is asked for the words and told that they were shown, without an id of anybody.
// What the words are comes from the server (`/v1/banner/<write key>`); what a choice means is decided there, too.
(() => {
  "use strict";
  const tag = document.currentScript;
  const early = (window.cdp && window.cdp.q) || [];
  if (!tag || (window.cdp && window.cdp.isLoaded)) return;
  const host = new URL(tag.src).origin;
  const writeKey = tag.dataset.writeKey || "";
  const notice = tag.dataset.notice || "banner";
  const usualPurpose = tag.dataset.purpose || "analytics";
  const place = "cdp.consent." + notice;
  const asksGoogle = tag.dataset.consentMode === "google";
  const optsOut = navigator.globalPrivacyControl === true;
  const MOST_HELD = 200, MOST_TRIES = 5, PATIENCE_MS = 1000, DAY_MS = 864e5;
  const CONSENT_EVENT = "Segment Consent Preference Updated";

  let wording = null;      // what the server says there is to decide
  let choice = remembered();
  let served = null;       // promises the id under which the banner was shown
  let held = [];
  const listeners = [];

  // ---- What is permitted ---------------------------------------------------------------------------------------

  const purposeOf = key => wording.purposes.find(one => one.key === key);
  const now = () => new Date().toISOString();

  // Whether the choice was made on the text that is shown now, in the language in which it was made.
  const isCurrent = () => Boolean(choice && wording && wording.versions[choice.locale] === choice.sha256);

  // By the device's own clock. A yes that it dates ahead was said while it was wrong, and would hold for as long as it was.
  function hasEnded(purpose, at) {
    const age = Date.now() - Date.parse(at);
    return !(age > -DAY_MS && (!purpose.days || age < purpose.days * DAY_MS));
  }

  // true, false, or undefined while nobody has said.
  function permits(key) {
    if (!wording) return undefined;
    const purpose = purposeOf(key);
    if (!purpose) return false; // nobody is asked for it here, so nobody can have said yes
    if (purpose.always) return true;
    if (optsOut && purpose.ended_by_gpc) return false;
    if (!isCurrent() || typeof choice.said[key] !== "boolean") return undefined;
    if (!choice.said[key]) return false;
    if (purpose.parent && purposeOf(purpose.parent) && permits(purpose.parent) !== true) return permits(purpose.parent);
    return hasEnded(purpose, choice.at) ? undefined : true;
  }

  const open = () => wording.purposes.filter(one => !one.always);
  const mustAsk = () => !isCurrent() || open().some(one => permits(one.key) === undefined);
  const effective = () => Object.fromEntries(open().map(one => [one.key, permits(one.key) === true]));
  const anyYes = () => Object.values(effective()).some(Boolean);

  // ---- What is remembered --------------------------------------------------------------------------------------

  function remembered() {
    try {
      const kept = JSON.parse(localStorage.getItem(place));
      return kept && typeof kept.said === "object" && kept.said && typeof kept.sha256 === "string" ? kept : null;
    } catch { return null; } // no storage, or not ours: ask again
  }

  function remember() {
    try { localStorage.setItem(place, JSON.stringify(choice)); } catch { /* the choice holds for this page */ }
  }

  // An id of the device is kept once something was permitted, and no longer than that.
  function settleId() {
    if (wording && anyYes()) choice.id = choice.id || uuid();
    else { delete choice.id; delete choice.user; }
  }

  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16)); // an insecure page has no randomUUID
    bytes[6] = bytes[6] & 15 | 64; bytes[8] = bytes[8] & 63 | 128;
    return [...bytes].map((byte, n) => ([4, 6, 8, 10].includes(n) ? "-" : "") + byte.toString(16).padStart(2, "0")).join("");
  }

  // ---- Sending -------------------------------------------------------------------------------------------------

  function tell(state, call) {
    document.dispatchEvent(new CustomEvent("cdp", { detail: { state, type: call.type, name: call.event || call.name || "", purpose: call.purpose || "" } }));
  }

  // What a page gives us to run must not keep us from going on; its error is the page's to see.
  function guarded(work) {
    try { return work(); } catch (error) { setTimeout(() => { throw error; }); }
  }

  function post(call, arrived = () => {}, tries = 0) {
    const { purpose, ...message } = call;
    fetch(`${host}/v1/${call.type}`, {
      method: "POST", keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" },
      body: JSON.stringify({ ...message, writeKey, sentAt: now() }),
    }).then(
      answer => {
        if (answer.status === 429 || answer.status >= 500) return again(call, arrived, tries);
        if (answer.ok) arrived();
        tell(answer.ok ? "sent" : "refused", call);
      },
      () => again(call, arrived, tries),
    );
  }

  function again(call, arrived, tries) {
    if (tries < MOST_TRIES) setTimeout(() => post(call, arrived, tries + 1), 2000 * 2 ** tries);
    else tell("lost", call);
  }

  function context() {
    return {
      library: { name: "cdp-banner", version: "1" }, locale: navigator.language, userAgent: navigator.userAgent,
      page: { url: location.href.split("#")[0], path: location.pathname, search: location.search, referrer: document.referrer, title: document.title },
    };
  }

  function say(type, more, purpose = usualPurpose) {
    // As it is now: what the page makes of its objects later wasn't said. What can't be written down ends here, by itself.
    const call = guarded(() => JSON.parse(JSON.stringify({ type, messageId: uuid(), timestamp: now(), context: context(), ...more })));
    if (!call) return;
    call.purpose = purpose;
    held.push(call);
    if (permits(purpose) === undefined) {
      if (held.length > MOST_HELD) tell("dropped", held.shift()); // the memory of a page is no store
      tell("held", call);
    }
    release();
  }

  // Sends what is permitted by now and drops what was refused; the rest goes on waiting.
  function release() {
    const waiting = held;
    held = [];
    for (const call of waiting) {
      const verdict = permits(call.purpose);
      if (verdict === undefined) held.push(call);
      else if (!verdict) tell("dropped", call);
      else {
        if (call.type === "identify" && choice && choice.id) { choice.user = call.userId; remember(); }
        post({ ...(choice && choice.user ? { userId: choice.user } : {}), ...call, anonymousId: idForEvents() });
      }
    }
  }

  let pageId = null;
  const idForEvents = () => (choice && choice.id) || (pageId = pageId || uuid());

  // The choice goes on record whatever it is; a device that permits nothing is given no lasting id for it.
  // Until the server has answered it is told again by each page that is opened, under one id, and so counts once.
  async function report(id) {
    const said = effective(), of = choice;
    const telling = of.telling && same(of.telling.said, said) ? of.telling : { id: uuid(), said };
    of.telling = telling;
    remember();
    const at = Math.abs(Date.now() - Date.parse(of.at)) < 30 * DAY_MS ? of.at : now(); // else the clock was put right since
    const shown = served ? await Promise.race([served, new Promise(done => setTimeout(done, PATIENCE_MS, null))]) : null;
    const consent = { categoryPreferences: said, ...(shown ? { served: shown } : {}) };
    const call = { type: "track", event: CONSENT_EVENT, messageId: telling.id, timestamp: at, anonymousId: id, properties: {}, context: { ...context(), consent } };
    post(call, () => {
      if (choice !== of || of.telling !== telling) return; // they chose anew meanwhile
      of.told = said;
      delete of.telling;
      remember();
    });
  }

  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  function decide(said) {
    const before = choice && choice.id;
    choice = { said, at: now(), notice, locale: wording.locale, sha256: wording.sha256, id: before, user: choice && choice.user };
    settleId();
    report(choice.id || before || uuid());
    hide();
    follow();
  }

  // What holds now, to all who depend on it.
  function follow() {
    askGoogle("update");
    release();
    for (const [key, callback] of listeners) notify(key, callback);
  }

  function notify(key, callback) {
    const verdict = permits(key);
    if (verdict !== undefined && callback.last !== verdict) {
      callback.last = verdict;
      guarded(() => callback(verdict, verdict ? idForEvents() : null));
    }
  }

  // ---- Google's consent mode: an export, by the server's table -------------------------------------------------

  function consentMode() {
    const granted = new Set(), denied = new Set();
    for (const one of open()) {
      if (permits(one.key) === true) [...one.grants, ...one.brings].forEach(capability => granted.add(capability));
      else one.denies.forEach(capability => denied.add(capability));
    }
    if (optsOut) ["sale", "sharing", "targeted_ads"].forEach(capability => denied.add(capability));
    const fulfils = needs => needs === null || ([...needs.granted, ...needs.not_denied].every(one => !denied.has(one)) && needs.granted.every(one => granted.has(one)));
    return Object.fromEntries(Object.entries(wording.consent_mode).map(([kind, needs]) => [kind, fulfils(needs) ? "granted" : "denied"]));
  }

  function askGoogle(command) {
    if (!asksGoogle) return;
    const layer = window.dataLayer = window.dataLayer || [];
    const gtag = function () { layer.push(arguments); }; // Google's tags look for the arguments object itself
    if (command === "update") return gtag("consent", "update", consentMode());
    const types = ["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage", "functionality_storage", "personalization_storage"];
    return gtag("consent", "default", { ...Object.fromEntries(types.map(type => [type, "denied"])), security_storage: "granted", wait_for_update: 500 });
  }

  // ---- The banner ----------------------------------------------------------------------------------------------

  const CSS = `
    :host { all: initial; color-scheme: light dark; }
    * { box-sizing: border-box; margin: 0; padding: 0; }
    section { position: fixed; inset: auto 0 0 0; z-index: 2147483647; max-height: 85vh; overflow: auto; padding: 20px;
      background: light-dark(#fff, #1a1a18); color: light-dark(#1b1b19, #ecece8); border-top: 1px solid light-dark(#8b8b83, #77776f);
      box-shadow: 0 -8px 32px rgb(0 0 0 / .18); font: 16px/24px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; text-align: start; }
    .in { display: grid; gap: 14px; max-width: 920px; margin-inline: auto; overflow-wrap: anywhere; }
    h2 { font-size: 18px; line-height: 26px; } h2:focus { outline: none; }
    a { color: light-dark(#2a52c4, #9fb3ff); text-underline-offset: 3px; }
    .note { padding: 10px 12px; border: 1px solid light-dark(#8b8b83, #77776f); border-radius: 6px; font-size: 14px; line-height: 20px; }
    ul { display: grid; gap: 12px; list-style: none; }
    ul ul { margin-block-start: 12px; padding-inline-start: 30px; }
    label { display: grid; grid-template-columns: 20px 1fr; gap: 2px 10px; align-items: start; min-height: 24px; }
    input { width: 20px; height: 20px; margin-block-start: 2px; accent-color: light-dark(#1b1b19, #ecece8); }
    b { font-weight: 600; } small { grid-column: 2; font-size: 14px; line-height: 20px; color: light-dark(#53534d, #b7b7af); }
    .acts { display: flex; flex-wrap: wrap; gap: 10px; }
    button { flex: 1 1 200px; min-height: 48px; padding: 8px 20px; border: 1px solid light-dark(#1b1b19, #ecece8); border-radius: 6px;
      background: light-dark(#fff, #1a1a18); color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
    button:hover { background: light-dark(#f1f1ed, #272724); }
    .close { flex: none; justify-self: end; min-height: 44px; border-color: transparent; text-decoration: underline; font-weight: 400; }
    .told { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
    :focus-visible { outline: 3px solid light-dark(#2a52c4, #9fb3ff); outline-offset: 2px; }
    [hidden] { display: none; }
    @media (max-width: 480px) { section { padding: 16px; } }`;

  let box = null, cameFrom = null, theirPadding = null;

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made && key !== "list") made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children.filter(Boolean));
    return made;
  }

  function dress(root) {
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(CSS);
      root.adoptedStyleSheets = [sheet];
    } catch { // an older browser; a strict policy lets this by with the nonce of our own tag
      root.append(element("style", { nonce: tag.nonce || "", textContent: CSS }));
    }
  }

  function choices(parent = null) {
    const keys = new Set(wording.purposes.map(one => one.key));
    const here = wording.purposes.filter(one => (keys.has(one.parent) ? one.parent : null) === parent);
    return here.length ? element("ul", {}, ...here.map(one => element("li", {}, row(one), choices(one.key)))) : null;
  }

  function row(one) {
    const isOff = optsOut && one.ended_by_gpc && !one.always;
    // Ticked is what they chose themselves, and nothing else.
    const isTicked = Boolean(isCurrent() && choice.said[one.key]) && !isOff;
    const input = one.always ? element("span", { textContent: "✓", "aria-hidden": "true" })
      : element("input", { type: "checkbox", name: one.key, checked: isTicked, disabled: isOff });
    return element(one.always ? "div" : "label", {}, input, element("b", { textContent: one.label }), element("small", { textContent: one.text }),
      (one.always || isOff) && element("small", { textContent: one.always ? wording.words.always : wording.words.honoured }));
  }

  function show(isAskedFor) {
    if (box) return isAskedFor && box.shadowRoot.querySelector("h2").focus();
    const words = wording.words, content = wording.content;
    const list = element("div", { id: "choices", hidden: !isAskedFor }, choices());
    const save = element("button", { type: "button", textContent: content.save, hidden: !isAskedFor, onclick: () => decide(ticked()) });
    const choose = element("button", { type: "button", textContent: content.choose || content.save, hidden: isAskedFor, "aria-expanded": "false", "aria-controls": "choices",
      onclick: () => { list.hidden = save.hidden = false; choose.hidden = true; (list.querySelector("input:not([disabled])") || save).focus(); reserve(); } });
    const all = yes => Object.fromEntries(open().map(one => [one.key, yes && !(optsOut && one.ended_by_gpc)]));
    const ticked = () => Object.fromEntries([...list.querySelectorAll("input")].map(one => [one.name, one.checked && !one.disabled]));
    const canClose = isAskedFor && isCurrent();
    const region = element("section", { role: "region", "aria-labelledby": "title", lang: wording.locale, dir: words.bidi ? "rtl" : "ltr" },
      element("div", { className: "in" },
        canClose && element("button", { type: "button", className: "close", lang: words.locale, textContent: words.close, onclick: hide }),
        element("h2", { id: "title", tabIndex: -1, textContent: content.title }),
        ...content.text.split(/\n+/).filter(Boolean).map(text => element("p", { textContent: text })),
        optsOut && element("p", { className: "note", lang: words.locale, textContent: words.gpc }),
        list,
        element("div", { className: "acts" },
          element("button", { type: "button", textContent: content.reject, onclick: () => decide(all(false)) }),
          element("button", { type: "button", textContent: content.accept, onclick: () => decide(all(true)) }),
          choose, save),
        content.link && element("p", {}, element("a", { href: content.link, textContent: content.link_text || content.link }))));
    region.addEventListener("keydown", event => { if (event.key === "Escape" && canClose) hide(); });
    box = element("div", { id: "cdp-consent" });
    const told = element("p", { role: "status", className: "told", lang: wording.locale });
    box.attachShadow({ mode: "open" }).append(region, told);
    dress(box.shadowRoot);
    document.body.prepend(box); // first for the keyboard and for screen readers, and nothing is kept from anybody
    served = shown();
    reserve();
    if (isAskedFor) { cameFrom = document.activeElement; region.querySelector("h2").focus(); return; }
    // Whoever doesn't see it come is told once that it did; what is there from the beginning isn't read out.
    setTimeout(() => { told.textContent = content.title; }, 100);
    setTimeout(() => { told.textContent = ""; }, 10000);
  }

  function hide() {
    if (!box) return;
    box.remove();
    box = null;
    reserve();
    if (cameFrom && cameFrom.isConnected) cameFrom.focus();
    cameFrom = null;
  }

  // What is moved to by keyboard must not end up behind the banner.
  function reserve() {
    const style = document.documentElement.style;
    if (theirPadding === null) theirPadding = style.scrollPaddingBottom;
    style.scrollPaddingBottom = box ? `${box.shadowRoot.firstChild.offsetHeight + 8}px` : theirPadding;
  }

  function shown() {
    const body = JSON.stringify({ notice, sha256: wording.sha256, place: location.origin + location.pathname });
    return fetch(`${host}/v1/banner/${encodeURIComponent(writeKey)}`, { method: "POST", credentials: "omit", headers: { "Content-Type": "text/plain" }, body })
      .then(answer => (answer.ok ? answer.json() : {})).then(said => said.served || null, () => null);
  }

  // ---- What a page may ask -------------------------------------------------------------------------------------

  const commands = {
    track: (event, properties = {}, options = {}) => say("track", { event, properties }, options.purpose),
    page: (name, properties = {}, options = {}) => say("page", { name, properties }, options.purpose),
    identify: (userId, traits = {}, options = {}) => say("identify", { userId, traits }, options.purpose),
    // Calls back with true or false as soon as it is known, and whenever it changes.
    on(purpose, callback) {
      const own = (...said) => callback(...said);
      listeners.push([purpose, own]);
      notify(purpose, own);
    },
    consent() {
      if (wording) return show(true);
      later.push(["consent"]);
      if (hasFailed) load(); // somebody wants to see it: the server may be there by now
    },
    // Somebody else sits down at the device: they are given an id of their own.
    reset() { pageId = null; if (choice) { delete choice.user; delete choice.id; settleId(); remember(); } },
  };
  const later = [];
  let hasFailed = false;

  function run(given) {
    const [name, ...rest] = given;
    if (Object.hasOwn(commands, name)) commands[name](...rest);
    else console.warn(`cdp: there is no command ${name}`);
  }

  function begin(given) {
    wording = given;
    const wasTold = choice && isCurrent() && same(choice.told, effective());
    // It didn't arrive, or the browser asks for less than was chosen.
    if (choice && isCurrent() && !wasTold && !mustAsk()) report(choice.id || uuid());
    if (choice && isCurrent()) { settleId(); remember(); }
    follow();
    if (mustAsk()) show(false);
    later.splice(0).forEach(run);
  }

  function nothing(error) {
    hasFailed = true;
    later.length = 0;
    console.warn(`cdp: there is nothing to ask, so nothing is sent (${error.message})`);
  }

  window.cdp = function () { guarded(() => run(arguments)); };
  window.cdp.isLoaded = true;
  askGoogle("default");
  for (const given of early) guarded(() => run(given));
  const locales = [tag.dataset.locale, document.documentElement.lang, ...(navigator.languages || [])].filter(Boolean);
  const address = `${host}/v1/banner/${encodeURIComponent(writeKey)}?notice=${encodeURIComponent(notice)}&locales=${encodeURIComponent([...new Set(locales)].join(","))}`;
  const load = () => {
    hasFailed = false;
    fetch(address, { credentials: "omit" }).then(answer => {
      if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
      return answer.json();
    }).then(begin, nothing);
  };
  if (document.body) load(); else document.addEventListener("DOMContentLoaded", load, { once: true });
})();
