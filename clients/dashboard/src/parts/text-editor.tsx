/**
 * The text form with completion and underlined errors.
 * Rule: it lives in a shadow root, where CodeMirror uses constructed style sheets: the content security policy allows no
 * style elements. Spans are counted in code points by the API and in UTF-16 units by the editor.
 */
import { autocompletion, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import type { AttributeSeen, Fault } from "../api";

const WORDS = new Set(
  ("and or not is exactly in between contains starts ends with does has any all none of within last next more less than ago from now " +
    "the past future before after on segment set exists exist missing including excluding version true false").split(" "),
);
const PHRASES = [
  "AND", "OR", "NOT", "is", "is not", "is set", "is not set", "in [", "not in [", "contains", "starts with", "ends with", "between",
  "has any of [", "has all of [", "has none of [", "within last 7 days", "within next 3 days", "more than 30 days ago", "in the past",
  "in the future", "before", "after", "is true", "is false", "excluding missing", "including missing", "in segment", "not in segment",
];

const language = StreamLanguage.define({
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match(/^"(\\.|[^"\\])*"?|^'(\\.|[^'\\])*'?/)) return "string";
    if (stream.match(/^`[^`]*`?/)) return "propertyName";
    if (stream.match(/^-?\d[\w.:-]*/)) return "number";
    const word = stream.match(/^[A-Za-z_][A-Za-z0-9_.-]*/);
    if (word && typeof word === "object") return WORDS.has(word[0].toLowerCase()) ? "keyword" : "propertyName";
    stream.next();
    return "operator";
  },
});

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: tags.string, color: "var(--text-literal)" },
  { tag: tags.number, color: "var(--number-literal)" },
  { tag: tags.operator, color: "var(--muted)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--panel)", fontSize: "14px", borderRadius: "6px", border: "1px solid var(--edge)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-1px" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "10px 6px", minHeight: "112px", lineHeight: "1.6", caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-placeholder": { color: "var(--muted)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected) !important" },
  ".cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--ink)", border: "1px solid var(--edge)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad) 1px", textUnderlineOffset: "3px" },
  ".cm-diagnostic": { borderLeft: "3px solid var(--bad)", fontFamily: "var(--sans)", fontSize: "13px" },
});

export interface TextEditorProps {
  text: string; faults: readonly Fault[]; attributes: readonly AttributeSeen[]; segments: readonly string[];
  onText: (text: string) => void; onSave: () => void;
}

export default function TextEditor(props: TextEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const newest = useRef(props);
  newest.current = props;

  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open", delegatesFocus: true });
    const editor = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: newest.current.text,
        extensions: [
          history(),
          keymap.of([
            { key: "Mod-s", preventDefault: true, run: () => (newest.current.onSave(), true) },
            ...completionKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap,
          ]),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": "Condition as text", spellcheck: "false" }),
          placeholder("plan is Pro AND last_active within last 7 days"),
          language,
          syntaxHighlighting(colours),
          autocompletion({ override: [(context) => completions(context, newest.current)], icons: false }),
          theme,
          EditorView.updateListener.of((update) => {
            if (update.docChanged && update.transactions.some((each) => each.isUserEvent("input") || each.isUserEvent("delete") || each.isUserEvent("undo") || each.isUserEvent("redo") || each.isUserEvent("move"))) {
              newest.current.onText(update.state.doc.toString());
            }
          }),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === props.text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: props.text } });
  }, [props.text]);

  useEffect(() => {
    const editor = view.current;
    if (editor) editor.dispatch(setDiagnostics(editor.state, diagnostics(props.faults, editor.state.doc.toString())));
  }, [props.faults, props.text]);

  return <div ref={host} className="text-editor" />;
}

function diagnostics(faults: readonly Fault[], text: string): Diagnostic[] {
  return faults.flatMap((fault) => {
    if (!fault.span) return [];
    const from = Math.min(units(text, fault.span.offset), Math.max(0, text.length - 1));
    const to = Math.min(text.length, Math.max(from + 1, units(text, fault.span.offset + fault.span.length)));
    return [{ from, to, severity: "error" as const, message: fault.hint ? `${fault.message} — ${fault.hint}` : fault.message }];
  });
}

/** Where a number of code points ends, in UTF-16 units. */
export function units(text: string, points: number): number {
  let at = 0;
  for (let passed = 0; passed < points && at < text.length; passed++) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

function completions(context: CompletionContext, { attributes, segments }: TextEditorProps): CompletionResult | null {
  const word = context.matchBefore(/[\w.-]*/);
  if (!word || (word.from === word.to && !context.explicit)) return null;
  const before = context.state.sliceDoc(0, word.from);
  if (/in\s+segment\s+$/i.test(before)) return { from: word.from, options: segments.map((label) => ({ label, type: "constant" })) };
  const compared = /([A-Za-z_][\w.]*)\s+(?:is|is not|=|!=|not in \[|in \[)\s*(?:[^\]]*,\s*)?$/i.exec(before);
  const values = attributes.find((each) => each.name === compared?.[1])?.values ?? [];
  if (values.length > 0) return { from: word.from, options: values.map((value) => ({ label: JSON.stringify(value), detail: "seen" })) };
  return {
    from: word.from,
    options: [
      ...attributes.map(({ name, types }) => ({ label: /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name) ? name : `\`${name}\``, detail: types.join(", "), boost: 2 })),
      ...PHRASES.map((label) => ({ label })),
    ],
  };
}
