// The pages but for the explorer.
import { useEffect, useMemo, useState } from "./vendor.js";
import { html, useGet, Problem, Link, Choice, Statistics, Address, Copy } from "./parts.js";
import { Chart } from "./chart.js";
import { query } from "./api.js";
import { ProfileForm, Tools, empty } from "./profile.js";
import { palette, units, ratesOf, short, full, size, duration, stamp, exact, summary, protocolName } from "./format.js";
import { spanOf } from "./state.js";

export const periods = [["86400", "day"], ["604800", "week"], ["2678400", "month"], ["31536000", "year"]];

// coloursOf gives each source its colour, always the same one.
export function coloursOf(sources, profile) {
	const colours = {};
	sources.forEach((s, i) => { colours[s.name] = palette[i % palette.length]; });
	for (const c of profile?.channels || []) {
		const name = Object.keys(colours).find(n => n.split("/").pop() === c.name);
		if (name && c.colour) colours[name] = c.colour;
	}
	return colours;
}

// graphLines makes lines of the API's graph; the unit is one of units, or its name.
export function graphLines(graph, unit, colours, off = new Set(), signs = {}) {
	const u = units[unit] || unit;
	return graph.sources.filter(s => !off.has(s.name)).map(s => ({ name: s.name === "." ? "all" : s.name, colour: colours[s.name] || "#888",
		negative: signs[s.name] === "-", rates: ratesOf(s[u.counter], s.seconds, u.factor) }));
}
export const lost = (graph, off = new Set()) => graph.sources.filter(s => !off.has(s.name))
	.reduce((sum, s) => s.failures.map((n, i) => n + (sum[i] || 0)), []);

function Period({ range, title, app, off, colours, signs }) {
	const { state, now } = app;
	const span = { from: now - Number(range), to: now };
	const step = Math.max(1, Math.ceil(Number(range) / 240));
	const graph = useGet("graph", { from: Math.floor(span.from / step) * step, to: Math.ceil(span.to / step) * step,
		profile: state.profile, protocol: state.protocol, points: 240 }, app.turn);
	if (graph.error) return html`<${Problem} error=${graph.error} />`;
	return html`<section class="period" data-period=${title}><h2>${title}</h2><div class="three">
		${Object.entries(units).map(([unit, u]) => html`<figure>
			<figcaption>${u.title} <span class="dim">${u.rate}</span></figcaption>
			${graph.data ? html`<${Link} page="explorer" state=${state} change=${{ range, end: "", unit }} class="cover">
				<${Chart} small label=${`${u.title}, ${title}`} span=${graph.data} step=${graph.data.step} unit=${u.rate} kind="stacked"
					lines=${graphLines(graph.data, unit, colours, off, signs)} failures=${lost(graph.data, off)} /></${Link}>` : html`<div class="chart small wait"></div>`}
		</figure>`)}</div></section>`;
}

export function Overview({ app }) {
	const { state, go, sources } = app;
	const [off, setOff] = useState(new Set());
	const profile = app.profile;
	const colours = useMemo(() => coloursOf(sources, profile), [sources, profile]);
	const signs = useMemo(() => app.signs(), [profile, sources]);
	const shown = sources.filter(s => s.profile === app.profileName);
	const table = useGet("statistics", { from: app.now - 86400, to: app.now, profile: state.profile }, app.turn);
	const toggle = name => { const next = new Set(off); next.has(name) ? next.delete(name) : next.add(name); setOff(next); };
	if (app.status?.ready && app.asked && !sources.length) {
		return html`<p class="empty">There are no flow files below <code>${app.status.archive}</code> yet. Files are called
			nfcapd.202611281200 or nfcapd.current.…; this page shows them as soon as they come.</p>`;
	}
	return html`<div class="overview">
		<p class="bar"><${Choice} label="protocol" value=${state.protocol} onChange=${v => go({ protocol: v })}
			options=${[["any", "any"], ["tcp", "TCP"], ["udp", "UDP"], ["icmp", "ICMP"], ["other", "other"]]} />
			<span class="legend">${shown.map(s => html`<button type="button" aria-pressed=${!off.has(s.name)} onClick=${() => toggle(s.name)}>
				<svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${colours[s.name]} /></svg>${s.name === "." ? "all" : s.name}</button>`)}</span></p>
		${periods.map(([range, title]) => html`<${Period} key=${range} range=${range} title=${title} app=${app} off=${off} colours=${colours} signs=${signs} />`)}
		<section><h2>The last 24 hours</h2><${Problem} error=${table.error} />
		<${Statistics} data=${table.data} how=${state.sum} onHow=${v => go({ sum: v })} off=${off} onToggle=${toggle} colours=${colours} /></section></div>`;
}

