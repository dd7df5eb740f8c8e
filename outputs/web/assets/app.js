// The page: its state is the address, what it shows comes from the API.
import { render, useEffect, useMemo, useReducer, useRef, useState, useCallback } from "./vendor.js";
import { html, useGet, Problem, Choice } from "./parts.js";
import { get, post } from "./api.js";
import { parse, format } from "./state.js";
import { setZone, zoneLabel, size, full } from "./format.js";
import { Overview, Host, Exporters, Profiles, nameOf } from "./pages.js";
import { Explorer } from "./explorer.js";
import { Alerts, Mails } from "./mail.js";

const pages = { overview: ["Overview", Overview], explorer: ["Explorer", Explorer], host: ["Hosts", Host], exporters: ["Exporters", Exporters], profiles: ["Profiles", Profiles],
	alerts: ["Alerts", Alerts], mail: ["Mail", Mails] };
const ofRelay = new Set(["alerts", "mail"]); // shown with a relay only
const setting = (name, usual) => { try { return localStorage.getItem("flowgraf-" + name) || usual; } catch { return usual; } };
const store = (name, value) => { try { localStorage.setItem("flowgraf-" + name, value); } catch { /* a private window */ } };

function useTheme() {
	const [theme, set] = useState(setting("theme", "auto"));
	useEffect(() => {
		document.documentElement.dataset.theme = theme;
		store("theme", theme);
		window.dispatchEvent(new Event("flowgraf-theme"));
		const media = matchMedia("(prefers-color-scheme: dark)");
		const change = () => window.dispatchEvent(new Event("flowgraf-theme"));
		media.addEventListener("change", change);
		return () => media.removeEventListener("change", change);
	}, [theme]);
	return [theme, set];
}

// useLive counts the changes of the archive, and tells whether the server can be reached. A stream that
// the browser has given up, as one that was refused, is asked for again; refused is called then.
function useLive(on, refused) {
	const [turn, more] = useReducer(n => n + 1, 0);
	const [reached, setReached] = useState(true);
	useEffect(() => {
		if (!on) return undefined;
		let events, last, timer;
		const connect = () => {
			events = new EventSource("api/v1/events");
			events.addEventListener("change", e => { if (last !== undefined && last !== e.data) more(); last = e.data; });
			events.onopen = () => { setReached(true); more(); };
			events.onerror = () => {
				setReached(false);
				if (events.readyState === EventSource.CLOSED) { timer = setTimeout(connect, 3000); refused(); }
			};
		};
		connect();
		return () => { clearTimeout(timer); events.close(); };
	}, [on]);
	return { turn, reached };
}

function Login({ onDone }) {
	const [error, set] = useState();
	const [busy, setBusy] = useState(false);
	const submit = async e => {
		e.preventDefault();
		const form = new FormData(e.target);
		setBusy(true);
		try { await post("login", { name: form.get("name"), password: form.get("password") }); onDone(); } catch (x) { set(x); } finally { setBusy(false); }
	};
	return html`<main class="login"><form class="card" onSubmit=${submit}><h1>flowgraf</h1>
		<label>name <input name="name" autocomplete="username" required autofocus /></label>
		<label>password <input name="password" type="password" autocomplete="current-password" required /></label>
		<${Problem} error=${error} /><button class="primary" disabled=${busy}>log in</button></form></main>`;
}

// Loading says how far the server has come with the archive.
const Loading = ({ status }) => html`<p class="starting" role="status">${status.reading > 0
	? html`<progress max=${status.toread} value=${status.toread - status.reading} /> reading the statistics of ${full(status.toread)} files: ${full(status.reading)} to go, the newest are shown first`
	: html`<progress /> looking for files: ${full(status.found)} so far`}</p>`;

