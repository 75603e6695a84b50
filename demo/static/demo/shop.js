// The demo shop as any site would use the banner: it says what people do, and leaves to the banner what becomes of it.
window.cdp = window.cdp || function () { (window.cdp.q = window.cdp.q || []).push(arguments); };

const MOST_LINES = 6;
const counts = { held: 0, sent: 0, dropped: 0, refused: 0, lost: 0 };
document.addEventListener("cdp", event => {
  const { state, type, name, purpose } = event.detail;
  counts[state] += 1;
  if (state !== "held" && counts.held && purpose) counts.held -= 1;
  const line = document.createElement("li");
  const word = document.createElement("b");
  word.dataset.state = state;
  word.textContent = state;
  line.append(word, `${type}${name ? ` “${name}”` : ""}${purpose ? ` for ${purpose}` : ", the choice itself"}`);
  const log = document.getElementById("log");
  log.prepend(line);
  while (log.children.length > MOST_LINES) log.lastElementChild.remove();
  document.getElementById("sum").textContent = Object.entries(counts).filter(([, n]) => n).map(([word, n]) => `${n} ${word}`).join(", ");
});

window.cdp("page", "Demo shop");
document.addEventListener("click", event => {
  const button = event.target.closest("[data-event]");
  if (button) {
    const { event: name, id, category, price } = button.dataset;
    window.cdp("track", name, { product_id: id, name: button.dataset.name, category, price: Number(price), currency: "USD" });
  }
  if (event.target.id === "again") window.cdp("consent");
});

// What slots say, once it is permitted; the banner tells by which id the device is known then.
window.cdp("on", "personalisation", (may, device) => {
  if (may && device && window.cdpSlots) window.cdpSlots.load(device);
});