// Ranking is a table of values with bars.
export function Ranking({ ranking, app, order = "bytes", onFilter, skip }) {
	const rows = ranking.rows.filter(r => r.key !== skip);
	const most = Math.max(1, ...rows.map(r => r[order] ?? 0));
	return html`<div class="scroll"><table class="ranking"><caption>${ranking.title}</caption><thead><tr><th>${ranking.stat}</th><th class="n">flows</th><th class="n">packets</th><th class="n">bytes</th></tr></thead>
		<tbody>${rows.map(r => html`<tr><td><svg class="meter" preserveAspectRatio="none" viewBox="0 0 100 1"><rect width=${(r[order] || 0) / most * 100} height="1" /></svg>
			<span>${r.proto ? r.proto + " " : ""}<${Address} text=${r.key} state=${app.state} status=${app.status} onFilter=${onFilter} /></span></td>
			<td class="n" title=${full(r.flows)}>${short(r.flows)}</td><td class="n" title=${full(r.packets)}>${short(r.packets)}</td><td class="n" title=${full(r.bytes)}>${short(r.bytes, "B")}</td></tr>`)}
		${!rows.length && html`<tr><td colspan="4" class="dim">none</td></tr>`}</tbody></table></div>`;
}

const valid = /^[0-9a-fA-F.:]{2,45}$/;

export function Host({ app }) {
	const { state, go } = app;
	const [typed, setTyped] = useState(state.address);
	const [answer, set] = useState();
	const [error, setError] = useState();
	const [progress, setProgress] = useState();
	const names = useGet("name", { address: state.address }, 0, !!app.status?.names && valid.test(state.address));
	const span = spanOf(state, app.now, app.interval);
	useEffect(() => setTyped(state.address), [state.address]);
	useEffect(() => {
		set(undefined);
		setError(undefined);
		if (!app.settled || !valid.test(state.address)) return undefined;
		const abort = new AbortController();
		query({ from: span.from, to: span.to, profile: state.profile, source: state.source, filter: `ip ${state.address}`, by: "proto", lines: 8,
			stat: ["ip/bytes", "port/bytes", "proto/bytes", "inif/bytes", "outif/bytes", "router/bytes", "vlan/bytes"], top: 12 },
		(kind, data) => { if (kind === "progress") setProgress(data); else if (kind !== "cost") set(data); }, abort.signal)
			.catch(e => { if (e.name !== "AbortError") setError(e); }).finally(() => setProgress(undefined));
		return () => abort.abort();
	}, [state.address, state.range, state.end, state.profile, String(state.source), app.settled]);
	const self = answer?.rankings[0].rows.find(r => r.key === state.address.toLowerCase());
	const u = units[state.unit] || units.bits;
	return html`<div class="host">
		<form class="bar" onSubmit=${e => { e.preventDefault(); go({ address: typed.trim() }); }}>
			<label>address <input name="address" value=${typed} onInput=${e => setTyped(e.target.value)} placeholder="192.0.2.1" autocomplete="off" /></label>
			<button class="primary">show</button>
			${state.address && html`<${Link} page="explorer" state=${state} change=${{ filter: `ip ${state.address}`, by: "proto" }}>in the explorer</${Link}>`}
		</form>
		${state.address && !valid.test(state.address) && html`<${Problem} error=${`${state.address} is no address: expected one as 192.0.2.1 or 2001:db8::1`} />`}
		<${Problem} error=${error} />
		${progress && html`<progress max=${progress.total || 1} value=${progress.done}></progress>`}
		${answer && html`<h2>${state.address} ${names.data && names.data.names.length > 0 && html`<small>${names.data.names.join(", ")}</small>`}</h2>
			${self ? html`<dl class="facts"><div><dt>first seen</dt><dd>${exact(self.first)}</dd></div><div><dt>last seen</dt><dd>${exact(self.last)}</dd></div>
				<div><dt>flows</dt><dd>${full(answer.matched.flows)}</dd></div><div><dt>packets</dt><dd>${short(answer.matched.packets)}</dd></div>
				<div><dt>bytes</dt><dd>${short(answer.matched.bytes, "B")}</dd></div></dl>`
			: answer.done && html`<p class="dim">No flow of this address in ${stamp(span.from)} – ${stamp(span.to)}.</p>`}
			${answer.matched.flows > 0 && html`<${Chart} label="traffic of the host" span=${answer.series} step=${answer.series.step} unit=${u.rate} kind="stacked" failures=${answer.series.failures}
				lines=${answer.series.lines.map((l, i) => ({ name: protocolName(l.key[0]), colour: palette[i % palette.length], rates: ratesOf(l[u.counter], answer.series.seconds, u.factor) }))} />`}
			<p class="legend">${answer.series.lines.map((l, i) => html`<span><svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${palette[i % palette.length]} /></svg>${protocolName(l.key[0])}</span>`)}</p>
			<div class="grid cards">${answer.rankings.filter(r => r.rows.some(x => x.key !== "0")).map((r, i) => html`<${Ranking} ranking=${i === 0 ? { ...r, title: "Peers" } : r} app=${app} skip=${i === 0 ? state.address.toLowerCase() : undefined} />`)}</div>
			<${Copy} text=${answer.command} />`}
		${!state.address && html`<p class="empty">Type an address, or click on one anywhere: its peers, ports, protocols, interfaces, when it was seen first and last.</p>`}
	</div>`;
}

