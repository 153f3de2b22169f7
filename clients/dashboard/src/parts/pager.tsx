/**
 * Going through the pages of a list by cursors. Rule: the first page is the newest and stays live; the others stand still,
 * are steps that can be gone back, and are found again by a reload. A link that is passed on begins at the first one.
 */
import { useLocation } from "wouter";
import { addressNow, useKept } from "./asked";

export interface Pages { after: string | null; number: number; go: (next: string | null) => void; back: () => void }

/** `of` is what the list by this name is asked for: another list begins at its first page. */
export function usePages(name: string, of = ""): Pages {
  const kept = useKept();
  const [, open] = useLocation();
  const gone = kept.pages?.[name];
  const cursors = gone?.of === of ? gone.cursors : [null];
  const turn = (to: (string | null)[]) => open(addressNow(), { state: { ...kept, pages: { ...kept.pages, [name]: { of, cursors: to } } } });
  return {
    after: cursors[cursors.length - 1] ?? null,
    number: cursors.length,
    go: (next) => turn([...cursors, next]),
    back: () => { if (cursors.length > 1) turn(cursors.slice(0, -1)); },
  };
}

/** `names` are what the ways back and on are called: lists by time go to older ones, lists by name to later ones. */
export function Pager({ pages, next, of, names = ["Newer", "Older"] }: { pages: Pages; next: string | null; of: string; names?: readonly [string, string] }) {
  if (pages.number === 1 && !next) return null;
  return (
    <p className="pager">
      <button type="button" aria-label={`${names[0]} ${of}`} disabled={pages.number === 1} onClick={pages.back}>{names[0]}</button>
      <button type="button" aria-label={`${names[1]} ${of}`} disabled={!next} onClick={() => pages.go(next)}>{names[1]}</button>
      <span className="hint">page {pages.number}</span>
    </p>
  );
}
