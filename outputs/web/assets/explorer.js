// The explorer: a graph of any filter, and beside it rankings and flows of what is chosen.
import { useEffect, useMemo, useRef, useState } from "./vendor.js";
import { html, useGet, Problem, Choice, Select, Statistics, Address, Copy, Rows, CostLine } from "./parts.js";
import { Chart, rest as restColour } from "./chart.js";
import { Filter } from "./filter.js";
import { query, get, address } from "./api.js";
import { palette, units, ratesOf, summary, short, full, duration, stamp, exact, clock, moved, protocolName } from "./format.js";
import { spanOf, selection } from "./state.js";
import { coloursOf, graphLines, lost, Ranking } from "./pages.js";

const counterOf = { bits: "bytes", packets: "packets", flows: "flows" };
const savedKey = "flowgraf-filters";
const readSaved = () => { try { return JSON.parse(localStorage.getItem(savedKey)) || {}; } catch { return {}; } };
const keep = saved => { try { localStorage.setItem(savedKey, JSON.stringify(saved)); } catch { /* a private window */ } };

// turned returns a filter, or keys, of the way back: source and destination change places.
export const turned = text => text.replace(/\b(src|dst)(?=\b|ip|port|as|asn|vlan|mask|net|mac|tos)/gi,
	w => ({ src: "dst", dst: "src" })[w.toLowerCase()]).replace(/\b(in|out)(?=if\b|\s+(if|mac|packets|bytes)\b)/gi,
	w => ({ in: "out", out: "in" })[w.toLowerCase()]);

// both returns a filter that is within another.
export const both = (a, b) => !a.trim() ? b : /\b(and|or|not)\b|[&|!]/i.test(a) ? `(${a.trim()}) and ${b}` : `${a.trim()} and ${b}`;

// fieldsOf returns the question of a state.
function fieldsOf(state, span) {
	return { from: span.from, to: span.to, profile: state.profile, source: state.source, filter: state.filter,
		by: state.by, lines: state.lines, unit: counterOf[state.unit] || "bytes", peak: state.peak, points: 300 };
}

// keyName returns the name of a line.
const keyName = (keys, values) => values.map((v, i) => keys[i] === "proto" ? protocolName(v) : v).join(" · ");

// answerLines makes the lines of a graph of an answer.
function answerLines(series, unit, negative) {
	const u = unit;
	const line = (l, i, name, colour) => ({ name, key: l.key, keys: series.keys, colour, negative, total: l.counts[u.counter], counts: l.counts, rates: ratesOf(l[u.counter], series.seconds, u.factor) });
	if (!series.keys.length) return [line(series.total, 0, negative ? "way back" : "all", negative ? palette[1] : palette[0])];
	const lines = series.lines.map((l, i) => line(l, i, (negative ? "← " : "") + keyName(series.keys, l.key), palette[i % palette.length]));
	if (series.rest.counts.flows) lines.push(line(series.rest, lines.length, (negative ? "← " : "") + `others (${full(series.count - series.lines.length)})`, restColour));
	return lines;
}

// useQuestion asks a question when turn changes.
function useQuestion(fields, turn) {
	const [s, set] = useState({});
	const abort = useRef();
	useEffect(() => {
		if (!turn) return undefined;
		const a = new AbortController();
		abort.current = a;
		set(old => ({ answer: old.answer, running: true, asked: fields }));
		query(fields, (kind, data) => set(old => kind === "progress" ? { ...old, progress: data }
			: kind === "cost" ? { ...old, cost: data } : { ...old, answer: data, asked: fields }), a.signal)
			.then(answer => set({ answer, asked: fields }), error => set(old => error.name === "AbortError"
				? { ...old, running: false, progress: undefined, stopped: true } : { answer: undefined, error, asked: fields }));
		return () => a.abort();
	}, [turn]);
	return { ...s, cancel: () => abort.current?.abort() };
}

const chartKinds = [["stacked", "stacked"], ["lines", "lines"], ["percent", "100 %"], ["mirrored", "mirrored"], ["grid", "grid"], ["heat", "heat map"], ["sankey", "Sankey"], ["table", "table"]];