const versions = { 1: "NetFlow v1", 5: "NetFlow v5", 7: "NetFlow v7", 9: "NetFlow v9", 10: "IPFIX" };

// Clock says how an exporter's clock goes: the flows that came soonest had ended lag seconds before.
const Clock = ({ lag }) => lag === undefined ? html`<span class="dim">–</span>` : lag < -1 ? html`<span class="badge warn" title="flows end after they came">ahead ${duration(-lag)}</span>`
	: lag > 300 ? html`<span class="badge warn" title="no flow came sooner after its end: the clock is behind, or the exporter tells late">behind ${duration(lag)}</span>`
	: html`<span title=${`the flows that came soonest had ended ${duration(Math.max(0, lag))} before`}>right</span>`;

// speedText writes bits a second as the explorer reads them: 10G.
export function speedText(bits) {
	const [by, prefix] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]].find(([n]) => bits >= n) || [1, ""];
	return Number((bits / by).toFixed(3)) + prefix;
}

// Use is what goes through an interface, with its share of the line's speed.
const Use = ({ bits, speed }) => html`${short(bits, "bit/s")}${speed > 0 && html` <span class="dim">${(100 * bits / speed).toFixed(1)} %</span>`}`;

export function Exporters({ app }) {
	const [open, setOpen] = useState();
	const { data, error } = useGet("exporters", { profile: app.state.profile, source: app.state.source }, app.turn);
	const now = app.now;
	return html`<div class="exporters"><section><h2>Sources</h2><div class="scroll"><table class="list"><thead><tr><th>source</th><th>files every</th><th class="n">files</th><th class="n">size</th><th>from</th><th>newest data</th><th class="n">flows</th><th class="n">lost</th></tr></thead>
		<tbody>${app.sources.filter(s => !s.channel).map(s => { const silent = now - s.changed > 2.4 * s.interval; return html`<tr><td>${s.name === "." ? "all" : s.name}</td><td>${duration(s.interval)}</td><td class="n">${full(s.files)}${s.expired > 0 && html`<span class="dim" title="files that have expired: what their statistics said is kept"> + ${full(s.expired)}</span>`}</td><td class="n">${size(s.bytes)}</td>
			<td>${stamp(s.first)}</td><td>${duration(Math.max(0, now - s.changed))} ago ${silent && html`<span class="badge warn">silent</span>`}</td><td class="n">${short(s.flows)}</td>
			<td class="n">${s.failures ? html`<span class="badge loss">${short(s.failures)}</span>` : "0"}</td></tr>`; })}</tbody></table></div></section>
		<section><h2>Exporters <small class="dim">as the newest complete file of each source has them</small></h2><${Problem} error=${error} />
		${data?.problems.map(p => html`<${Problem} error=${p} />`)}
		<div class="scroll"><table class="list"><thead><tr><th>address</th><th>protocol</th><th>domain</th><th>source</th><th>slot</th><th class="n">flows/s</th><th class="n">datagrams/s</th><th class="n">lost</th><th>clock</th><th>sampling</th><th>interfaces</th><th>templates</th></tr></thead>
		<tbody>${data?.exporters.map(e => { const id = `${e.source} ${e.address} ${e.domain}`; return html`<tr><td><${Address} text=${e.address} state=${app.state} status=${app.status} /></td><td>${versions[e.version] || (e.version ? "v" + e.version : "sFlow")}</td><td>${e.domain}</td><td>${e.source === "." ? "all" : e.source}</td><td>${stamp(e.start)}${e.silent && html` <span class="badge warn" title="nothing of it since">silent</span>`}</td>
			<td class="n">${short(e.flows / e.interval)}</td><td class="n">${short(e.datagrams / e.interval)}</td><td class="n">${e.failures ? html`<span class="badge loss">${short(e.failures)}</span>` : "0"}</td>
			<td><${Clock} lag=${e.lag} /></td><td>${e.rates.length ? e.rates.map(r => `1 in ${full(r)}`).join(", ") : html`<span class="dim" title="the exporter has told no rate: counters are taken as they are">not told</span>`}
				${e.rates.length > 1 && html` <span class="badge warn" title="several rates in one file">differs</span>`}${e.doubled > 0.2 && html` <span class="badge warn" title=${`${Math.round(100 * e.doubled)} % of its flows are there twice, as ingress and egress or from another exporter`}>doubled</span>`}</td>
			<td>${e.interfaces.length ? html`<button type="button" aria-expanded=${open === id} onClick=${() => setOpen(open === id ? undefined : id)}>${e.interfaces.length}</button>` : "–"}</td>
			<td>${e.templates.length ? html`<button type="button" aria-expanded=${open === id + " t"} onClick=${() => setOpen(open === id + " t" ? undefined : id + " t")}>${e.templates.length}</button>` : html`<span class="dim" title="the state_file of the agent's inputs.netflow has them: flowgraf web --state FILE">–</span>`}</td></tr>
			${open === id + " t" && html`<tr class="sub"><td colspan="12"><table class="list templates"><thead><tr><th>template</th><th>of</th><th class="n">fields</th><th>used last</th></tr></thead><tbody>
				${e.templates.map(t => html`<tr><td>${t.id}</td><td>${t.options ? "options" : "flows"}</td><td class="n">${t.fields}</td><td>${t.used ? exact(t.used) : "–"}</td></tr>`)}</tbody></table></td></tr>`}
			${open === id && html`<tr class="sub"><td colspan="12"><table class="list interfaces"><thead><tr><th>index</th><th>name</th><th class="n">speed</th><th class="n">in</th><th class="n">out</th><th></th></tr></thead><tbody>
				${e.interfaces.map(i => html`<tr><td>${i.index}</td><td>${i.name || "–"}</td><td class="n">${i.speed ? short(i.speed, "bit/s") : "–"}</td><td class="n"><${Use} bits=${i.in.bytes * 8 / e.interval} speed=${i.speed} /></td><td class="n"><${Use} bits=${i.out.bytes * 8 / e.interval} speed=${i.speed} /></td>
				<td><${Link} page="explorer" state=${app.state} change=${{ filter: `router ip ${e.address} and if ${i.index}`, by: "proto", ...(i.speed ? { unit: "speed", speed: speedText(i.speed) } : {}) }}>explore</${Link}></td></tr>`)}</tbody></table></td></tr>`}`; })}
		${data && !data.exporters.length && html`<tr><td colspan="12" class="dim">The files tell of no exporter.</td></tr>`}</tbody></table></div></section></div>`;
}

