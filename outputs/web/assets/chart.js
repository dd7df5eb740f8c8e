// Graphs over time.
import { h, htm, useEffect, useLayoutEffect, useRef, useState } from "./vendor.js";
import { short, stamp, exact, tick, restColour } from "./format.js";
const html = htm.bind(h);

// painted is kept when the browser has painted what is there without graphs.
const painted = new Promise(done => { requestAnimationFrame(() => setTimeout(done)); setTimeout(done, 500); }); // a hidden page is never painted
let library; // ECharts, when somebody has asked for it
export const loadCharts = () => library ||= painted.then(() => import("./echarts.js")).then(m => m.echarts,
	error => { library = undefined; throw error; });

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// tooltip returns what is shown at a time: elements, as a string of HTML would need styles
// in it, which the page's policy forbids.
function tooltip(lines, unit, extra) {
	return params => {
		if (!params.length) return "";
		const box = document.createElement("div");
		const i = params[0].dataIndex;
		box.className = "tip";
		box.append(Object.assign(document.createElement("b"), { textContent: exact(params[0].axisValue / 1000) }));
		let sum = 0, shown = 0;
		for (const line of lines) {
			const v = line.rates[i];
			if (v !== null && v !== undefined && !line.dashed) sum += v;
			if (shown++ > 14) continue;
			const row = document.createElement("div");
			const dot = document.createElement("i");
			dot.style.background = line.colour;
			row.append(dot, Object.assign(document.createElement("span"), { textContent: line.name }),
				Object.assign(document.createElement("em"), { textContent: v === null || v === undefined ? "no data" : short(v, unit) }));
			box.append(row);
		}
		if (lines.length > 1) box.append(Object.assign(document.createElement("div"), { className: "sum", textContent: "Σ " + short(sum, unit) }));
		const note = extra && extra(i);
		if (note) box.append(Object.assign(document.createElement("div"), { className: "lost", textContent: note }));
		return box;
	};
}

// bands returns the steps in which something was lost, neighbours together.
function bands(times, failures, step) {
	const list = [];
	failures && failures.forEach((n, i) => {
		if (!n) return;
		const last = list[list.length - 1];
		if (last && last[1].xAxis === times[i]) last[1].xAxis = times[i] + step * 1000;
		else list.push([{ xAxis: times[i] }, { xAxis: times[i] + step * 1000 }]);
	});
	return list;
}

// mark is the text of a mark of the axis: 1.50 M is 1.5 M, below the axis too.
const mark = v => short(Math.abs(v)).replace(/(\.\d*?)0+(?= |$)/, "$1").replace(/\.(?= |$)/, "");