// Explorer is the page.
export function Explorer({ app }) {
	const { state, go, sources, settled } = app; // before the files' interval is known nothing is asked: steps begin with it
	const [draft, setDraft] = useState(state.filter);
	const [checked, setChecked] = useState({ ok: true });
	const [turn, setTurn] = useState(0);
	const [off, setOff] = useState(new Set());
	const span = spanOf(state, app.now, app.interval);
	const files = !state.filter && !state.by; // the statistics of files answer at once
	const sel = selection(state);
	const scope = sel || span;
	const asked = JSON.stringify({ ...fieldsOf(state, span), from: state.end ? span.from : 0, to: state.end ? span.to : 0, range: state.range });
	const fields = fieldsOf(state, span);
	const cost = useGet("cost", fields, 0, settled && !files);
	const graph = useGet("graph", { from: span.from, to: span.to, profile: state.profile, source: state.source, protocol: state.protocol, points: 500 }, app.turn, settled && files);
	const main = useQuestion(fields, files ? 0 : turn);
	const way = useQuestion({ ...fields, filter: turned(state.filter), by: turned(state.by) }, !files && state.chart === "mirrored" ? turn : 0);
	const length = span.to - span.from;
	const earlier = useQuestion({ ...fields, from: Math.max(0, span.from - length), to: span.from, by: "" }, !files && state.previous ? turn : 0);
	const before = useGet("graph", { from: Math.max(0, span.from - length), to: span.from, profile: state.profile, source: state.source, protocol: state.protocol, points: 500 }, app.turn, settled && files && !!state.previous);
	useEffect(() => setDraft(state.filter), [state.filter]);
	// What the address asks for is asked at once when it is quick; otherwise after a click.
	const done = useRef();
	const slow = !files && cost.data && !cost.stale && cost.data.seconds > 8;
	useEffect(() => {
		if (files || !settled || (cost.stale && !cost.error) || done.current === asked || slow) return;
		done.current = asked;
		setTurn(t => t + 1);
	}, [asked, cost.stale, files, slow, cost.error, settled]);
	useEffect(() => { // live: again when there is more, as long as that is quick
		if (!files && !state.end && main.answer && !main.running && main.answer.elapsed < 1) setTurn(t => t + 1);
	}, [app.turn]);
	const run = () => {
		if (main.running) { main.cancel(); return; }
		if (!settled) return;
		if (draft !== state.filter) { go({ filter: draft, offset: "0" }); return; }
		done.current = asked;
		setTurn(t => t + 1);
	};
	const narrow = text => go({ filter: both(state.filter, text), offset: "0" });
	const speed = speedOf(state.speed);
	const u = state.unit === "speed" ? ofSpeed(speed || 1e9) : units[state.unit] || units.bits;
	const colours = useMemo(() => coloursOf(sources, app.profile), [sources, app.profile]);
	const view = files ? graph.data && { series: graph.data, failures: lost(graph.data, off), lines: graphLines(graph.data, u, colours, off, app.signs()) }
		: main.answer && { series: main.answer.series, failures: main.answer.series.failures, lines: [...answerLines(main.answer.series, u, false),
			...(state.chart === "mirrored" && way.answer ? answerLines(way.answer.series, u, true) : [])] };
	const past = files ? before.data && state.previous && { name: "period before", rates: graphSum(before.data, u, off) }
		: earlier.answer && state.previous && { name: "period before", rates: ratesOf(earlier.answer.series.total[u.counter], earlier.answer.series.seconds, u.factor) };
	const lines = view ? [...view.lines, ...(past && !["heat", "sankey"].includes(state.chart) ? [{ ...past, colour: restColour, dashed: true }] : [])] : [];
	const kind = state.chart === "mirrored" ? "stacked" : state.chart;
	return html`<div class="explorer">
		<${Panel} app=${app} draft=${draft} setDraft=${setDraft} checked=${checked} setChecked=${setChecked} run=${run} running=${main.running} />
		<div class="result">
			<${TimeBar} app=${app} span=${span} sel=${sel} step=${view?.series.step || 300} />
			<p class="bar"><${Choice} label="unit" value=${state.unit} options=${[["bits", "traffic"], ["packets", "packets"], ["flows", "flows"], ["speed", "% of a speed"]]} onChange=${v => go({ unit: v })} />
				${state.unit === "speed" && html`<label class="select"><span>of</span><input aria-label="speed of the line" size="6" value=${state.speed || "1G"} onChange=${e => go({ speed: e.target.value.trim() })} /><span>bit/s</span></label>`}
				<${Choice} label="chart" value=${state.chart} options=${chartKinds} onChange=${v => { go({ chart: v }); if (v === "mirrored") setTurn(t => t + 1); }} />
				${files && html`<${Select} label="protocol" value=${state.protocol} options=${["any", "tcp", "udp", "icmp", "other"]} onChange=${v => go({ protocol: v })} />`}
				<label class="check"><input type="checkbox" checked=${state.scale === "log"} onChange=${e => go({ scale: e.target.checked ? "log" : "linear", ...(e.target.checked ? { chart: "lines" } : {}) })} />log</label>
				<label class="check"><input type="checkbox" checked=${!!state.previous} onChange=${e => { go({ previous: e.target.checked ? "1" : "" }); setTurn(t => t + 1); }} />period before</label></p>
			<div class="costs" aria-live="polite">${!files && html`<${CostLine} cost=${cost.data} />`}
				${slow && done.current !== asked && html`<button type="button" class="primary" onClick=${run}>read them</button>`}
				${main.running && html`<progress max=${main.progress?.total || 1} value=${main.progress?.done || 0}></progress><button type="button" onClick=${main.cancel}>cancel</button>`}
				${main.answer && !main.running && !files && html`<span class="dim">${full(main.answer.read)} flows read in ${duration(main.answer.elapsed)}, ${full(main.answer.matched.flows)} match${main.answer.done && !main.stopped ? "" : html` <span class="badge warn">not all files were read</span>`}</span>`}
				${main.answer?.unranked.flows > 0 && html`<span class="badge warn">approximate: more keys than memory</span>`}
				${view && view.failures.some(n => n) && html`<span class="badge loss">lost: ${short(view.failures.reduce((a, b) => a + b, 0))}</span>`}
				<${Badges} app=${app} /></div>
			${state.unit === "speed" && !speed && html`<${Problem} error=${`${state.speed} is no speed: expected bits a second, as 100M, 1G or 2.5G`} />`}
			<${Problem} error=${main.error || graph.error || (cost.error?.field !== "filter" && !main.error ? cost.error : undefined)} />
			${(main.answer?.problems || []).map(p => html`<${Problem} error=${p} />`)}
			${view && state.chart === "grid" ? html`<${Grid} lines=${lines} series=${view.series} unit=${u.rate} failures=${view.failures} sel=${sel} onSelect=${s => go({ sel: `${s.from}-${s.to}`, offset: "0" })} />`
			: view ? state.chart !== "table" && html`<${Chart} label="graph" span=${view.series} step=${view.series.step} unit=${u.rate} kind=${kind} scale=${state.scale} failures=${view.failures} lines=${lines}
				sel=${sel} onSelect=${s => go({ sel: `${s.from}-${s.to}`, offset: "0" })} onKey=${e => slotKey(e, app, span, sel, view.series.step)} />` : html`<div class="chart wait"></div>`}
			${view && html`<${Lines} lines=${lines} unit=${u} span=${view.series} app=${app} files=${files} narrow=${narrow} />`}
			${!files && main.answer && html`<${Copy} text=${main.answer.command} />`}
			<${Tabs} app=${app} scope=${scope} sel=${sel} step=${view?.series.step || 300} off=${off} setOff=${setOff} colours=${colours} narrow=${narrow} checked=${checked} />
		</div></div>`;
}

