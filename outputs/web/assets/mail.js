// The pages of a relay: its alert rules, and the mails in its queue.
import { useEffect, useMemo, useReducer, useState } from "./vendor.js";
import { html, useGet, Problem, Choice } from "./parts.js";
import { Chart } from "./chart.js";
import { post } from "./api.js";
import { palette, short, full, size, duration, exact } from "./format.js";

// useTick counts every so many seconds, and when it is called.
function useTick(seconds) {
	const [n, more] = useReducer(x => x + 1, 0);
	useEffect(() => { const t = setInterval(more, seconds * 1000); return () => clearInterval(t); }, []);
	return [n, more];
}

const seconds = text => Date.parse(text) / 1000;
const when = text => text ? exact(seconds(text)) : "–";
const levels = { CRITICAL: "bad", WARNING: "warn", INFO: "info", OK: "good" };
const Level = ({ level }) => html`<span class="badge level ${levels[level] || ""}">${level}</span>`;
const colours = { CRITICAL: "#d55e00", WARNING: "#e69f00", INFO: "#56b4e9" };

// valueLines makes the lines of a rule's graph: its values, and the bounds of its levels.
function valueLines(rule) {
	const last = rule.values[rule.values.length - 1].minute, first = Math.max(rule.values[0].minute, last - 4 * 3600);
	const span = { from: first, to: last + 60 }, n = Math.max(1, Math.round((span.to - span.from) / 60));
	const most = new Array(n).fill(null), least = new Array(n).fill(null);
	for (const v of rule.values) { const i = Math.round((v.minute - first) / 60); if (i >= 0) { most[i] = v.most; least[i] = v.least; } }
	const lines = [{ name: `${rule.field}, most`, colour: palette[0], rates: most }];
	if (least.some((v, i) => v !== most[i])) lines.push({ name: `${rule.field}, least`, colour: palette[2], rates: least });
	for (const b of rule.bounds || []) lines.push({ name: `${b.level}: ${b.value}`, colour: colours[b.level] || "#888", dashed: true, rates: new Array(n).fill(b.value) });
	return { span, lines };
}

function Rule({ rule }) {
	const graph = useMemo(() => rule.values?.length ? valueLines(rule) : undefined, [rule]);
	const worst = rule.active?.[0]?.level || "OK";
	return html`<section class="card rule" data-rule=${rule.name}><h2>${rule.name} <${Level} level=${worst} /> ${rule.active?.length > 0 && html`<small class="dim">${full(rule.active.length)} not OK</small>`}</h2>
		<dl class="facts">${[["where", rule.where], ["crit", rule.crit], ["warn", rule.warn], ["info", rule.info]].filter(([, text]) => text).map(([name, text]) =>
			html`<div><dt>${name}</dt><dd><code>${text}</code></dd></div>`)}<div><dt>to</dt><dd>${rule.to.join(", ")}</dd></div></dl>
		${graph ? html`<${Chart} label=${`${rule.field} of ${rule.name}`} span=${graph.span} step=${60} unit="" kind="lines" lines=${graph.lines} />
			<p class="legend">${graph.lines.map(l => html`<span><svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${l.colour} /></svg>${l.name}</span>`)}</p>`
		: html`<p class="dim">${rule.field ? `No metric with the field ${rule.field} has come yet.` : "Its conditions look at no field, so there is no graph."}</p>`}
		${rule.active?.length > 0 && html`<div class="scroll"><table class="list"><caption>not OK</caption><thead><tr><th>level</th><th>id</th><th>since</th><th>worst</th><th>last metric</th></tr></thead>
			<tbody>${rule.active.map(c => html`<tr><td><${Level} level=${c.level} /></td><td>${c.id}</td><td>${when(c.since)}</td><td>${c.peak}</td><td>${when(c.time)}</td></tr>`)}</tbody></table></div>`}
		${rule.events?.length > 0 && html`<details><summary>last ${rule.events.length} events</summary><div class="scroll"><table class="list events"><thead><tr><th>time</th><th>level</th><th>what was told</th></tr></thead>
			<tbody>${rule.events.map(c => html`<tr><td>${when(c.time)}</td><td><${Level} level=${c.level} /> ${c.stale && html`<span class="dim">no metric came</span>`}</td><td>${c.text || c.id}</td></tr>`)}</tbody></table></div></details>`}</section>`;
}

export function Alerts() {
	const [turn] = useTick(5);
	const { data, error } = useGet("alerts", {}, turn);
	return html`<div class="alerts"><${Problem} error=${error} />
		${data?.alerts.map(r => html`<${Rule} key=${r.name} rule=${r} />`)}
		${data && !data.alerts.length && html`<p class="empty">The agent has no alert rules: <code>[[outputs.smtp_relay.alert]]</code> in its configuration makes one.</p>`}</div>`;
}

