"use strict";
// Everything that comes from runs is put into the page as text or numbers, never as HTML.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const numbers = read("numbers");
  const pictures = read("pictures");
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const said = document.querySelector(".said");
  const charts = [];
  let printing = false;

  const element = (name, options = {}, ...children) => {
    const made = Object.assign(document.createElement(name), options);
    made.append(...children);
    return made;
  };
  const tell = (text) => {
    said.textContent = text;
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => { said.textContent = ""; }, 2500);
  };

  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  // Colours are made for white paper.
  const shown = (color) => {
    if (!isDark()) return color;
    const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    return `rgb(${parts.map((part) => Math.round(part + 0.35 * (255 - part))).join(",")})`;
  };
  const brief = (value) => {
    if (value === null || value === undefined) return "-";
    const size = Math.abs(value);
    for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= 1e4 && size >= unit) return `${+(value / unit).toPrecision(4)}${letter}`;
    }
    return size && size < 1e-3 ? value.toExponential(2) : `${+value.toPrecision(4)}`;
  };

  const swatch = (color, dashed) => {
    const made = element("span", { className: dashed ? "swatch dashed" : "swatch" });
    made.style.setProperty("--color", shown(color));
    return made;
  };

  class Curves {
    constructor(box, section) {
      this.section = section;
      this.scoreIs = (metric) => metric === section.score.metric;
      const find = (name) => box.querySelector(`.${name}`);
      this.parts = {
        metric: find("metric"), logY: find("log-y"), logX: find("log-x"), eachSeed: find("each-seed"),
        chart: find("chart"), empty: find("empty"), legend: find("legend"), table: find("as-table").querySelector(".scroll"),
      };
      const { metric, logY, logX, eachSeed } = this.parts;
      this.hidden = new Set();
      eachSeed.closest("label").hidden = !section.groups.some((group) => group.seeds.length > 1);
      for (const control of [metric, logY, logX, eachSeed]) control.addEventListener("change", () => this.draw());
      this.chart = echarts.init(this.parts.chart, null, { renderer: "svg" });
      new ResizeObserver(() => { if (!printing) this.chart.resize(); }).observe(this.parts.chart);
    }

    // What can be shown of the metric chosen: groups, and behind them what was published of the score.
    lines() {
      const metric = this.parts.metric.value;
      const scale = this.scoreIs(metric) ? this.section.score.scale : 1;
      const times = (values) => values.map((value) => value * scale);
      const groups = this.section.groups.filter((group) => group.curves[metric]).map((group) => {
        const curve = group.curves[metric];
        return {
          key: `group ${group.name}`, name: group.name, color: group.color, line: group.line,
          at: curve.at, mean: times(curve.mean),
          low: curve.low && times(curve.low), high: curve.high && times(curve.high),
          seeds: Object.values(curve.seeds || {}).map((seed) => ({ at: seed.at, mean: times(seed.value) })),
        };
      });
      const published = this.scoreIs(metric) ? this.section.published.map((curve) => ({
        key: `published ${curve.name}`, name: `${curve.name}, published`, color: curve.color, line: "dashed",
        at: curve.at, mean: times(curve.mean), seeds: [], published: true,
      })) : [];
      return [...groups, ...published];
    }

    draw() {
      const { metric, logY, logX, eachSeed, chart, empty } = this.parts;
      const style = getComputedStyle(root);
      const color = (name) => (printing ? { "--text": "#000", "--quiet": "#333", "--line": "#ccc", "--ground": "#fff" }[name]
        : style.getPropertyValue(name).trim());
      const lines = this.lines();
      const visible = lines.filter((line) => !this.hidden.has(line.key));
      this.visible = visible;
      const point = (x, y) => [x, y];
      const fits = ([x, y]) => y !== null && (!logX.checked || x > 0) && (!logY.checked || y > 0);
      const points = (line, values = line.mean) => line.at.map((at, index) => point(at, values[index])).filter(fits);
      const isScore = this.scoreIs(metric.value);
      const label = isScore ? this.section.score.label : metric.value;
      // The published curves may go on for long after ours: the picture ends at their next point.
      const ends = (some) => Math.max(0, ...some.map((line) => line.at[line.at.length - 1]));
      const ours = ends(visible.filter((line) => !line.published));
      const later = visible.filter((line) => line.published).flatMap((line) => line.at).filter((at) => at >= ours);
      const end = ours && later.length ? Math.min(...later) : ours || ends(visible);
      // Points outside the picture would stretch the other axis.
      const cut = (line) => {
        const left = line.at.filter((at) => at <= end).length;
        return { ...line, at: line.at.slice(0, left), mean: line.mean.slice(0, left) };
      };
      const series = visible.map((line) => (line.published ? cut(line) : line)).flatMap((line) => this.series(line, points, eachSeed.checked, fits));
      empty.textContent = series.some((each) => each.data.length) ? "" : "Nothing to draw: nothing chosen, or nothing above 0.";
      const axis = {
        axisLine: { lineStyle: { color: color("--quiet") } },
        axisLabel: { color: color("--quiet"), formatter: brief, hideOverlap: true },
        splitLine: { lineStyle: { color: color("--line"), opacity: 0.6 } },
        nameTextStyle: { color: color("--quiet") },
      };
      const share = isScore && this.section.score.scale === 100 && !logY.checked;
      this.chart.setOption({
        animation: false,
        textStyle: { fontFamily: "inherit" },
        grid: { left: 12, right: 20, top: 34, bottom: 62, containLabel: true },
        xAxis: {
          ...axis, type: logX.checked ? "log" : "value", name: this.section.unit, nameLocation: "middle", nameGap: 28,
          ...(logX.checked ? {} : { min: 0 }), max: end || null, splitLine: { show: false },
        },
        yAxis: {
          ...axis, type: logY.checked ? "log" : "value", name: label, nameLocation: "end", scale: true,
          nameTextStyle: { color: color("--quiet"), align: "left", padding: [0, 0, 0, -30] },
          ...(share ? { min: 0 } : {}),
        },
        dataZoom: [{
          type: "slider", height: 16, bottom: 4, left: 44, right: 24, filterMode: "none", brushSelect: false, showDetail: false,
          showDataShadow: false, borderColor: color("--line"), handleStyle: { color: color("--ground"), borderColor: color("--quiet") },
          fillerColor: "rgba(128,128,128,0.18)", moveHandleSize: 0,
        }],
        tooltip: {
          trigger: "axis", confine: true, backgroundColor: color("--ground"), borderColor: color("--line"),
          textStyle: { color: color("--text") }, axisPointer: { type: "line", lineStyle: { color: color("--quiet") } },
          formatter: (hits) => this.tip(hits),
        },
        series,
      }, { notMerge: true });
      this.describe(chart, label, visible);
      this.legend(lines);
      this.table(label, visible);
    }

    series(line, points, eachSeed, fits) {
      const color = shown(line.color);
      const found = [];
      if (line.low) {
        const edge = [...line.at.map((at, index) => [at, line.low[index]]),
          ...line.at.map((at, index) => [at, line.high[index]]).reverse()].filter(fits);
        found.push({
          type: "custom", name: "", silent: true, clip: true, z: 1, tooltip: { show: false }, data: edge.length ? [edge[0]] : [],
          renderItem: (params, api) => ({
            type: "polygon", shape: { points: edge.map((each) => api.coord(each)) }, style: { fill: color, opacity: 0.16 },
          }),
        });
      }
      if (eachSeed) {
        for (const seed of line.seeds) {
          found.push({
            type: "line", name: "", silent: true, showSymbol: false, z: 2, data: points(seed), tooltip: { show: false },
            lineStyle: { color, width: 1, opacity: 0.5 },
          });
        }
      }
      const data = points(line);
      found.push({
        type: "line", name: line.name, data, z: line.published ? 2 : 3, clip: true,
        showSymbol: line.published || data.length === 1, symbol: "circle", symbolSize: 5,
        itemStyle: { color }, emphasis: { disabled: true },
        lineStyle: { color, width: line.published ? 1.2 : 2, type: line.line, opacity: line.published ? 0.8 : 1 },
      });
      return found;
    }

    // Of every curve that goes on there the point nearest to the pointer: their points may lie at different places.
    tip(hits) {
      const box = element("div", { className: "tip" });
      const x = hits.length ? hits[0].axisValue : NaN;
      const named = this.visible.filter((line) => line.at[0] <= x && x <= line.at[line.at.length - 1]).map((line) => {
        const nearest = line.at.reduce((best, at, index) => (Math.abs(at - x) < Math.abs(line.at[best] - x) ? index : best), 0);
        return { line, value: line.mean[nearest] };
      });
      named.sort((one, other) => other.value - one.value);
      if (named.length) box.append(element("strong", { textContent: `${this.section.unit} ${brief(x)}` }));
      for (const { line, value } of named.slice(0, 12)) {
        const name = element("span", {}, swatch(line.color, line.published), line.name);
        box.append(element("div", {}, name, element("b", { textContent: brief(value) })));
      }
      if (named.length > 12) box.append(element("div", { textContent: `and ${named.length - 12} more` }));
      return box;
    }

    describe(chart, label, visible) {
      const ends = visible.slice(0, 12).map((line) => `${line.name}: ${brief(line.mean[line.mean.length - 1])} at the end`);
      chart.setAttribute("aria-label", `Curves of ${label} against ${this.section.unit}. ${ends.join("; ")}. The table below has the same numbers.`);
    }

    legend(lines) {
      const focused = document.activeElement && document.activeElement.dataset.key;
      this.parts.legend.replaceChildren(...lines.map((line) => {
        const button = element("button", { type: "button" }, swatch(line.color, line.published), line.name);
        button.setAttribute("aria-pressed", String(!this.hidden.has(line.key)));
        button.dataset.key = line.key;
        button.addEventListener("click", () => {
          if (!this.hidden.delete(line.key)) this.hidden.add(line.key);
          this.draw();
        });
        return button;
      }));
      if (focused) [...this.parts.legend.children].find((each) => each.dataset.key === focused)?.focus();
    }

    table(label, visible) {
      const every = [...new Set(visible.filter((line) => !line.published).flatMap((line) => line.at))].sort((one, other) => one - other);
      const rows = Array.from({ length: Math.min(12, every.length) }, (_, index) =>
        every[Math.round((index * (every.length - 1)) / Math.max(1, Math.min(12, every.length) - 1))]);
      const cell = (name, textContent, scope) => element(name, scope ? { textContent, scope } : { textContent });
      const head = element("tr", {}, cell("th", this.section.unit, "col"), ...visible.map((line) => cell("th", line.name, "col")));
      const body = [...new Set(rows)].map((at) => element("tr", {}, cell("th", brief(at), "row"), ...visible.map((line) => {
        const index = line.at.indexOf(at);
        return cell("td", index < 0 ? "-" : brief(line.mean[index]));
      })));
      this.parts.table.replaceChildren(element("table", {},
        element("caption", { textContent: `${label}: means over seeds` }), element("thead", {}, head), element("tbody", {}, ...body)));
    }
  }

  function samples(box, sliders) {
    const [run, stop, name, play, image] = ["run", "stop", "stop-name", "play", "sample"].map((each) => box.querySelector(`.${each}`));
    let timer = null;
    const halt = () => {
      clearInterval(timer);
      timer = null;
      play.setAttribute("aria-pressed", "false");
    };
    const show = () => {
      const found = sliders[run.value].stops[stop.value];
      image.src = found.source;
      image.alt = found.text;
      image.width = found.width;
      image.height = found.height;
      name.textContent = found.at;
      stop.setAttribute("aria-valuetext", found.at);
    };
    const choose = () => {
      halt();
      const last = sliders[run.value].stops.length - 1;
      stop.max = String(last);
      stop.value = String(last);
      play.hidden = last < 1;
      box.querySelector(".stop-label").hidden = last < 1;
      show();
    };
    run.addEventListener("change", choose);
    stop.addEventListener("input", () => { halt(); show(); });
    play.addEventListener("click", () => {
      if (timer) { halt(); return; }
      if (stop.value === stop.max) stop.value = "0";
      show();
      play.setAttribute("aria-pressed", "true");
      timer = setInterval(() => {
        stop.value = String(Number(stop.value) + 1);
        show();
        if (stop.value === stop.max) halt();
      }, 700);
    });
    choose();
  }

  async function copy(button) {
    const code = button.closest(".command").querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    tell("Copied");
  }

  function drawAll() {
    for (const made of document.querySelectorAll("th .swatch")) {
      made.dataset.color ||= made.style.getPropertyValue("--color").trim();
      made.style.setProperty("--color", shown(made.dataset.color));
    }
    for (const each of charts) each.draw();
  }

  for (const each of document.querySelectorAll(".needs-script")) each.hidden = false;
  document.querySelectorAll("[data-section]").forEach((box) => {
    const index = Number(box.dataset.section);
    charts.push(new Curves(box, numbers.sections[index]));
    const { sliders } = pictures[index];
    if (sliders.length) samples(box.querySelector(".samples"), sliders);
  });
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));

  const theme = document.getElementById("theme");
  const press = () => theme.setAttribute("aria-pressed", String(isDark()));
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    press();
    drawAll();
  });
  dark.addEventListener("change", () => { press(); drawAll(); });

  document.getElementById("download").addEventListener("click", () => {
    const link = element("a", { download: "report.json" });
    link.href = URL.createObjectURL(new Blob([document.getElementById("numbers").textContent], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    printing = true;
    closed = [...document.querySelectorAll("details:not([open], .as-table)")];
    for (const each of closed) each.open = true;
    for (const each of charts) each.chart.resize({ width: 680, height: 380 });
    drawAll();
  });
  addEventListener("afterprint", () => {
    printing = false;
    for (const each of closed) each.open = false;
    for (const each of charts) each.chart.resize({ width: "auto", height: "auto" });
    drawAll();
  });

  press();
  drawAll();
})();