// options returns ECharts' options of a graph. Lines have a name, a colour, rates (null is a
// gap), and may be negative (below the axis) or dashed.
function options({ span, step, lines, unit, kind, scale, failures, small, sel, most }) {
	const n = lines.length ? lines[0].rates.length : 0;
	const times = Array.from({ length: n }, (_, i) => (span.from + i * step) * 1000);
	const stacked = kind !== "lines";
	const sums = kind === "percent" ? times.map((_, i) => lines.reduce((s, l) => l.dashed ? s : s + (l.rates[i] || 0), 0)) : [];
	const value = (l, i) => {
		const v = l.rates[i];
		if (v === null || v === undefined) return null;
		if (kind === "percent") return sums[i] ? v / sums[i] * 100 : 0;
		return l.negative ? -v : v;
	};
	const unknown = (l, i) => l.rates[i] === null || l.rates[i] === undefined;
	const grid = colour("--line"), text = colour("--dim");
	const log = scale === "log" && kind === "lines";
	const series = lines.map((l, k) => ({
		name: l.name, type: "line", symbol: "none", showSymbol: true, color: l.colour, connectNulls: false, animation: false,
		step: n < 80 ? "end" : false,
		stack: stacked && !l.dashed ? (l.negative ? "below" : "above") : undefined,
		areaStyle: stacked && !l.dashed ? { opacity: 0.75 } : undefined,
		lineStyle: { width: l.dashed ? 1.5 : stacked ? 0.6 : 1.6, type: l.dashed ? "dashed" : "solid" },
		emphasis: { disabled: true },
		data: times.map((t, i) => {
			const v = log && !value(l, i) ? null : value(l, i);
			const alone = v !== null && unknown(l, i - 1) && unknown(l, i + 1); // no line leads to it
			return alone ? { value: [t, v], symbol: "circle", symbolSize: 4 } : [t, v];
		}),
		markArea: k === 0 ? { silent: true, animation: false, data: [
			...bands(times, failures, step).map(([a, b]) => [{ ...a, itemStyle: { color: colour("--loss"), opacity: 0.28 } }, b]),
			...(sel ? [[{ xAxis: sel.from * 1000, itemStyle: { color: colour("--accent"), opacity: 0.22 } }, { xAxis: sel.to * 1000 }]] : []),
		] } : undefined,
	}));
	const length = span.to - span.from;
	return {
		animation: false, aria: { enabled: true }, textStyle: { fontFamily: "system-ui, sans-serif" },
		grid: small ? { left: 44, right: 6, top: 8, bottom: 20 } : { left: 64, right: 16, top: 28, bottom: 26 },
		xAxis: { type: "time", min: span.from * 1000, max: span.to * 1000, splitNumber: small ? 4 : 8,
			axisLabel: { color: text, fontSize: small ? 10 : 11, hideOverlap: true, formatter: v => tick(v / 1000, length) },
			axisLine: { lineStyle: { color: grid } }, axisTick: { lineStyle: { color: grid } }, splitLine: { show: false } },
		yAxis: { type: log ? "log" : "value", max: kind === "percent" ? 100 : most || undefined, splitNumber: small ? 3 : 5,
			axisLabel: { color: text, fontSize: small ? 10 : 11, formatter: v => kind === "percent" ? v + " %" : mark(v) },
			name: small || kind === "percent" ? "" : unit, nameTextStyle: { color: text, fontSize: 11, align: "right" }, nameGap: 10,
			splitLine: { lineStyle: { color: grid } } },
		tooltip: small && !most ? undefined : { trigger: "axis", confine: true, transitionDuration: 0, className: "echart-tip",
			backgroundColor: colour("--panel"), borderColor: grid, textStyle: { color: colour("--text"), fontSize: 12 },
			axisPointer: { lineStyle: { color: text } },
			formatter: tooltip(lines, unit, i => failures && failures[i] ? `lost: ${short(failures[i])} (by sequence numbers)` : "") },
		series,
	};
}

// heatOptions draws a row for each line.
function heatOptions({ span, step, lines, unit }) {
	const n = lines.length ? lines[0].rates.length : 0;
	let most = 0;
	const data = [];
	lines.forEach((l, y) => l.rates.forEach((v, x) => { if (v !== null) { data.push([x, y, v]); most = Math.max(most, v); } }));
	return {
		animation: false, grid: { left: 170, right: 20, top: 14, bottom: 60 },
		xAxis: { type: "category", data: Array.from({ length: n }, (_, i) => span.from + i * step),
			axisLabel: { color: colour("--dim"), formatter: v => tick(Number(v), span.to - span.from) } },
		yAxis: { type: "category", inverse: true, data: lines.map(l => l.name), axisLabel: { color: colour("--dim"), width: 155, overflow: "truncate" } },
		visualMap: { min: 0, max: most || 1, calculable: false, orient: "horizontal", left: "center", bottom: 0, textStyle: { color: colour("--dim") },
			formatter: v => short(v, unit), inRange: { color: ["#fde725", "#5ec962", "#21918c", "#3b528b", "#440154"] } },
		tooltip: { confine: true, backgroundColor: colour("--panel"), textStyle: { color: colour("--text") }, formatter: p => {
			const box = document.createElement("div");
			box.textContent = `${lines[p.value[1]].name}, ${stamp(span.from + p.value[0] * step)}: ${short(p.value[2], unit)}`;
			return box;
		} },
		series: [{ type: "heatmap", data, progressive: 0, emphasis: { disabled: true } }],
	};
}

