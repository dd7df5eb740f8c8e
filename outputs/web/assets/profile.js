// Making and changing profiles.
import { useState } from "./vendor.js";
import { html, Problem } from "./parts.js";
import { post } from "./api.js";
import { palette, typed, typedTime } from "./format.js";

const kinds = [["live", "live: all that there is, and what comes"], ["history", "history: from one time to another"], ["continuous", "continuous: from a time on"]];

const fresh = (app, i) => ({ name: "", filter: "", sources: [], colour: palette[i % palette.length], sign: "+", order: i + 1 });
export const empty = app => ({ name: "", kind: "live", description: [], start: app.now - 86400, end: app.now, channels: [fresh(app, 0)] });

// ProfileForm changes a profile; done is called when it has been kept, or is left as it is.
export function ProfileForm({ app, profile, done }) {
	const [p, setP] = useState(() => structuredClone(profile));
	const [error, setError] = useState();
	const [busy, setBusy] = useState(false);
	const real = app.sources.filter(s => !s.channel);
	const set = change => setP(old => ({ ...old, ...change }));
	const channel = (i, change) => set({ channels: p.channels.map((c, k) => k === i ? { ...c, ...change } : c) });
	const move = (i, by) => { const list = [...p.channels]; [list[i], list[i + by]] = [list[i + by], list[i]]; set({ channels: list }); };
	const toggle = (i, name) => { const c = p.channels[i]; channel(i, { sources: c.sources.includes(name) ? c.sources.filter(s => s !== name) : [...c.sources, name].sort() }); };
	const submit = async e => {
		e.preventDefault();
		setError();
		setBusy(true);
		try {
			const { name, kind, description, start, end } = p;
			await post("profile", { name, kind, description, start: kind === "live" ? 0 : start, end: kind === "history" ? end : 0,
				channels: p.channels.map((c, i) => ({ name: c.name, filter: c.filter, sources: c.sources, colour: c.colour, sign: c.sign, order: i + 1 })) });
			done(name);
		} catch (x) { setError(x); } finally { setBusy(false); }
	};
	return html`<form class="card profile-form" onSubmit=${submit}><h2>${profile.name ? `Profile ${profile.name}` : "A new profile"}</h2>
		<p class="bar"><label>name <input name="name" value=${p.name} disabled=${!!profile.name} required maxlength="60" onInput=${e => set({ name: e.target.value.trim() })} /></label>
			<label class="select">kind <select aria-label="kind" value=${p.kind} onChange=${e => set({ kind: e.target.value })}>${kinds.map(([v, text]) => html`<option value=${v}>${text}</option>`)}</select></label>
			${p.kind !== "live" && html`<label>from <input type="datetime-local" name="start" value=${typed(p.start)} onInput=${e => set({ start: typedTime(e.target.value) })} /></label>`}
			${p.kind === "history" && html`<label>to <input type="datetime-local" name="end" value=${typed(p.end)} onInput=${e => set({ end: typedTime(e.target.value) })} /></label>`}
			${p.kind !== "live" && html`<span class="dim">in ${app.zone}</span>`}</p>
		<label class="wide">description <input name="description" value=${p.description.join(" ")} maxlength="1000" onInput=${e => set({ description: e.target.value ? [e.target.value] : [] })} /></label>
		${p.channels.map((c, i) => html`<fieldset key=${i} class="channel"><legend>channel ${i + 1}</legend>
			<p class="bar"><label>name <input name="channel" value=${c.name} required maxlength="60" onInput=${e => channel(i, { name: e.target.value.trim() })} /></label>
				<label>colour <input type="color" aria-label="colour" value=${c.colour || "#888888"} onInput=${e => channel(i, { colour: e.target.value })} /></label>
				<label class="select">drawn <select aria-label="sign" value=${c.sign} onChange=${e => channel(i, { sign: e.target.value })}><option value="+">above</option><option value="-">below</option></select></label>
				<button type="button" aria-label="earlier" disabled=${i === 0} onClick=${() => move(i, -1)}>▲</button><button type="button" aria-label="later" disabled=${i === p.channels.length - 1} onClick=${() => move(i, 1)}>▼</button>
				<button type="button" disabled=${p.channels.length === 1} onClick=${() => set({ channels: p.channels.filter((_, k) => k !== i) })}>remove channel</button></p>
			<label class="wide">filter <input name="filter" class="code" value=${c.filter} placeholder="all flows" spellcheck=${false} onInput=${e => channel(i, { filter: e.target.value })} /></label>
			<p class="bar">sources: ${real.map(s => html`<label class="check"><input type="checkbox" checked=${c.sources.includes(s.name)} onChange=${() => toggle(i, s.name)} />${s.name === "." ? "all" : s.name}</label>`)} ${!c.sources.length && html`<span class="dim">all of live</span>`}</p></fieldset>`)}
		<p class="bar"><button type="button" onClick=${() => set({ channels: [...p.channels, fresh(app, p.channels.length)] })}>one more channel</button></p>
		<${Problem} error=${error} />
		<p class="bar"><button class="primary" disabled=${busy}>keep</button><button type="button" onClick=${() => done()}>leave as it was</button></p></form>`;
}

// Tools are what may be done with a profile that was made here.
export function Tools({ profile, edit, changed }) {
	const [sure, setSure] = useState(false);
	const [error, setError] = useState();
	const tell = async what => { setError(); setSure(false); try { await post(`profile/${what}`, { name: profile.name }); changed(); } catch (x) { setError(x); } };
	return html`<p class="bar"><button type="button" onClick=${edit}>edit</button><button type="button" title="read all of its files again" onClick=${() => tell("rebuild")}>rebuild</button>
		<button type="button" onClick=${() => setSure(true)}>remove</button>${sure && html`<span role="alert">Remove it? No flow is lost. <button type="button" class="primary" onClick=${() => tell("remove")}>yes, remove</button> <button type="button" onClick=${() => setSure(false)}>no</button></span>`}</p><${Problem} error=${error} />`;
}