const orders = { waiting: ["retry", "hold", "bounce", "remove"], delivering: ["hold"], held: ["release", "bounce", "remove"], failed: ["retry", "remove"] };

function Mail({ id, mail, allowed, onOrder }) {
	const { data, error } = useGet("mail", { id }, mail.state + mail.attempts);
	const [sure, setSure] = useState();
	return html`<div class="mail"><${Problem} error=${error} />
		${allowed && html`<p class="bar">${(orders[mail.state] || []).map(o => html`<button type="button" onClick=${() => o === "remove" || o === "bounce" ? setSure(o) : onOrder(o, id)}>${o}</button>`)}
			${sure && html`<span role="alert">${sure === "remove" ? "Delete it, without a word to the sender?" : "Give it back to its sender?"} <button type="button" class="primary" onClick=${() => { setSure(); onOrder(sure, id); }}>yes, ${sure}</button> <button type="button" onClick=${() => setSure()}>no</button></span>`}</p>`}
		${data && html`<div class="scroll"><table class="list"><thead><tr><th>recipient</th><th>state</th><th>last answer</th><th></th></tr></thead><tbody>
			${data.to.map(r => html`<tr><td>${r.address}</td><td>${r.state}</td><td class="wrap">${r.answer || "–"}</td><td>${r.time && !r.time.startsWith("0001") ? when(r.time) : ""}</td></tr>`)}</tbody></table></div>
			${data.waits?.map(w => html`<p class="dim">${w.host}: ${w.why}${w.until ? `; asked again at ${when(w.until)}` : ""}</p>`)}
			${data.message ? html`<pre class="message">${data.message}</pre>` : html`<p class="dim">What it says is shown to users with the right to it (<code>--grant USER=mail</code>).</p>`}`}</div>`;
}

export function Mails({ app }) {
	const { state, go } = app;
	const [turn, again] = useTick(5);
	const [problem, setProblem] = useState();
	const [done, setDone] = useState();
	const { data, error } = useGet("mails", { failed: state.failed }, turn);
	const allowed = !!app.status?.rights?.includes("mail");
	const order = async (command, id) => {
		setProblem();
		try { await post("mail", { command, id }); setDone(`${command}: ${id}`); } catch (e) { setProblem(e); }
		again();
	};
	return html`<div class="mails"><p class="bar"><${Choice} label="which mails" value=${state.failed || "false"} onChange=${v => go({ failed: v === "true" ? "true" : "", mail: "" })} options=${[["false", "waiting"], ["true", "failed"]]} />
			${data && html`<span class="dim">${full(data.count)} mails${data.count > data.mails.length ? `, the oldest ${full(data.mails.length)} are shown` : ""}</span>`}
			${done && html`<span role="status">${done}</span>`}${!allowed && html`<span class="badge" title="changes are for users with the right mail">read-only</span>`}</p>
		<${Problem} error=${error} /><${Problem} error=${problem} />${data?.problems.map(p => html`<${Problem} error=${p} />`)}
		${data && (data.mails.length ? html`<section><div class="scroll"><table class="list queue"><thead><tr><th>received</th><th>state</th><th>from</th><th>to</th><th class="n">size</th><th class="n">tries</th><th>next try</th><th>why it waits</th></tr></thead><tbody>
			${data.mails.map(m => html`<tr key=${m.id} data-id=${m.id}><td><button type="button" class="plain" aria-expanded=${state.mail === m.id} onClick=${() => go({ mail: state.mail === m.id ? "" : m.id })}>${when(m.received)}</button></td>
				<td><span class="badge ${m.state === "failed" ? "level bad" : m.state === "held" ? "warn" : ""}">${m.state}</span>${m.critical && html` <span class="badge level bad">critical</span>`}</td><td>${m.from || "<>"}</td>
				<td>${m.to.slice(0, 3).map(r => r.address).join(", ")}${m.to.length > 3 ? ` and ${m.to.length - 3} more` : ""}</td><td class="n">${size(m.size)}</td><td class="n">${m.attempts || 0}</td>
				<td>${m.asking ? `asking ${m.asking}` : m.due ? `in ${duration(Math.max(0, seconds(m.due) - app.now))}` : "–"}</td><td class="wrap">${m.waits?.map(w => `${w.host}: ${w.why}`).join("; ") || m.to.find(r => r.answer)?.answer || ""}</td></tr>
				${state.mail === m.id && html`<tr class="sub"><td colspan="8"><${Mail} id=${m.id} mail=${m} allowed=${allowed} onOrder=${order} /></td></tr>`}`)}</tbody></table></div></section>`
		: html`<p class="empty">${state.failed ? "No mail has failed." : "No mail waits."}</p>`)}</div>`;
}
