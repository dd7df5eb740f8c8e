// The box for filters: nfdump's language, checked and completed while one types.
import { h, htm, useEffect, useRef, useState } from "./vendor.js";
import { get } from "./api.js";
const html = htm.bind(h);

let editor; // CodeMirror and what is made of it, when somebody has asked for it
const loadEditor = () => editor ||= import("./codemirror.js").then(m => ({ ...m, language: m.StreamLanguage.define(tokens), style: styleOf(m) }),
	error => { editor = undefined; throw error; });

const tokens = {
	token(stream) {
		if (stream.eatSpace()) return null;
		if (stream.match(/^#.*/)) return "comment";
		if (stream.match(/^(['"]).*?\1/)) return "string";
		if (stream.match(/^(and|or|not)\b|^(&&|\|\||!)/i)) return "operator";
		if (stream.match(/^(src|dst|in|out|ingress|egress)\b/i)) return "modifier";
		if (stream.match(/^[0-9a-f]*[.:][0-9a-f.:]*(\/\d+)?/i) || stream.match(/^\d+[kmgt]?\b/i)) return "number";
		if (stream.match(/^[a-z][\w.-]*/i)) return "keyword";
		stream.next();
		return null;
	},
};
const styleOf = ({ HighlightStyle, tags }) => HighlightStyle.define([
	{ tag: tags.comment, class: "cm-c" }, { tag: tags.string, class: "cm-s" }, { tag: tags.operator, class: "cm-o" },
	{ tag: tags.modifier, class: "cm-m" }, { tag: tags.number, class: "cm-n" }, { tag: tags.keyword, class: "cm-k" },
]);

// marks returns where a mistake is, for the editor.
export function marks(doc, result) {
	if (result.ok) return [];
	const line = doc.line(Math.min(Math.max(result.line || 1, 1), doc.lines));
	const from = Math.min(line.to, line.from + Math.max(0, (result.column || 1) - 1));
	const to = Math.min(line.to, from + Math.max(1, result.width || 1));
	return [{ from: Math.min(from, to), to: Math.max(from, to), severity: "error",
		message: result.message + (result.suggestion ? `\n${result.suggestion}` : "") }];
}

async function complete(context) {
	const before = context.state.doc.sliceString(0, context.pos);
	if (!context.explicit && !/[\w.-]$/.test(before)) return null;
	let words;
	try { ({ words } = await get("complete", { filter: before })); } catch { return null; } // as while the server is away
	const begun = /[\w.-]*$/.exec(before)[0];
	return { from: context.pos - begun.length, validFor: /^[\w.-]*$/,
		options: words.map(w => ({ label: w.text, detail: w.what, type: w.what === "field" ? "property" : "keyword" })) };
}

// Filter is the box: a plain one until the editor has been loaded, which goes on with its text.
// onCheck is told whether the text is a filter, onRun is called by Ctrl-Enter.
export function Filter({ value, onChange, onCheck, onRun, label = "filter" }) {
	const at = useRef(), view = useRef(), calls = useRef({});
	const plain = useRef(), now = useRef(value);
	const [ready, setReady] = useState();
	calls.current = { onChange, onCheck, onRun };
	now.current = value;
	useEffect(() => {
		let gone = false;
		loadEditor().then(m => { if (!gone) setReady(m); }, () => {}); // the plain box stays
		return () => { gone = true; };
	}, []);
	useEffect(() => {
		if (!ready) return undefined;
		const { EditorView, EditorState, keymap, placeholder, autocompletion, completionKeymap, closeBrackets, defaultKeymap,
			history, historyKeymap, linter, syntaxHighlighting, bracketMatching, drawSelection, Prec, startCompletion, language, style } = ready;
		const nonce = document.querySelector("meta[name=nonce]").content;
		const check = async v => {
			const text = v.state.doc.toString();
			try {
				const result = await get("filter", { filter: text });
				calls.current.onCheck?.(result);
				return v.state.doc.toString() === text ? marks(v.state.doc, result) : [];
			} catch { return []; }
		};
		const box = plain.current, text = now.current;
		const selection = box === document.activeElement ? { anchor: Math.min(box.selectionStart, text.length) } : undefined;
		box.hidden = true;
		view.current = new EditorView({
			parent: at.current,
			state: EditorState.create({ doc: text, selection, extensions: [
				EditorView.cspNonce.of(nonce),
				Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => { calls.current.onRun?.(); return true; } },
					{ key: "Ctrl-Space", run: startCompletion }])),
				history(), drawSelection(), bracketMatching(), closeBrackets(), EditorView.lineWrapping,
				language, syntaxHighlighting(style), placeholder("any flow — as: src net 10.0.0.0/8 and dst port 443"),
				autocompletion({ override: [complete] }), linter(check, { delay: 300 }),
				keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
				EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
				EditorView.updateListener.of(u => { if (u.docChanged) calls.current.onChange(u.state.doc.toString()); }),
			] }),
		});
		if (selection) view.current.focus();
		return () => view.current.destroy();
	}, [ready]);
	useEffect(() => { // another filter: from the list of saved ones, or by the back button
		const v = view.current;
		if (v && v.state.doc.toString() !== value) {
			v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: value }, selection: { anchor: value.length } });
		}
	}, [value]);
	return html`<div class="filter" ref=${at}><textarea ref=${plain} aria-label=${label} spellcheck="false" rows="4" value=${value} onInput=${e => onChange(e.target.value)}
		onKeyDown=${e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); onRun?.(); } }}></textarea></div>`;
}
