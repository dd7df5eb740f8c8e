// Parts that several pages have.
import { h, htm, useEffect, useRef, useState, useCallback, useLayoutEffect } from "./vendor.js";
import { get } from "./api.js";
import { full, short, size, duration, stamp } from "./format.js";
import { format, defaults } from "./state.js";
export const html = htm.bind(h);

// useGet asks the API, again when fields or turn change; what is shown stays until the answer
// has come.
export function useGet(name, fields, turn = 0, on = true) {
	const [state, set] = useState({ data: undefined, error: undefined });
	const key = JSON.stringify(fields);
	useEffect(() => {
		if (!on) return undefined;
		const abort = new AbortController();
		get(name, fields, abort.signal).then(data => set({ data, error: undefined, key }),
			error => { if (error.name !== "AbortError") set(s => ({ data: s.data, error, key: s.key })); });
		return () => abort.abort();
	}, [name, key, turn, on]);
	return { ...state, stale: state.key !== key };
}

// Problem shows an error.
export const Problem = ({ error }) => error ? html`<p class="problem" role="alert">${error.message || error}</p>` : null;

// Link leads to a page, with the span of time that is shown.
export function Link({ page, state, change, children, class: className }) {
	const kept = { ...defaults };
	for (const k of ["range", "end", "profile", "source", "tz", "unit"]) kept[k] = state[k];
	return html`<a class=${className} href=${format(page, { ...kept, ...change })}>${children}</a>`;
}

// Choice is a row of buttons of which one is pressed.
export const Choice = ({ value, options, onChange, label }) => html`<span class="choice" role="group" aria-label=${label}>
	${options.map(o => { const [v, text] = Array.isArray(o) ? o : [o, o];
		return html`<button type="button" aria-pressed=${value === v ? "true" : "false"} data-value=${v} onClick=${() => onChange(v)}>${text}</button>`; })}</span>`;

export const Select = ({ value, options, onChange, label }) => html`<label class="select"><span>${label}</span>
	<select aria-label=${label} value=${value} onChange=${e => onChange(e.target.value)}>
	${options.map(o => { const [v, text] = Array.isArray(o) ? o : [o, o]; return html`<option value=${v}>${text}</option>`; })}</select></label>`;

// Copy shows a text that is to be copied.
export function Copy({ text }) {
	const [done, set] = useState(false);
	const copy = async () => {
		try { await navigator.clipboard.writeText(text); } catch { // without TLS browsers have no clipboard
			const range = document.createRange();
			range.selectNodeContents(document.querySelector(".command code"));
			getSelection().removeAllRanges();
			getSelection().addRange(range);
			document.execCommand("copy");
		}
		set(true);
		setTimeout(() => set(false), 1500);
	};
	return html`<div class="command"><code>${text}</code><button type="button" onClick=${copy}>${done ? "copied" : "copy"}</button></div>`;
}

const addressForm = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7})$/i;

// Address is an address that can be asked about.
export function Address({ text, state, onFilter, status }) {
	const [open, set] = useState(false);
	const box = useRef();
	const names = useGet("name", { address: text }, 0, open && !!status?.names);
	useEffect(() => {
		if (!open) return undefined;
		const close = e => { if (e.key === "Escape" || (e.type === "pointerdown" && !box.current?.contains(e.target))) set(false); };
		document.addEventListener("pointerdown", close);
		document.addEventListener("keydown", close);
		return () => { document.removeEventListener("pointerdown", close); document.removeEventListener("keydown", close); };
	}, [open]);
	if (!addressForm.test(text)) return text;
	return html`<span class="address" ref=${box}><button type="button" class="plain" aria-expanded=${open} onClick=${() => set(!open)}>${text}</button>
		${open && html`<span class="menu" role="menu">
			<b>${text}</b>
			${status?.names && html`<span>${names.error ? names.error.message : names.data ? names.data.names.join(", ") || "no name" : "…"}</span>`}
			<${Link} page="host" state=${state} change=${{ address: text }}>host page</${Link}>
			${onFilter && html`<button type="button" onClick=${() => { set(false); onFilter(`ip ${text}`); }}>only this</button>
			<button type="button" onClick=${() => { set(false); onFilter(`not ip ${text}`); }}>not this</button>`}
		</span>`}</span>`;
}

const rowHeight = 26;

// Rows is a table of any length: only what can be seen of it is in the page.
export function Rows({ headings, rows, cell, sortable = {}, sort, onSort, height = 520, numeric = [] }) {
	const [top, set] = useState(0);
	const at = useRef();
	useLayoutEffect(() => { if (at.current) at.current.scrollTop = 0; set(0); }, [rows]);
	const first = Math.max(0, Math.floor(top / rowHeight) - 8);
	const shown = rows.slice(first, first + Math.ceil(height / rowHeight) + 16);
	const scroll = useCallback(e => set(e.target.scrollTop), []);
	return html`<div class="rows" ref=${at} onScroll=${scroll} tabindex="0" data-rows=${rows.length}><table>
		<thead><tr>${headings.map((name, i) => html`<th class=${numeric.includes(i) ? "n" : ""} aria-sort=${sort?.startsWith(sortable[i]) ? "descending" : undefined}>
			${sortable[i] ? html`<button type="button" class="plain" onClick=${() => onSort(sortable[i])}>${name}${sort?.startsWith(sortable[i]) ? " ↓" : ""}</button>` : name}</th>`)}</tr></thead>
		<tbody>${first > 0 && html`<tr class="space" aria-hidden="true"><td colspan=${headings.length}><svg width="1" height=${first * rowHeight}></svg></td></tr>`}
		${shown.map(row => html`<tr>${row.map((v, i) => html`<td class=${numeric.includes(i) ? "n" : ""}>${cell ? cell(v, i, row) : v}</td>`)}</tr>`)}
		${first + shown.length < rows.length && html`<tr class="space" aria-hidden="true"><td colspan=${headings.length}><svg width="1" height=${(rows.length - first - shown.length) * rowHeight}></svg></td></tr>`}
		</tbody></table></div>`;
}

