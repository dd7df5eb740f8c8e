// The state of the page is its address, behind the #: #/explorer?v=1&range=86400&filter=…
// Version 1. What is not in it has the value of defaults.

export const version = "1";
export const defaults = {
	range: "86400", end: "", profile: "", source: [], protocol: "any", unit: "bits", filter: "", by: "", lines: "10",
	peak: "", chart: "stacked", scale: "linear", previous: "", sel: "", tab: "statistics", stat: "srcip", order: "bytes",
	top: "10", sum: "rate", sort: "", both: "", rows: "", column: [], offset: "0", limit: "100", address: "", tz: "", failed: "", mail: "", speed: "",
};
const pages = ["overview", "explorer", "host", "exporters", "profiles", "alerts", "mail"];

// parse reads an address. What it does not know is left out; what is wrong has the default.
export function parse(hash) {
	const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
	const page = pages.includes(path) ? path : "overview";
	const state = structuredClone(defaults);
	const form = new URLSearchParams(query);
	const wrong = form.has("v") && form.get("v") !== version;
	for (const key of Object.keys(defaults)) {
		if (!form.has(key) || wrong) continue;
		state[key] = Array.isArray(defaults[key]) ? form.getAll(key) : form.get(key);
	}
	for (const key of ["range", "lines", "top", "offset", "limit"]) {
		if (!/^\d{1,10}$/.test(state[key]) || (key === "range" && state[key] === "0")) state[key] = defaults[key];
	}
	if (!/^\d*$/.test(state.end)) state.end = "";
	if (!/^(\d+-\d+)?$/.test(state.sel)) state.sel = "";
	return { page, ...state, wrong };
}

// format writes an address.
export function format(page, state) {
	const form = new URLSearchParams();
	form.set("v", version);
	for (const [key, usual] of Object.entries(defaults)) {
		const value = state[key];
		if (Array.isArray(usual)) (value || []).forEach(v => form.append(key, v));
		else if (value !== undefined && value !== usual) form.set(key, value);
	}
	return `#/${page}?${form}`;
}

// spanOf returns the span of time that a state is about, by the collector's clock.
export function spanOf(state, now, step = 1) {
	const range = Number(state.range);
	const to = state.end ? Number(state.end) : Math.ceil(now / step) * step;
	return { from: Math.max(0, to - range), to, live: !state.end };
}

// selection returns the slot or the window that is chosen, nothing without one.
export function selection(state) {
	if (!state.sel) return undefined;
	const [from, to] = state.sel.split("-").map(Number);
	return from < to ? { from, to } : undefined;
}
