/** Going through the pages of a list by cursors. Rule: the first page is the newest and stays live; the others stand still. */
import { useState } from "react";

export interface Pages { after: string | null; number: number; go: (next: string | null) => void; back: () => void }

/** `of` is what the list is asked for: another list begins at its first page. */
export function usePages(of = ""): Pages {
  const [gone, setGone] = useState<{ of: string; cursors: (string | null)[] }>({ of, cursors: [null] });
  const cursors = gone.of === of ? gone.cursors : [null];
  return {
    after: cursors[cursors.length - 1] ?? null,
    number: cursors.length,
    go: (next) => setGone({ of, cursors: [...cursors, next] }),
    back: () => { if (cursors.length > 1) setGone({ of, cursors: cursors.slice(0, -1) }); },
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