// speedOf reads a speed in bits a second: 1G; nothing when it is none.
function speedOf(text) {
	const m = /^(\d{1,6}(?:\.\d{1,3})?)\s*([kMGT]?)$/.exec(text || "1G");
	const v = m && Number(m[1]) * { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[m[2]];
	return v > 0 ? v : undefined;
}

const ofSpeed = speed => ({ counter: "bytes", factor: 800 / speed, rate: "%", total: "B", title: "Traffic" });

// Grid draws each line in a small graph of its own, all on one scale but that of the others.
const mostInGrid = 36;
function Grid({ lines, series, unit, failures, sel, onSelect }) {
	const own = lines.filter(l => !l.dashed), shown = own.slice(0, mostInGrid);
	const highest = list => Math.max(0, ...list.flatMap(l => l.rates.filter(v => v !== null)));
	const rest = l => l.colour === restColour;
	const most = highest(shown.filter(l => !rest(l)));
	return html`<div class="multiples" data-graphs=${shown.length}>${shown.map(l => html`<figure key=${l.name}><figcaption><svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${l.colour} /></svg>${l.name}${rest(l) && html`<span class="dim"> on a scale of its own</span>`}</figcaption>
		<${Chart} small label=${l.name} span=${series} step=${series.step} unit=${unit} kind="stacked" most=${rest(l) ? highest([l]) : most} failures=${failures} sel=${sel} onSelect=${onSelect} lines=${[{ ...l, negative: false }]} /></figure>`)}
		${own.length > shown.length && html`<p class="dim">and ${own.length - shown.length} more lines: see the table</p>`}</div>`;
}

// Badges tell what touches the numbers: sources without new data, and what the newest complete
// files say of exporters.
function Badges({ app }) {
	const { state, sources, now } = app;
	const chosen = sources.filter(s => s.profile === app.profileName && (!state.source.length || state.source.includes(s.name)));
	const { data } = useGet("exporters", { profile: state.profile, source: state.source }, app.turn, !!app.status?.ready);
	const all = data?.exporters || [], list = all.filter(e => !e.silent), quiet = all.filter(e => e.silent);
	const badge = (kind, text, title) => html` <span class="badge ${kind}" title=${title}>${text}</span>`;
	const names = l => l.map(e => e.address || e.name).slice(0, 20).join(", ");
	const silent = chosen.filter(s => now - s.changed > 2.4 * s.interval);
	const untold = list.filter(e => !e.rates.length), several = list.filter(e => e.rates.length > 1), doubled = list.filter(e => e.doubled > 0.2);
	return html`<span class="badges">${silent.length > 0 && badge("warn", `silent: ${silent.length === 1 ? silent[0].name : silent.length + " sources"}`, `no new data for more than two intervals: ${names(silent)}`)}
		${quiet.length > 0 && badge("warn", `silent: ${quiet.length === 1 ? quiet[0].address : quiet.length + " exporters"}`, `nothing of them for two files: ${quiet.map(e => `${e.address} since ${stamp(e.start + e.interval)}`).slice(0, 20).join(", ")}`)}
		${doubled.length > 0 && badge("warn", `doubled flows: ${doubled.length === 1 ? doubled[0].address : doubled.length + " exporters"}`, `the newest file has the same flows twice, as ingress and egress or from another exporter: ${doubled.map(e => `${e.address} ${Math.round(100 * e.doubled)} %`).join(", ")}`)}
		${several.length > 0 && badge("warn", "sampling differs", `several sampling rates in one file: ${several.map(e => `${e.address} 1 in ${e.rates.join(", ")}`).join("; ")}`)}
		${untold.length > 0 && badge("", "sampling not told", `these exporters have told no rate, their counters are taken as they are: ${names(untold)}`)}</span>`;
}

const graphSum = (g, u, off) => {
	const list = g.sources.filter(s => !off.has(s.name));
	return (list[0]?.seconds || []).map((_, i) => list.some(s => s.seconds[i]) ? list.reduce((sum, s) => sum + (s.seconds[i] ? s[u.counter][i] * u.factor / s.seconds[i] : 0), 0) : null);
};

// Panel is what is asked: sources, filter, keys.
function Panel({ app, draft, setDraft, checked, setChecked, run, running }) {
	const { state, go, sources, words } = app;
	const [saved, setSaved] = useState(readSaved);
	const [name, setName] = useState("");
	const keys = state.by ? state.by.split(",") : [];
	const shown = sources.filter(s => s.profile === app.profileName);
	const chosen = state.source.length ? state.source : shown.map(s => s.name);
	const toggle = n => { const next = chosen.includes(n) ? chosen.filter(s => s !== n) : [...chosen, n]; go({ source: next.length === shown.length ? [] : next.sort() }); };
	const save = () => { const next = { ...saved, [name.trim()]: draft }; setSaved(next); keep(next); setName(""); };
	const drop = n => { const next = { ...saved }; delete next[n]; setSaved(next); keep(next); };
	const move = (i, by) => { const next = [...keys]; [next[i], next[i + by]] = [next[i + by], next[i]]; go({ by: next.join(",") }); };
	return html`<aside class="panel" aria-label="question">
		<h2>Filter</h2>
		<${Filter} value=${draft} onChange=${setDraft} onCheck=${setChecked} onRun=${run} />
		${!checked.ok && draft.trim() ? html`<p class="problem mistake" role="alert">line ${checked.line || 1}, column ${checked.column || 1}: ${checked.message}${checked.suggestion ? html`<br />${checked.suggestion}` : ""}</p>`
			: checked.hints?.map(x => html`<p class="dim">${x}</p>`)}
		<p class="bar"><button type="button" class="primary" onClick=${run} disabled=${!running && !checked.ok && draft.trim() !== ""}>${running ? "cancel" : "run"}</button><kbd>Ctrl Enter</kbd>
			${draft && html`<button type="button" onClick=${() => { setDraft(""); go({ filter: "" }); }}>clear</button>`}</p>
		<details><summary>Saved filters (${Object.keys(saved).length})</summary>
			${Object.entries(saved).map(([n, text]) => html`<p class="saved"><button type="button" class="plain" title=${text} onClick=${() => go({ filter: text, offset: "0" })}>${n}</button>
				<button type="button" title="put it behind the filter that is in the box" onClick=${() => setDraft(both(draft, `(${text})`))}>and</button><button type="button" aria-label=${`delete ${n}`} onClick=${() => drop(n)}>×</button></p>`)}
			<form class="bar" onSubmit=${e => { e.preventDefault(); if (name.trim()) save(); }}><input aria-label="name of the filter" placeholder="name" value=${name} onInput=${e => setName(e.target.value)} /><button disabled=${!name.trim() || !draft.trim()}>save</button></form>
			<p class="dim">They are kept in this browser; a link shares one.</p></details>
		<h2>Group by</h2>
		<p class="chips">${keys.map((k, i) => html`<span class="chip">${k}${i > 0 && html`<button type="button" aria-label=${`${k} earlier`} onClick=${() => move(i, -1)}>‹</button>`}<button type="button" aria-label=${`without ${k}`} onClick=${() => go({ by: keys.filter(x => x !== k).join(",") })}>×</button></span>`)}</p>
		<select aria-label="add a key" value="" onChange=${e => { if (e.target.value) go({ by: [...keys, e.target.value].join(",") }); e.target.value = ""; }}>
			<option value="">add a key …</option>${(words?.keys || []).filter(k => !keys.includes(k)).flatMap(k => /^(src|dst)ip4$/.test(k) ? [k + "/24", k + "/16", k + "/8"] : /^(src|dst)ip6$/.test(k) ? [k + "/64", k + "/48"] : [k]).map(k => html`<option value=${k}>${k}</option>`)}</select>
		${keys.length > 0 && html`<p class="bar"><${Select} label="lines" value=${state.lines} options=${["5", "10", "20", "50", "100"]} onChange=${v => go({ lines: v })} />
			<${Select} label="largest by" value=${state.peak} options=${[["", "sum"], ["true", "peak"]]} onChange=${v => go({ peak: v })} /></p>`}
		<h2>Sources</h2>
		${app.profileNames.length > 1 && html`<${Select} label="profile" value=${app.profileName} options=${app.profileNames} onChange=${v => go({ profile: v, source: [] })} />`}
		<div class="sources">${shown.map(s => html`<label class="check"><input type="checkbox" checked=${chosen.includes(s.name)} disabled=${chosen.length === 1 && chosen[0] === s.name} onChange=${() => toggle(s.name)} />${s.name === "." ? "all" : s.name}</label>`)}</div>
	</aside>`;
}

// chosenAs says what is chosen: one step of the graph is a slot, however long that is.
const chosenAs = (sel, step) => sel.to - sel.from <= step ? "slot" : "window";

// TimeBar moves in time: the span that is shown, and the slot or window in it.
function TimeBar({ app, span, sel, step }) {
	const { state, go } = app;
	const range = Number(state.range);
	const shift = by => { const end = Math.min(Math.ceil(app.now), span.to + by); go({ end: String(end), offset: "0" }); };
	const zoom = s => go({ range: String(Math.max(60, s.to - s.from)), end: String(s.to), sel: "" });
	const slot = by => { const s = sel || { from: Math.floor((span.to - 1) / step) * step, to: 0 }; const at = Math.min(Math.max(s.from + by * step, 0), Math.floor((app.now - 1) / step) * step); go({ sel: `${at}-${at + step}`, offset: "0" }); };
	const peak = async () => { const found = await get("peak", { from: span.from, to: span.to, profile: state.profile, source: state.source, protocol: state.protocol, unit: counterOf[state.unit] });
		if (found.found) go({ sel: `${found.from}-${found.to}`, offset: "0" }); };
	const presets = [["3600", "1 h"], ["21600", "6 h"], ["43200", "12 h"], ["86400", "1 d"], ["172800", "2 d"], ["604800", "1 w"], ["1209600", "2 w"], ["2678400", "1 m"], ["15552000", "6 m"], ["31536000", "1 y"]];
	return html`<div class="timebar">
		<span class="choice"><button type="button" title="earlier" aria-label="earlier" onClick=${() => shift(-range)}>«</button><button type="button" title="later" aria-label="later" disabled=${span.live} onClick=${() => shift(range)}>»</button></span>
		<select aria-label="range" value=${presets.some(p => p[0] === state.range) ? state.range : "other"} onChange=${e => go({ range: e.target.value })}>${presets.map(([v, t]) => html`<option value=${v}>${t}</option>`)}${!presets.some(p => p[0] === state.range) && html`<option value="other">${duration(range)}</option>`}</select>
		<button type="button" title="twice as much" aria-label="zoom out" onClick=${() => go({ range: String(range * 2), ...(state.end ? { end: String(Math.min(Math.ceil(app.now), span.to + Math.floor(range / 2))) } : {}) })}>−</button>
		<button type="button" class=${span.live ? "live on" : "live"} aria-pressed=${span.live} onClick=${() => go(span.live ? { end: String(span.to) } : { end: "", sel: "" })}>live</button>
		<span class="when">${stamp(span.from)} – ${stamp(span.to)}</span>
		<span class="slot" role="group" aria-label="slot">
			<button type="button" aria-label="previous slot" onClick=${() => slot(-1)}>◂</button>
			<button type="button" onClick=${peak}>peak</button>
			<button type="button" onClick=${() => { const at = Math.floor((span.to - 1) / step) * step; go({ sel: `${at}-${at + step}`, offset: "0" }); }}>last</button>
			<button type="button" aria-label="next slot" onClick=${() => slot(1)}>▸</button>
			${sel ? html`<b class="chosen">${chosenAs(sel, step)} ${exact(sel.from)} – ${sel.to - sel.from < 86400 ? clock(sel.to) : stamp(sel.to)}</b>
				<button type="button" onClick=${() => zoom(sel)}>zoom</button><button type="button" aria-label="no slot" onClick=${() => go({ sel: "", offset: "0" })}>×</button>`
			: html`<span class="dim">click on the graph for a slot, draw for a window</span>`}</span></div>`;
}

// slotKey moves the slot by the arrow keys.
function slotKey(e, app, span, sel, step) {
	const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
	if (e.key === "Escape" && sel) app.go({ sel: "" });
	if (!by) return;
	e.preventDefault();
	const at = sel ? sel.from + by * step : Math.floor((span.to - 1) / step) * step;
	app.go({ sel: `${at}-${at + step}`, offset: "0" });
}

// Lines says of each line what can be said in numbers.
function Lines({ lines, unit, span, app, files, narrow }) {
	const total = span.to - span.from;
	const filterOf = l => !files && l.keys?.length > 0 && l.key.length === l.keys.length ? keyFilter(l.keys, l.key) : undefined;
	return html`<div class="scroll"><table class="lines"><thead><tr><th>line</th>${["min", "max", "last", "average", "95th"].map(n => html`<th class="n">${n}</th>`)}<th class="n">total</th></tr></thead>
		<tbody>${lines.map(l => { const s = summary(l.rates); const sum = l.counts ? l.counts[unit.counter] : l.rates.reduce((a, v) => a + (v || 0), 0) * span.step / unit.factor; const f = filterOf(l); return html`<tr>
			<td><svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${l.colour} /></svg>${l.key?.length === 1 ? html`<${Address} text=${l.name} state=${app.state} status=${app.status} onFilter=${narrow} />` : l.name}
			${f && html` <button type="button" class="tiny" title=${f} onClick=${() => narrow(f)}>filter</button>`}</td>
			${["min", "max", "last", "average", "p95"].map(k => html`<td class="n" title=${full(s[k] === null ? null : Math.round(s[k]))}>${short(s[k], unit.rate)}</td>`)}<td class="n">${short(sum, unit.total)}</td></tr>`; })}
		</tbody></table>${!lines.length && html`<p class="dim">No flow matches in ${duration(total)}.</p>`}</div>`;
}

const keyFilters = { proto: "proto", srcip: "src ip", dstip: "dst ip", srcport: "src port", dstport: "dst port", srcas: "src as", dstas: "dst as", srcasn: "src as", dstasn: "dst as", inif: "in if", outif: "out if", srcvlan: "src vlan", dstvlan: "dst vlan", tos: "tos", router: "router ip", next: "next ip", bgpnext: "bgpnext ip" };

// keyFilter returns the filter of a line, nothing where a key has none.
export function keyFilter(keys, values) {
	const parts = keys.map((k, i) => {
		const net = /^(src|dst)ip[46]\/(\d+)$/.exec(k);
		if (net) return `${net[1]} net ${values[i]}/${net[2]}`;
		const word = keyFilters[k];
		return word && `${word} ${String(values[i]).toLowerCase()}`;
	});
	return parts.every(Boolean) ? parts.join(" and ") : undefined;
}

// Tabs are what is known of the slot, the window, or the whole span.
function Tabs({ app, scope, sel, step, off, setOff, colours, narrow, checked }) {
	const { state, go } = app;
	const table = useGet("statistics", { from: scope.from, to: scope.to, profile: state.profile, source: state.source }, app.turn, state.tab === "statistics");
	const toggle = n => { const next = new Set(off); next.has(n) ? next.delete(n) : next.add(n); setOff(next); };
	return html`<section class="tabs"><div role="tablist" class="bar"><${Choice} label="what is shown" value=${state.tab} options=${[["statistics", "Statistics"], ["ranking", "Top"], ["flows", "Flows"]]} onChange=${v => go({ tab: v })} />
		<span class="dim">of ${sel ? `the ${chosenAs(sel, step)} ` : ""}${exact(scope.from)} – ${exact(scope.to)}</span></div>
		${state.tab === "statistics" && html`<${Problem} error=${table.error} /><${Statistics} data=${table.data} how=${state.sum} onHow=${v => go({ sum: v })} off=${off} onToggle=${toggle} colours=${colours} />`}
		${state.tab === "ranking" && html`<${Rankings} app=${app} scope=${scope} narrow=${narrow} />`}
		${state.tab === "flows" && html`<${Flows} app=${app} scope=${scope} narrow=${narrow} />`}</section>`;
}

// Rankings is NfSen's Stat TopN.
function Rankings({ app, scope, narrow }) {
	const { state, go, words } = app;
	const [turn, setTurn] = useState(1);
	const stats = state.stat.split(",").filter(Boolean);
	const fields = { from: scope.from, to: scope.to, profile: state.profile, source: state.source, filter: state.filter, stat: stats.map(s => `${s}/${state.order}`), top: state.top, points: 1 };
	const key = JSON.stringify(fields);
	useEffect(() => setTurn(t => t + 1), [key]);
	const q = useQuestion(fields, turn);
	const order = { bytes: "bytes", packets: "packets", flows: "flows", ibyte: "in_bytes", obyte: "out_bytes" }[state.order] || "bytes";
	return html`<div class="rankings"><p class="bar"><${Select} label="statistic" value=${stats[0]} options=${(words?.elements || ["srcip"]).filter(e => e !== "record").map(e => [e, e])} onChange=${v => go({ stat: [v, ...stats.slice(1)].join(",") })} />
		<${Select} label="add" value="" options=${[["", "…"], ...(words?.elements || []).filter(e => e !== "record" && !stats.includes(e)).map(e => [e, e])]} onChange=${v => v && go({ stat: [...stats, v].join(",") })} />
		${stats.length > 1 && html`<button type="button" onClick=${() => go({ stat: stats.slice(0, -1).join(",") })}>without ${stats[stats.length - 1]}</button>`}
		<${Select} label="order" value=${state.order} options=${["bytes", "packets", "flows", "bps", "pps", "bpp", "ibyte", "obyte", "ipkg", "opkg"]} onChange=${v => go({ order: v })} />
		<${Select} label="rows" value=${state.top} options=${["10", "20", "50", "100", "200", "500"]} onChange=${v => go({ top: v })} />
		${q.running && html`<progress max=${q.progress?.total || 1} value=${q.progress?.done || 0}></progress><button type="button" onClick=${q.cancel}>cancel</button>`}</p>
		<${Problem} error=${q.error} />${(q.answer?.problems || []).map(p => html`<${Problem} error=${p} />`)}
		<div class="grid">${q.answer?.rankings.map(r => html`<${Ranking} ranking=${r} app=${app} order=${order} onFilter=${narrow} />`)}</div>${q.answer && html`<${Copy} text=${q.answer.command} />`}</div>`;
}

const sortOf = { firstSeen: "tstart", duration: "duration", lastSeen: "tend", packets: "packets", bytes: "bytes", flows: "flows", inPackets: "packets", inBytes: "bytes" };

// Flows lists single flows, or rows of them.
function Flows({ app, scope, narrow }) {
	const { state, go, words } = app;
	const [choosing, setChoosing] = useState(false);
	const fields = { from: scope.from, to: scope.to, profile: state.profile, source: state.source, filter: state.filter, by: state.both ? "" : state.rows, both: state.both, sort: state.sort, column: state.column, offset: state.offset, limit: state.limit, zone: "utc" };
	const { data, error, stale } = useGet("flows", fields, 0);
	const columns = data?.columns || [];
	const sortable = {};
	data?.headings.forEach((name, i) => { if (sortOf[name]) sortable[i] = sortOf[name]; });
	const numeric = data ? data.headings.flatMap((_, i) => data.rows.length && data.rows.slice(0, 20).every(r => /^[\d.]*$/.test(r[i])) && data.headings[i] !== "proto" ? [i] : []) : [];
	const toggle = c => { const now = state.column.length ? state.column : words.usual; go({ column: now.includes(c) ? now.filter(x => x !== c) : [...now, c], offset: "0" }); };
	const { offset, limit, ...shownOf } = fields;
	const all = { ...shownOf, zone: app.zone === "UTC" || app.zone !== app.collectorZone ? "utc" : "" };
	return html`<div class="flows"><p class="bar">
		<${Select} label="sum up" value=${state.both ? "both" : state.rows} options=${[["", "single flows"], ["proto,srcip,dstip,srcport,dstport", "connections"], ["both", "both directions"], ["srcip,dstip", "pairs"], ["srcip4/24,dstip4/24", "networks /24"], ["srcip6/64,dstip6/64", "networks /64"], ["srcip", "sources"], ["dstip", "destinations"], ["dstport,proto", "services"]]} onChange=${v => go(v === "both" ? { both: "true", rows: "", offset: "0" } : { both: "", rows: v, offset: "0" })} />
		<${Select} label="sort" value=${state.sort} options=${[["", "as in the files"], ["tstart", "start"], ["tend", "end"], ["duration", "duration"], ["bytes", "bytes"], ["packets", "packets"], ["flows", "flows"], ["bps", "bit/s"], ["pps", "packets/s"]]} onChange=${v => go({ sort: v, offset: "0" })} />
		<${Select} label="rows" value=${state.limit} options=${["20", "50", "100", "500", "1000", "10000"]} onChange=${v => go({ limit: v, offset: "0" })} />
		<button type="button" aria-expanded=${choosing} onClick=${() => setChoosing(!choosing)}>columns</button>
		<span class="downloads" title=${`times in ${all.zone ? "UTC" : app.collectorZone}`}>download ${["csv", "json", "ndjson", "parquet"].map(f => html` <a href=${address("download", { ...all, format: f })} download>${f}</a>`)}</span></p>
		${choosing && html`<div class="columns">${(words?.columns || []).map(c => html`<label class="check" title=${c.name}><input type="checkbox" checked=${(state.column.length ? state.column : words.usual).includes(c.name)} onChange=${() => toggle(c.name)} />${c.heading} <code>${c.name}</code></label>`)}</div>`}
		<${Problem} error=${error} />${(data?.problems || []).map(p => html`<${Problem} error=${p} />`)}
		${data && html`<div class=${stale ? "stale" : ""}><${Rows} headings=${data.headings} rows=${data.rows} sortable=${sortable} sort=${state.sort} numeric=${numeric} onSort=${v => go({ sort: v, offset: "0" })}
			cell=${(v, i) => data.headings[i] === "proto" ? protocolName(v) : html`<${Address} text=${moved(v)} state=${state} status=${app.status} onFilter=${narrow} />`} />
			<p class="bar"><button type="button" disabled=${state.offset === "0"} onClick=${() => go({ offset: String(Math.max(0, Number(state.offset) - Number(state.limit))) })}>‹ before</button>
			<span>${data.rows.length ? `rows ${full(data.offset + 1)} – ${full(data.offset + data.rows.length)}` : "no flow matches"}</span>
			<button type="button" disabled=${!data.more} onClick=${() => go({ offset: String(Number(state.offset) + Number(state.limit)) })}>after ›</button><span class="dim">${duration(data.elapsed)}</span></p>
			<${Copy} text=${data.command} /></div>`}</div>`;
}
