// The API: see api/v1/openapi.json.

export class Failure extends Error {
	constructor(status, body) {
		super(body.error || `the server answered ${status}`);
		this.status = status;
		this.field = body.field;
		this.filter = body.filter;
	}
}

// address returns the address of a request; fields that are empty are left out.
export function address(name, fields = {}) {
	const form = new URLSearchParams();
	for (const [key, value] of Object.entries(fields)) {
		for (const v of Array.isArray(value) ? value : [value]) {
			if (v !== "" && v !== undefined && v !== null) form.append(key, v);
		}
	}
	const query = form.toString();
	return `api/v1/${name}${query ? "?" + query : ""}`;
}

async function check(response) {
	if (response.ok) return response;
	let body = {};
	try { body = await response.json(); } catch { /* the answer of a proxy */ }
	throw new Failure(response.status, body);
}

// loggedIn waits until the user is known, as the page tells.
const loggedIn = signal => new Promise((done, fail) => {
	window.addEventListener("flowgraf-known", done, { once: true });
	signal?.addEventListener("abort", () => fail(signal.reason), { once: true });
});

// ask asks, and once more when who asks has logged in again: his session has ended.
async function ask(url, options) {
	for (;;) {
		const response = await fetch(url, { credentials: "same-origin", ...options });
		if (response.status !== 401) return check(response);
		window.dispatchEvent(new Event("flowgraf-login"));
		await loggedIn(options.signal);
	}
}

export async function get(name, fields, signal) {
	return (await ask(address(name, fields), { signal })).json();
}

export async function post(name, body) {
	const response = await fetch(address(name), { method: "POST", headers: { "Content-Type": "application/json" },
		body: JSON.stringify(body), credentials: "same-origin" });
	if (!response.ok) {
		if (response.status === 401 && name !== "login") window.dispatchEvent(new Event("flowgraf-login"));
		let answer = {};
		try { answer = await response.json(); } catch { /* as above */ }
		throw new Failure(response.status, answer);
	}
	return response.json();
}

// query asks a question and calls on with each event: cost, progress, partial, answer. It
// returns the answer.
export async function query(fields, on, signal) {
	const response = await ask(address("query", fields), { signal, headers: { Accept: "text/event-stream" } });
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "", answer;
	for (;;) {
		const { value, done } = await reader.read();
		if (done) break;
		rest += value;
		let at;
		while ((at = rest.indexOf("\n\n")) >= 0) {
			const event = /^event: (\w+)\ndata: (.*)$/s.exec(rest.slice(0, at));
			rest = rest.slice(at + 2);
			if (!event) continue;
			const data = JSON.parse(event[2]);
			if (event[1] === "failure") throw new Failure(0, data);
			if (event[1] === "answer") answer = data;
			on(event[1], data);
		}
	}
	if (!answer) throw new Failure(0, { error: "the connection ended before the answer" });
	return answer;
}