// sankeyOptions draws what goes from the values of each key to those of the next.
function sankeyOptions({ lines, unit }) {
	const nodes = new Map(), links = new Map();
	for (const l of lines) {
		if (!l.key || l.key.length < 2) continue;
		const total = l.total;
		l.key.forEach((k, i) => nodes.set(`${i} ${k}`, { name: `${i} ${k}` }));
		for (let i = 1; i < l.key.length; i++) {
			const id = `${i - 1} ${l.key[i - 1]}\n${i} ${l.key[i]}`;
			links.set(id, (links.get(id) || 0) + total);
		}
	}
	return {
		animation: false,
		tooltip: { confine: true, backgroundColor: colour("--panel"), textStyle: { color: colour("--text") }, formatter: p => {
			const box = document.createElement("div");
			box.textContent = `${p.name.replace(/(^|> )\d /g, "$1")}: ${short(p.value, unit)}`;
			return box;
		} },
		series: [{ type: "sankey", left: 10, right: 150, top: 10, bottom: 10, data: [...nodes.values()],
			links: [...links].map(([id, value]) => ({ source: id.split("\n")[0], target: id.split("\n")[1], value })),
			lineStyle: { color: "gradient", opacity: 0.45 }, label: { color: colour("--text"), formatter: p => p.name.replace(/^\d /, "") } }],
	};
}

// Chart draws a graph, as soon as what draws it has been loaded. onSelect is called with a span
// when one is clicked or drawn on it.
export function Chart(props) {
	const [echarts, set] = useState();
	const [error, setError] = useState();
	useEffect(() => {
		let gone = false;
		loadCharts().then(e => { if (!gone) set(() => e); }, e => { if (!gone) setError(e); });
		return () => { gone = true; };
	}, []);
	if (error) return html`<p class="problem" role="alert">Graphs cannot be drawn: ${error.message}</p>`;
	return echarts ? html`<${Drawn} ...${props} echarts=${echarts} />` : html`<div class=${"chart wait " + (props.small ? "small" : "")}></div>`;
}

function Drawn(props) {
	const { echarts } = props;
	const at = useRef(), chart = useRef(), now = useRef(props), drag = useRef();
	now.current = props;
	useLayoutEffect(() => {
		const c = echarts.init(at.current, null, { renderer: "canvas" });
		chart.current = c;
		const resize = new ResizeObserver(() => { c.resize(); draw(); });
		resize.observe(at.current);
		const theme = () => draw();
		window.addEventListener("flowgraf-theme", theme);
		const when = e => {
			const p = now.current;
			if (!p.onSelect || p.kind === "heat" || p.kind === "sankey" || !p.lines.length) return undefined;
			const x = c.convertFromPixel({ xAxisIndex: 0 }, e.offsetX);
			return x / 1000 >= p.span.from && x / 1000 <= p.span.to ? x / 1000 : undefined;
		};
		const slot = t => now.current.span.from + Math.floor((t - now.current.span.from) / now.current.step) * now.current.step;
		const zr = c.getZr();
		zr.on("mousedown", e => { const t = when(e); if (t !== undefined) drag.current = { t, x: e.offsetX }; });
		zr.on("mousemove", e => {
			const t = drag.current && when(e);
			if (t && Math.abs(e.offsetX - drag.current.x) > 5) draw({ from: slot(Math.min(t, drag.current.t)), to: slot(Math.max(t, drag.current.t)) + now.current.step });
		});
		zr.on("mouseup", e => {
			const d = drag.current, t = d && when(e);
			drag.current = undefined;
			if (!d || t === undefined) return;
			const from = slot(Math.min(t, d.t));
			now.current.onSelect({ from, to: Math.abs(e.offsetX - d.x) > 5 ? slot(Math.max(t, d.t)) + now.current.step : from + now.current.step });
		});
		zr.on("click", e => now.current.onClick && now.current.onClick(e));
		return () => { resize.disconnect(); window.removeEventListener("flowgraf-theme", theme); c.dispose(); };
	}, []);
	const draw = sel => {
		const p = now.current;
		const o = p.kind === "heat" ? heatOptions(p) : p.kind === "sankey" ? sankeyOptions(p) : options(sel ? { ...p, sel } : p);
		chart.current.setOption(o, { notMerge: true, lazyUpdate: false });
	};
	useEffect(() => { if (!drag.current) draw(); });
	const what = `${props.label || "graph"}: ${props.lines.length} lines`;
	return html`<div class=${"chart " + (props.small ? "small" : "")} ref=${at} role="img" aria-label=${what}
		tabindex=${props.onKey ? 0 : undefined} onKeyDown=${props.onKey} data-lines=${props.lines.length}></div>`;
}

export const rest = restColour;