export function Profiles({ app }) {
	const { state } = app;
	const known = app.profiles;
	const [form, setForm] = useState();
	const allowed = !!app.status?.rights?.includes("profiles");
	const own = [...new Set(app.sources.map(s => s.profile))].filter(name => !known.some(p => nameOf(p) === name));
	return html`<div class="profiles">
		${allowed && !form && html`<p class="bar"><button type="button" class="primary" onClick=${() => setForm(empty(app))}>new profile</button></p>`}
		${form && html`<${ProfileForm} key=${form.name} app=${app} profile=${form} done=${() => { setForm(); app.refresh(); }} />`}
		${app.pending > 0 && html`<p class="starting" role="status"><progress /> ${full(app.pending)} files are still to be read for profiles, the newest first</p>`}
		<${Problem} error=${app.profilesError} />${app.profileProblems.map(p => html`<${Problem} error=${p} />`)}
		${own.map(name => html`<section class="card"><h2>${name === "." ? "all sources" : name} <${Link} page="overview" state=${state} change=${{ profile: name }}>overview</${Link}></h2>
			<p class="dim">by its directories: ${app.sources.filter(s => s.profile === name).map(s => s.name === "." ? "one source" : s.name).join(", ")}</p></section>`)}
		${known.map(p => html`<section class="card"><h2>${nameOf(p)} <span class="badge">${p.kind}</span> ${p.shadow && html`<span class="badge" title="no files of its own: the channels' filters are asked of live">shadow</span>`} ${app.sources.some(s => s.profile === nameOf(p) || s.profile.endsWith("/" + nameOf(p))) && html`<${Link} page="overview" state=${state} change=${{ profile: app.sources.find(s => s.profile === nameOf(p) || s.profile.endsWith("/" + nameOf(p))).profile }}>overview</${Link}>`}</h2>
			${p.description?.length > 0 && html`<p>${p.description.join(" ")}</p>`}
			${p.own && allowed && html`<${Tools} profile=${p} edit=${() => setForm(p)} changed=${app.refresh} />`}
			<p class="dim">${p.start ? stamp(p.start) : "all"} – ${p.kind === "history" ? stamp(p.end) : "now"}; ${p.status}${p.expire ? `; expires after ${p.expire} h` : ""}${p.maxsize ? `; at most ${size(p.maxsize)}` : ""}${p.own ? "" : `; ${size(p.size)}`}</p>
			<div class="scroll"><table class="list"><thead><tr><th>channel</th><th></th><th>sources</th><th>filter</th><th></th></tr></thead><tbody>${p.channels.map(c => html`<tr>
				<td><svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${c.colour || "#888"} /></svg>${c.name}</td><td>${c.sign === "-" ? "below" : "above"}</td><td>${c.sources?.join(", ") || "all"}</td>
				<td><code>${c.filter || "any"}</code>${c.problem && html`<${Problem} error=${c.problem} />`}</td>
				<td><${Link} page="explorer" state=${state} change=${explore(p, c, app.sources)}>explore</${Link}></td></tr>`)}</tbody></table></div></section>`)}
		${!known.length && html`<p class="dim">Profiles of NfSen are shown with <code>flowgraf web --profiles DIR</code>, its directory profiles-stat; they are made here by users with the right to it, <code>--users FILE --grant USER=profiles</code>.</p>`}</div>`;
}

export const nameOf = p => p.group && p.group !== "." ? `${p.group}/${p.name}` : p.name;

// explore returns what the explorer shows of a channel: its own files, or live's with the
// channel's filter.
function explore(profile, channel, sources) {
	const own = sources.find(s => s.profile.endsWith(nameOf(profile)) && s.name.split("/").pop() === channel.name);
	const range = profile.kind === "history" && profile.end > profile.start ? { range: String(profile.end - profile.start), end: String(profile.end) } : {};
	if (own && (profile.own || !profile.shadow)) return { ...range, source: [own.name], profile: own.profile };
	const from = sources.filter(s => /(^|\/)live$/.test(s.profile) && channel.sources?.includes(s.name.split("/").pop())).map(s => s.name);
	return { ...range, source: from, filter: channel.filter === "any" ? "" : channel.filter.replace(/\s+/g, " ") };
}

export { summary };
