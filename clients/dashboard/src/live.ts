/**
 * Live membership changes and counts: one stream for the whole page, resumed by the browser after the last event it had.
 * Rule: who shows a number learns whether the stream is open, so that an old number is never shown as a live one.
 */
import { useEffect, useSyncExternalStore } from "react";
import { API } from "./api";

export interface LiveChange {
  segment_id: string; segment_version: number; contact_id: string; change: "enter" | "exit"; at_ms: number; cause: string;
  event_id: string;
}
export type Link = "connecting" | "live" | "waiting";
type Listener = () => void;

const counts = new Map<string, number>();
const watchers = new Map<string, Set<Listener>>();
const readers = new Set<(change: LiveChange) => void>();
const linkWatchers = new Set<Listener>();
let link: Link = "connecting";

function setLink(next: Link): void {
  link = next;
  linkWatchers.forEach((tell) => tell());
}

/** Open the stream; the answer closes it. `onRestart` is called when so much was missed that lists must be read again. */
export function follow(onRestart: () => void): () => void {
  const source = new EventSource(`${API}/events`);
  source.addEventListener("hello", () => setLink("live"));
  source.onerror = () => setLink("waiting");
  source.addEventListener("restart", onRestart);
  source.addEventListener("change", (event) => {
    const change = JSON.parse((event as MessageEvent<string>).data) as LiveChange;
    readers.forEach((tell) => tell(change));
  });
  source.addEventListener("counts", (event) => {
    const told = JSON.parse((event as MessageEvent<string>).data) as Record<string, number>;
    for (const [id, members] of Object.entries(told)) {
      counts.set(id, members);
      watchers.get(id)?.forEach((tell) => tell());
    }
  });
  return () => {
    source.close();
    counts.clear();
  };
}

/** A segment's newest count: what the stream said last, else what was read. */
export function useCount(id: string, read: number | null): number | null {
  const live = useSyncExternalStore(
    (tell) => {
      const set = watchers.get(id) ?? new Set<Listener>();
      watchers.set(id, set.add(tell));
      return () => set.delete(tell);
    },
    () => counts.get(id),
  );
  return live ?? read;
}

export function newestCount(id: string, read: number | null): number | null {
  return counts.get(id) ?? read;
}

export function useLink(): Link {
  return useSyncExternalStore(
    (tell) => {
      linkWatchers.add(tell);
      return () => linkWatchers.delete(tell);
    },
    () => link,
  );
}

/** Be told every change while the component is shown. `take` must be stable. */
export function useChanges(take: (change: LiveChange) => void): void {
  useEffect(() => {
    readers.add(take);
    return () => void readers.delete(take);
  }, [take]);
}