const classes = ["any", "tcp", "udp", "icmp", "other"];

// useFit says whether the table in an element has room as it is, and what to call the element.
function useFit(...of) {
	const box = useRef(), need = useRef(0);
	const [fits, set] = useState(true);
	useLayoutEffect(() => {
		const e = box.current;
		if (!e) return undefined;
		const look = () => {
			const width = e.firstElementChild.scrollWidth;
			if (!fits) { if (e.clientWidth >= need.current) set(true); return; }
			if (width > e.clientWidth) { need.current = width; set(false); }
		};
		look();
		const watch = new ResizeObserver(look);
		watch.observe(e);
		return () => watch.disconnect();
	}, [fits, ...of]);
	return [fits, box];
}

// Statistics is NfSen's table: sources by protocol, as sums or per second. Where that is too wide
// protocols are rows.
export function Statistics({ data, how, onHow, off = new Set(), onToggle, colours = {} }) {
	const [wide, setWide] = useState(true);
	const [fits, box] = useFit(data, how, wide);
	if (!data) return html`<p class="dim">…</p>`;
	const counters = [["flows", how === "sum" ? "" : "/s"], ["packets", how === "sum" ? "" : "/s"], ["bytes", how === "sum" ? "B" : "bit/s"]];
	const all = wide ? classes.map((_, c) => c) : [0], across = fits ? all : [0], head = fits ? 2 : 1;
	const value = (row, counter, c) => {
		const v = row.counters[c][counter];
		if (!row.seconds) return "–";
		return how === "sum" ? short(v) : short(v * (counter === "bytes" ? 8 : 1) / row.seconds);
	};
	const cells = (r, list) => counters.map(([counter]) => list.map(c => html`<td class="n" title=${full(r.counters[c][counter])}>${value(r, counter, c)}</td>`));
	const name = (r, total) => !total && onToggle ? html`<label><input type="checkbox" checked=${!off.has(r.name)} onChange=${() => onToggle(r.name)} />
		<svg class="dot" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill=${colours[r.name] || "#888"} /></svg>${r.name === "." ? "all" : r.name}</label>` : r.name;
	const kind = total => total ? "total" : "";
	const rows = (r, total) => fits ? html`<tr class=${kind(total)}><th scope="row">${name(r, total)}</th>${cells(r, all)}<td class="n">${short(r.failures)}</td><td class="n">${full(r.files)}</td></tr>`
		: html`<tr class="group ${kind(total)}"><th scope="rowgroup" colspan="4">${name(r, total)} <span class="dim">${r.failures ? `lost ${short(r.failures)}, ` : ""}${full(r.files)} ${r.files === 1 ? "file" : "files"}</span></th></tr>
			${all.map(c => html`<tr class=${kind(total)}><th scope="row">${classes[c]}</th>${cells(r, [c])}</tr>`)}`;
	return html`<div class="statistics"><p class="bar"><${Choice} label="sum or rate" value=${how} options=${[["sum", "Sum"], ["rate", "Rate"]]} onChange=${onHow} />
		<button type="button" onClick=${() => setWide(!wide)}>${wide ? "all protocols together" : "by protocol"}</button>
		<span class="dim"> ${stamp(data.from)} – ${stamp(data.to)}</span></p>
		<div class="scroll" ref=${box}><table data-across=${across.length}><thead><tr><th rowspan=${head}>${fits ? "source" : ""}</th>${counters.map(([counter, unit]) => html`<th class=${fits ? "" : "n"} colspan=${across.length}>${counter === "bytes" ? "traffic" : counter} <span class="unit">${unit}</span></th>`)}
			${fits && html`<th rowspan="2">lost</th><th rowspan="2">files</th>`}</tr>
			${fits && html`<tr>${counters.map(() => across.map(c => html`<th class="n">${classes[c]}</th>`))}</tr>`}</thead>
		<tbody>${data.rows.map(r => rows(r, false))}${rows(data.total, true)}</tbody></table></div></div>`;
}

// CostLine says what a scan costs, or has cost.
export const CostLine = ({ cost }) => cost ? html`<span class="cost">${full(cost.files)} files, ${size(cost.bytes)}, about ${duration(cost.seconds)}${cost.expired > 0 && html` <span class="badge warn" title="of their time sums are known, but no flows: they are gaps here">${full(cost.expired)} files have expired</span>`}</span>` : null;
