// Numbers, times and colours as people read them.

// Colours that are told apart by the colour-blind too (after Okabe and Ito), for both themes.
export const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#a39200", "#6b4c9a",
	"#44aa99", "#aa4466", "#117733", "#882255"];
export const restColour = "#9aa0a6";

const steps = ["", "k", "M", "G", "T", "P", "E"];

// short returns a number with a prefix of a thousand: 1234567 is 1.23 M.
export function short(n, unit = "") {
	if (n === null || n === undefined || Number.isNaN(n)) return "–";
	let i = 0, v = Math.abs(n);
	while (v >= 999.5 && i < steps.length - 1) { v /= 1000; i++; }
	const digits = i === 0 && Number.isInteger(v) ? 0 : v >= 100 ? 0 : v >= 10 ? 1 : 2;
	const text = (n < 0 ? "−" : "") + v.toFixed(digits);
	return steps[i] || unit ? `${text} ${steps[i]}${unit}` : text;
}

export const full = n => n === null || n === undefined ? "–" : n.toLocaleString("en-US");

// size returns bytes in units of 1024.
export function size(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
	return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

export function duration(s) {
	if (s < 0.95) return `${Math.max(1, Math.round(s * 1000))} ms`;
	if (s < 120) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
	if (s < 7200) return `${Math.round(s / 60)} min`;
	if (s < 172800) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

// The units of graphs: which counter, how it becomes a rate, what it is called.
export const units = {
	bits: { counter: "bytes", factor: 8, rate: "bit/s", total: "B", title: "Traffic" },
	packets: { counter: "packets", factor: 1, rate: "p/s", total: "", title: "Packets" },
	flows: { counter: "flows", factor: 1, rate: "f/s", total: "", title: "Flows" },
};

// Time zones: the browser's, the collector's (a name, or a distance from UTC), UTC.
let zone = { kind: "browser", name: undefined, offset: 0 };
export function setZone(kind, status) {
	zone = { kind, offset: 0, name: undefined };
	if (kind === "utc") zone.name = "UTC";
	if (kind === "collector" && status) {
		if (status.zone && status.zone !== "Local") zone.name = status.zone;
		else { zone.name = "UTC"; zone.offset = status.offset; }
	}
	formats.clear();
}
export const zoneLabel = (kind, status) => kind === "utc" ? "UTC" : kind === "browser"
	? Intl.DateTimeFormat().resolvedOptions().timeZone : (status && status.zone) || "collector";

const formats = new Map();
function parts(t, options) {
	const key = JSON.stringify(options);
	let f = formats.get(key);
	if (!f) formats.set(key, f = new Intl.DateTimeFormat("en-CA", { ...options, hourCycle: "h23", timeZone: zone.name }));
	return f.format(new Date((t + zone.offset) * 1000)).replace(",", "");
}
const ymd = { year: "numeric", month: "2-digit", day: "2-digit" };
export const clock = t => parts(t, { hour: "2-digit", minute: "2-digit" });
export const date = t => parts(t, ymd);
export const stamp = t => parts(t, { ...ymd, hour: "2-digit", minute: "2-digit" });
export const exact = t => parts(t, { ...ymd, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const wall = (t, digits) => parts(t, { ...ymd, hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: digits });
const timeForm = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?$/;

// moved returns a time that the API has written in UTC in the zone that was chosen; other texts stay.
export function moved(text) {
	const m = timeForm.exec(text);
	if (!m) return text;
	const t = Date.parse(`${m[1]}T${m[2]}${m[3] ? "." + m[3] : ""}Z`) / 1000;
	return Number.isNaN(t) ? text : wall(t, m[3] ? m[3].length : undefined);
}

// typed and typedTime are what is typed as a time, in the zone that was chosen, and back: of an
// hour that is there twice the first, for one that is left out the hour behind it.
export const typed = t => t ? stamp(t).replace(" ", "T") : "";
export function typedTime(text) {
	const guess = Date.parse(text + "Z") / 1000;
	if (Number.isNaN(guess)) return 0;
	const ahead = t => Date.parse(typed(t) + "Z") / 1000 - t;
	const both = [guess - ahead(guess - 86400), guess - ahead(guess + 86400)];
	return both.find(t => typed(t) === text.slice(0, 16)) ?? both[0];
}
const monthDay = t => parts(t, { month: "short", day: "2-digit" });

// tick returns the label of a time axis, by how much the axis spans.
export function tick(t, span) {
	if (span <= 2 * 86400) {
		const c = clock(t);
		return c === "00:00" ? monthDay(t) : span <= 600 ? parts(t, { hour: "2-digit", minute: "2-digit", second: "2-digit" }) : c;
	}
	return span <= 100 * 86400 ? monthDay(t) : parts(t, { year: "numeric", month: "short" });
}

// summary returns what a table says of a line: its rates over the steps that files cover.
export function summary(rates) {
	const known = rates.filter(v => v !== null);
	if (!known.length) return { min: null, max: null, last: null, average: null, p95: null };
	const sorted = [...known].sort((a, b) => a - b);
	return {
		min: sorted[0], max: sorted[sorted.length - 1], last: known[known.length - 1],
		average: known.reduce((a, b) => a + b, 0) / known.length,
		p95: sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)],
	};
}

// ratesOf returns rates a second of counters, null where no file covers the step.
export const ratesOf = (counters, seconds, factor) => counters.map((v, i) => seconds[i] > 0 ? v * factor / seconds[i] : null);

// The names of protocols that are seen most.
const protocols = { 1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 41: "IPv6", 46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMP6", 88: "EIGRP", 89: "OSPF", 103: "PIM", 112: "VRRP", 115: "L2TP", 132: "SCTP" };
export const protocolName = n => protocols[n] || n;
