/**
 * A segment's condition while it is edited: as text, as a tree, and as the API reads it.
 * Rule: the form that was edited last leads and the other follows once the API has read it; an answer to an older draft
 * is dropped.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { insist } from "../again";
import { ask, Problem, type Fault, type Preview, type Readings } from "../api";
import { isBlank, named, treeOf, whereOf, type Group } from "../query";

const VALIDATE_AFTER_MS = 120;
const PREVIEW_AFTER_MS = 180;
/** After this long an answer about the contacts counted so far is better than none. */
const PATIENCE_MS = 600;
/** Each such answer costs a count, so that they become rarer while the contacts are read. */
const PATIENCE_MS_MAX = 4_000;
const EMPTY: Group = named({ combinator: "and", rules: [{ field: "", operator: "is", value: "" }] });

export interface Draft {
  text: string; tree: Group; readings: Readings | null; faults: readonly Fault[]; unfinished: boolean;
  /** The form that was edited last. */
  leads: "text" | "tree";
  /** Whether the readings and faults are of what stands here: they follow an edit by a moment. */
  checked: boolean;
  preview: Preview | null; previewing: boolean; trouble: unknown;
}

/**
 * Whether what stands here would be missed, had it only been `before`, which is null where there was nothing. Another
 * spelling of the same condition would not.
 */
export function isEdited({ text, tree, leads, checked, readings }: Draft, before: string | null): boolean {
  if (before === null) return text.trim() !== "" || !isBlank(tree);
  if (checked && readings) return readings.text !== before;
  return leads === "tree" || text !== before;
}

/** The draft of a condition that begins as `begun`. */
export function useDraft(id: string | null, begun: string) {
  const [draft, setDraft] = useState<Draft>({
    text: begun, tree: EMPTY, leads: "text", readings: null, faults: [], unfinished: begun === "", checked: false, preview: null, previewing: false, trouble: null,
  });
  const shown = useRef(draft.tree);
  shown.current = draft.tree;
  const round = useRef(0);
  const timer = useRef(0);
  const asking = useRef<AbortController | null>(null);
  const again = useRef(() => {});

  const check = useCallback((where: unknown, source: "text" | "tree", after: number) => {
    const mine = ++round.current;
    clearTimeout(timer.current);
    asking.current?.abort();
    const asked = (asking.current = new AbortController());
    again.current = () => check(where, source, 0);
    setDraft((before) => ({ ...before, checked: false, trouble: null }));
    const post = <T>(path: string, json: object) => insist(
      () => ask<T>(path, { method: "POST", json, signal: asked.signal }),
      () => mine !== round.current,
      // A count of what stood here before would be read as that of what stands here now.
      (trouble) => setDraft((before) => ({ ...before, trouble, preview: null })),
    );
    timer.current = window.setTimeout(() => void (async () => {
      try {
        const json = id === null ? { where } : { where, id };
        const readings = await post<Readings>("/segments/validate", json);
        if (mine !== round.current) return;
        setDraft((before) => ({
          ...before, readings, faults: [], unfinished: false, checked: true, previewing: true, trouble: null,
          ...(source === "text" ? { tree: treeOf(readings.where) } : { text: readings.text }),
        }));
        await new Promise((resolve) => setTimeout(resolve, PREVIEW_AFTER_MS));
        if (mine !== round.current) return;
        for (let isWhole = false, patience = PATIENCE_MS; !isWhole && mine === round.current; patience = Math.min(patience * 2, PATIENCE_MS_MAX)) {
          const preview = await post<Preview>(`/segments/preview?within_ms=${patience}`, { ...json, where: readings.where });
          isWhole = preview.complete;
          if (mine === round.current) setDraft((before) => ({ ...before, preview, previewing: false, trouble: null }));
        }
      } catch (error) {
        if (mine !== round.current || asked.signal.aborted) return;
        const refused = error instanceof Problem && error.errors.length > 0;
        setDraft((before) => ({
          ...before, readings: refused ? null : before.readings, checked: refused || before.checked, preview: null, previewing: false,
          faults: refused ? error.errors : [], trouble: refused ? null : error,
        }));
      }
    })(), after);
  }, [id]);

  const setText = useCallback((text: string, after = VALIDATE_AFTER_MS) => {
    const unfinished = text.trim() === "";
    setDraft((before) => ({ ...before, text, leads: "text", unfinished, ...(unfinished ? { tree: EMPTY, readings: null, faults: [], checked: false, preview: null, trouble: null } : {}) }));
    if (unfinished) round.current++;
    else check(text, "text", after);
  }, [check]);

  const setTree = useCallback((tree: Group) => {
    const where = whereOf(tree);
    // The builder also reports what only names its own parts; that is no edit.
    if (JSON.stringify(where) === JSON.stringify(whereOf(shown.current))) {
      setDraft((before) => ({ ...before, tree }));
      return;
    }
    setDraft((before) => ({ ...before, tree, leads: "tree", unfinished: where === null, checked: false, faults: where === null ? [] : before.faults }));
    if (where === null) round.current++;
    else check(where, "tree", VALIDATE_AFTER_MS);
  }, [check]);

  useEffect(() => () => {
    clearTimeout(timer.current);
    asking.current?.abort();
  }, []);

  return { draft, setText, setTree, again: () => again.current() };
}