function App() {
	const [state, setState] = useState(() => parse(location.hash));
	const [theme, setTheme] = useTheme();
	const [asked, ask] = useReducer(n => n + 1, 0);
	const { data: status, error } = useGet("status", {}, asked);
	const known = !!status?.known;
	const last = useRef(); // what was told to a user: his page stays, unseen, when his session ends, with what he has typed
	const left = useRef(false); // he has logged out: nothing stays
	if (known) last.current = status;
	else if (left.current) { last.current = undefined; left.current = false; }
	const { turn, reached } = useLive(known, ask);
	useEffect(() => { if (turn) ask(); }, [turn]);
	useEffect(() => { if (known) window.dispatchEvent(new Event("flowgraf-known")); }, [status]);
	const [clockTurn, tick] = useReducer(n => n + 1, 0);
	useEffect(() => {
		const back = () => setState(parse(location.hash));
		window.addEventListener("hashchange", back);
		window.addEventListener("popstate", back);
		window.addEventListener("flowgraf-login", ask);
		const timer = setInterval(tick, 30000);
		return () => { window.removeEventListener("hashchange", back); window.removeEventListener("popstate", back); window.removeEventListener("flowgraf-login", ask); clearInterval(timer); };
	}, []);
	useEffect(() => { if (known && !status.ready) { const t = setTimeout(ask, 400); return () => clearTimeout(t); } return undefined; }, [status]);
	const go = useCallback(change => {
		const now = parse(location.hash);
		const hash = format(now.page, { ...now, ...change });
		if (hash !== location.hash) history.pushState(null, "", hash);
		setState(parse(hash));
	}, []);
	const tz = state.tz || setting("tz", "browser");
	setZone(tz, last.current);
	const sources = useGet("sources", {}, turn, known);
	const words = useGet("words", {}, 0, known);
	const [changed, refresh] = useReducer(n => n + 1, 0);
	const profiles = useGet("profiles", {}, turn + changed, known);
	const skew = useRef(0);
	const seen = useRef(), clock = useRef(0);
	if (known && status !== seen.current) { seen.current = status; skew.current = status.now - Date.now() / 1000; }
	const now = useMemo(() => { if (known || !clock.current) clock.current = Math.floor(Date.now() / 1000 + skew.current); return clock.current; }, [turn, clockTurn, known, state]);
	const list = sources.data || [], onDisk = list.filter(s => !s.channel);
	const profileNames = useMemo(() => [...new Set(list.map(s => s.profile))], [list]);
	const profileName = state.profile || profileNames.find(p => /(^|\/)live$/.test(p)) || (list[0] && list[0].profile) || "";
	const profile = (profiles.data?.profiles || []).find(p => nameOf(p) === profileName || profileName.endsWith("/" + nameOf(p)));
	const app = {
		state, go, status: last.current, turn, now, zone: zoneLabel(tz, last.current), collectorZone: zoneLabel("collector", last.current), sources: list, asked: !!sources.data, settled: !!sources.data && (!!status?.ready || list.length > 0), words: words.data, profile, profileName, profileNames, profiles: profiles.data?.profiles || [],
		pending: profiles.data?.pending || 0, refresh, profileProblems: profiles.data?.problems || [], profilesError: profiles.error,
		interval: Math.max(1, ...list.filter(s => s.profile === profileName).map(s => s.interval)),
		signs: () => Object.fromEntries((profile?.channels || []).map(c => [(list.find(s => s.profile === profileName && s.name.split("/").pop() === c.name) || {}).name, c.sign])),
	};
	if (error && !status) return html`<main class="login"><${Problem} error=${"The server cannot be reached: " + error.message} /><button type="button" onClick=${ask}>try again</button></main>`;
	if (!status) return html`<header><a class="brand" href=${format("overview", {})}><img src="assets/icon.svg" alt="" width="22" height="22" />flowgraf</a>
		${firstNav && html`<nav aria-label="pages">${firstNav.map(([href, title]) => html`<a href=${href}>${title}</a>`)}</nav>`}</header><main class="first"><p class="loading">…</p></main>`;
	const login = !known && (status.login ? html`<${Login} onDone=${ask} />` : html`<main class="login"><${Problem} error="Your proxy has not said who you are." /></main>`);
	if (!last.current) return login;
	return html`${login}<div hidden=${!known}><${Shell} app=${app} tz=${tz} theme=${theme} setTheme=${setTheme} reached=${reached} sources=${sources} files=${onDisk}
		leave=${async () => { await post("logout", {}); left.current = true; ask(); }} /></div>`;
}

// Shell is the page with its head and foot.
function Shell({ app, tz, theme, setTheme, reached, sources, files, leave }) {
	const { state, go, status, turn } = app;
	const [, Page] = pages[state.page];
	const keep = p => format(p, { range: state.range, end: state.end, profile: state.profile, source: state.source, unit: state.unit, tz: state.tz, ...(p === state.page ? state : {}) });
	return html`<header><a class="skip" href="#main" onClick=${e => { e.preventDefault(); document.querySelector("main").focus(); }}>to the content</a>
		<a class="brand" href=${format("overview", {})}><img src="assets/icon.svg" alt="" width="22" height="22" />flowgraf</a>
		<nav aria-label="pages">${Object.entries(pages).filter(([p]) => status.relay || !ofRelay.has(p)).map(([p, [title]]) => html`<a href=${keep(p)} aria-current=${p === state.page ? "page" : undefined}>${title}</a>`)}</nav>
		<span class="tools">${!reached && html`<span class="badge warn" role="status">not connected</span>`}
			${app.profileNames.length > 1 && html`<select aria-label="profile" value=${app.profileName} onChange=${e => go({ profile: e.target.value, source: [] })}>${app.profileNames.map(p => html`<option value=${p}>${p}</option>`)}</select>`}
			<select aria-label="time zone" title=${zoneLabel(tz, status)} value=${tz} onChange=${e => { store("tz", e.target.value); go({ tz: e.target.value }); }}><option value="browser">browser's time</option><option value="collector">collector's time</option><option value="utc">UTC</option></select>
			<select aria-label="theme" value=${theme} onChange=${e => setTheme(e.target.value)}><option value="auto">auto</option><option value="light">light</option><option value="dark">dark</option></select>
			${status.user && html`<span class="dim">${status.user}</span>`}
			${status.login && status.user && html`<button type="button" onClick=${leave}>log out</button>`}</span></header>
		<main id="main" tabindex="-1" data-page=${state.page} data-turn=${turn}>
			${state.wrong && html`<p class="problem" role="alert">This address is of another version of the page: what it asked for is not known here.</p>`}
			${!status.ready && html`<${Loading} status=${status} />`}
			<${Problem} error=${status.problem ? `Not all of the archive can be read: ${status.problem}` : sources.error} />
			<${Page} app=${app} /></main>
		<footer class="dim">${status.archive} · ${full(files.reduce((n, s) => n + s.files, 0))} files, ${size(files.reduce((n, s) => n + s.bytes, 0))} · times in ${zoneLabel(tz, status)} · flowgraf ${status.version} · <a href="api/v1/openapi.json">API</a></footer>`;
}

// What the first head had, for who is known to the server: it stays until the status has come.
const firstNav = document.querySelector("#app nav") && [...document.querySelectorAll("#app nav a")].map(a => [a.getAttribute("href"), a.textContent]);
const root = document.getElementById("app");
root.replaceChildren(); // the head that stood there until now
render(html`<${App} />`, root);
