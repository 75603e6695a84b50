// Small comforts of the console: "/" finds, a button copies or ticks all, an error jumps to its line. Pages work without it but for these.
(() => {
  document.addEventListener("keydown", event => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const find = document.querySelector("[data-find]");
    if (!find) return;
    const nav = find.closest("[popover]");
    if (nav && getComputedStyle(nav).display === "none") nav.showPopover();
    event.preventDefault();
    find.focus();
    find.select();
  });

  // A letter presses what bears it: "j" and "k" go from one to the next.
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !/^[a-z]$/.test(event.key)) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    document.querySelector(`[data-press="${event.key}"]`)?.click();
  });

  document.addEventListener("click", async event => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      try { await navigator.clipboard.writeText(copy.dataset.copy); } catch { return copyByHand(copy); }
      const said = copy.querySelector("[data-copy-said]") || copy;
      const before = said.textContent;
      said.textContent = "Copied";
      setTimeout(() => { said.textContent = before; }, 1500);
      return;
    }
    const tick = event.target.closest("[data-tick]");
    if (tick) {
      const boxes = [...tick.form.elements].filter(box => box.type === "checkbox" && box.name === tick.dataset.tick);
      const all = !boxes.every(box => box.checked);
      boxes.forEach(box => { box.checked = all; });
      tick.setAttribute("aria-pressed", all);
      return;
    }
    const tidy = event.target.closest("[data-tidy]");
    if (tidy) {
      const area = document.getElementById(tidy.dataset.tidy);
      try { area.value = layOut(JSON.parse(area.value), ""); } catch { return; /* the check says what is wrong */ }
      area.dispatchEvent(new Event("input", { bubbles: true }));
      return;
    }
    if (event.target.closest("[data-print]")) return window.print();
    const jump = event.target.closest("[data-line]");
    if (jump) goToLine(document.getElementById(jump.dataset.for), Number(jump.dataset.line));
  });

  // The clipboard is closed to us: the text, selected, to be copied by hand. It goes when it is left.
  function copyByHand(copy) {
    const area = document.createElement("textarea");
    area.className = "in clip"; area.rows = 3; area.readOnly = true; area.value = copy.dataset.copy;
    area.setAttribute("aria-label", "Copy this with Ctrl+C");
    const leave = () => area.remove();
    area.addEventListener("keydown", event => { if (event.key === "Escape") leave(); });
    area.addEventListener("blur", () => setTimeout(leave), { once: true }); // it may be left because it is being taken away
    (copy.closest("[data-menu]") || copy).after(area);
    area.focus();
    area.select();
  }

  document.addEventListener("submit", event => {
    if (event.target.dataset.sent) return event.preventDefault();
    const question = event.submitter?.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  // What is sent is sent once: a second press while the answer is on its way does nothing.
  const PATIENCE_MS = 5000; // a download answers without a new page, and may be asked for again
  document.addEventListener("submit", event => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || event.submitter?.hasAttribute("data-download")) return;
    const again = () => { delete form.dataset.sent; form.removeAttribute("aria-busy"); };
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
    setTimeout(again, PATIENCE_MS);
    window.addEventListener("pageshow", again, { once: true }); // back from where it led
  });

  // JSON as people write it: what fits into a line stands in one. Members keep the order they were written in.
  function layOut(value, indent) {
    const flat = oneLine(value);
    if (value === null || typeof value !== "object" || flat.length < 3 || (indent && indent.length + flat.length <= 88)) return flat;
    const inner = `${indent}  `;
    const parts = Array.isArray(value)
      ? value.map(item => layOut(item, inner))
      : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${layOut(item, inner)}`);
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`;
  }
  function oneLine(value) {
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
    return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${oneLine(item)}`).join(", ")}}`;
  }

  // Selects the line in a text area and scrolls to it, so that the writer stands at the error.
  function goToLine(area, line) {
    if (!area) return;
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] || "").length);
    area.scrollTop = (line - 3) * parseFloat(getComputedStyle(area).lineHeight);
  }

  // Line numbers beside a text area: one element per line, marked where an error stands.
  function number(area) {
    const gutter = document.getElementById(area.dataset.gutter);
    if (!gutter) return;
    const bad = new Set([...document.querySelectorAll(`[data-line][data-for="${area.id}"]`)].map(error => error.dataset.line));
    const count = area.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
      const line = document.createElement("span");
      line.textContent = index + 1;
      line.className = bad.has(String(index + 1)) ? "ed-n ed-n--no" : "ed-n";
      return line;
    }));
    gutter.scrollTop = area.scrollTop;
  }
  const numberAll = () => document.querySelectorAll("[data-gutter]").forEach(number);
  document.addEventListener("input", event => { if (event.target.dataset?.gutter) number(event.target); });
  document.addEventListener("scroll", event => {
    const area = event.target;
    if (area.dataset?.gutter) document.getElementById(area.dataset.gutter).scrollTop = area.scrollTop;
  }, true);
  // Logged out meanwhile: the answer is the log-in page, which belongs in the window and not in a panel.
  document.addEventListener("htmx:beforeSwap", event => {
    if (!new URL(event.detail.xhr.responseURL, location.href).pathname.endsWith("/login/")) return;
    event.detail.shouldSwap = false;
    location.reload();
  });
  // Where tabs don't fit the window, the one of this page may be beyond its edge.
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("htmx:afterSettle", numberAll);
  document.addEventListener("DOMContentLoaded", numberAll);
  if (document.readyState !== "loading") numberAll();
})();
