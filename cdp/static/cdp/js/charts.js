// Draws each figure[data-chart] from the options beside it (cdp/charts.py): colours of the theme, formats by name, tooltips by keyboard.
(() => {
  const COLOURS = new Set(["color", "borderColor", "backgroundColor", "fontFamily"]);
  const FORMATTERS = new Set(["formatter", "valueFormatter"]);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // figure -> { chart, options, at }
  const heard = new WeakSet(); // places whose keys are heard

  // ---- Values as they are read -------------------------------------------------------------------------------
  const numbers = digits => new Intl.NumberFormat("en-US", { maximumFractionDigits: digits });
  const [whole, fine] = [numbers(0), numbers(2)];
  const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  // The server has put moments into the reader's calendar already: they are written as they stand.
  const dates = options => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  const shortDay = dates({ day: "numeric", month: "short" });
  const longDay = dates({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const moment = text => new Date(`${text.length > 10 ? text.slice(0, 16) : `${text}T00:00`}Z`);
  const axisMoment = { day: text => shortDay.format(moment(text)), hour: text => text.slice(11, 13) === "00" ? shortDay.format(moment(text)) : text.slice(11, 16) };
  const fullMoment = { day: text => longDay.format(moment(text)), hour: text => `${longDay.format(moment(text))}, ${text.slice(11, 16)}` };
  function value(number, { unit, currency = "", absolute }, onAxis) {
    const it = absolute ? Math.abs(number) : number;
    if (unit === "count") return whole.format(it);
    if (unit === "share") return `${numbers(onAxis ? 0 : 1).format(it * 100)}%`;
    if (unit === "money") return onAxis ? fine.format(it) : `${cents.format(it)} ${currency}`.trim();
    return fine.format(it);
  }
  function formatter(wanted) {
    const name = wanted.$format;
    if (name === "said" || name === "text") return given => given.data?.[name] ?? "";
    if (name === "axis") return given => {
      const shown = given.filter(one => !/^(low|high)-\d/.test(one.seriesId) && one.value != null && one.value !== "-");
      const at = given[0].name;
      return [fullMoment[wanted.moments]?.(at) ?? at, ...shown.map(one => `${one.marker}${one.seriesName}  ${value(one.value, wanted)}`)].join("\n");
    };
    if (axisMoment[name]) return axisMoment[name];
    return given => value(typeof given === "object" ? given.value : given, { ...wanted, unit: name }, true);
  }

  // ---- Options as ECharts takes them -------------------------------------------------------------------------
  const probe = document.createElement("span");
  probe.hidden = true;
  function token(text) {
    if (text === "@font") return getComputedStyle(document.body).fontFamily;
    probe.style.color = "";
    probe.style.color = `var(--${text.slice(1)})`;
    return getComputedStyle(probe).color;
  }
  function resolved(given, key) {
    if (Array.isArray(given)) return given.map(one => resolved(one, key));
    if (given && typeof given === "object") {
      if (FORMATTERS.has(key) && given.$format) return formatter(given);
      return Object.fromEntries(Object.entries(given).map(([name, one]) => [name, resolved(one, name)]));
    }
    return typeof given === "string" && given[0] === "@" && COLOURS.has(key) ? token(given) : given;
  }

  // ---- Drawing -----------------------------------------------------------------------------------------------
  function paint(figure) {
    const { chart, options } = drawn.get(figure);
    document.body.append(probe);
    const ready = resolved(options);
    probe.remove();
    if (still.matches) ready.animation = false;
    chart.setOption(ready, { notMerge: true });
  }
  const sizes = new ResizeObserver(entries => {
    for (const { target } of entries) drawn.get(target.closest("figure"))?.chart.resize();
  });
  function draw(figure) {
    if (drawn.has(figure)) return;
    const place = figure.querySelector("[data-chart-place]");
    const options = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
    drawn.set(figure, { chart: echarts.init(place, null, { renderer: "canvas" }), options, at: -1 });
    paint(figure);
    if (heard.has(place)) return;
    heard.add(place);
    sizes.observe(place);
    place.addEventListener("keydown", event => step(figure, event));
    place.addEventListener("blur", () => hide(figure));
  }
  function drawAll() {
    for (const [figure, { chart }] of drawn) {
      // Morphing a page takes what is painted out of its place again, and may bring other options.
      if (figure.isConnected && chart.getDom().firstChild) continue;
      chart.dispose();
      drawn.delete(figure);
    }
    document.querySelectorAll("figure[data-chart]").forEach(draw);
  }
  const repaint = () => drawn.forEach((_, figure) => paint(figure));
  dark.addEventListener("change", repaint);
  still.addEventListener("change", repaint);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  // ---- By keyboard: arrows go from value to value, and what the tooltip shows is said ---------------------------
  function main(chart) {
    const series = chart.getOption().series;
    const index = series.findIndex(one => one.name || one.type === "heatmap");
    return { index, data: series[index].data };
  }
  function step(figure, event) {
    const state = drawn.get(figure);
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const { index, data } = main(state.chart);
    if (event.key === "Escape") return hide(figure);
    if (by) state.at = Math.min(data.length - 1, Math.max(0, state.at + by));
    else if (event.key === "Home") state.at = 0;
    else if (event.key === "End") state.at = data.length - 1;
    else return;
    event.preventDefault();
    state.chart.dispatchAction({ type: "showTip", seriesIndex: index, dataIndex: state.at });
    figure.querySelector("[data-chart-said]").textContent = said(state.chart, index, state.at);
  }
  function said(chart, index, at) {
    const { series, xAxis, yAxis, tooltip } = chart.getOption();
    const item = series[index].data[at];
    if (item?.said) return item.said;
    const names = [...xAxis, ...yAxis].find(one => one.type === "category").data;
    const given = series.map(one => ({ seriesId: one.id ?? "", seriesName: one.name, name: names[at], marker: "", value: one.data[at] }));
    return tooltip[0].formatter(given);
  }
  function hide(figure) {
    drawn.get(figure)?.chart.dispatchAction({ type: "hideTip" });
  }

  document.addEventListener("htmx:afterSettle", drawAll);
  drawAll(); // this file is deferred: the page is read
})();
