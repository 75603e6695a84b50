/* What slots say to this visitor. On a page:
   <script src="https://HOST/slots.js" data-write-key="wk_…" async></script>
   <section data-cdp-slot="hero"><h2 data-cdp-field="title">Hello</h2><a data-cdp-field="link">More</a></section>
   Content is written as text, addresses only if they are http(s). All else a page does on the event "cdp:slot". */
(function (w, d) {
  "use strict";
  var tag = d.currentScript;
  if (!tag) return;
  var key = tag.getAttribute("data-write-key"), host = new URL(tag.src).origin, last = {};

  function anonymous() {
    var user = w.analytics && w.analytics.user;
    try {
      return typeof user === "function" ? w.analytics.user().anonymousId() : JSON.parse(w.localStorage.getItem("ajs_anonymous_id"));
    } catch (e) {
      return null;
    }
  }

  function put(el, value) {
    if (value === null || value === undefined || typeof value === "object") return;
    var name = el.tagName, text = String(value);
    if (name === "A" || name === "IMG") {
      var url;
      try { url = new URL(text, d.baseURI); } catch (e) { return; }
      if (url.protocol !== "http:" && url.protocol !== "https:") return;
      el[name === "A" ? "href" : "src"] = url.href;
    } else el.textContent = text;
  }

  function fill(el, said) {
    var go = new CustomEvent("cdp:slot", { bubbles: true, cancelable: true, detail: said });
    if (!el.dispatchEvent(go) || said.content === null) return;
    if (typeof said.content !== "object") return put(el, said.content);
    el.querySelectorAll("[data-cdp-field]").forEach(function (one) {
      var field = one.getAttribute("data-cdp-field");
      if (Object.prototype.hasOwnProperty.call(said.content, field)) put(one, said.content[field]);
    });
  }

  function load(device) {
    var places = d.querySelectorAll("[data-cdp-slot]"), id = typeof device === "string" ? device : anonymous();
    var keys = Array.from(new Set(Array.from(places, function (el) { return el.getAttribute("data-cdp-slot"); })));
    if (!id) return Promise.resolve(null);
    return fetch(host + "/v1/personalize/" + encodeURIComponent(key), {
      method: "POST",
      headers: { "Content-Type": "text/plain" },
      credentials: "omit",
      body: JSON.stringify({ anonymousId: id, slots: keys })
    }).then(function (r) { return r.ok ? r.json() : null; }).then(function (answer) {
      last = answer || {};
      if (answer) places.forEach(function (el) {
        var said = answer.slots[el.getAttribute("data-cdp-slot")];
        if (said) fill(el, said);
      });
      return answer;
    }, function () { return null; });
  }

  w.cdpSlots = { load: load, last: function () { return last; } };
  function start() {
    if (w.analytics && typeof w.analytics.ready === "function") w.analytics.ready(function () { load(); });
    else load();
  }
  if (d.readyState === "loading") d.addEventListener("DOMContentLoaded", start); else start();
})(window, document);
