/**
 * Live membership changes and counts: one stream for the whole page, resumed by the browser after the last event it had,
 * and opened anew when the browser has given it up, or when it is silent for so long that it must be dead; but not when
 * the page's key may not have it. Rule: who shows a number learns whether the stream is open, so that an old number is
 * never shown as a live one; and a tab that nobody looks at has none, because a browser opens six connections to a server
 * that speaks HTTP/1.1, for all tabs together, and a seventh tab would wait for good.
 */
import { useEffect, useSyncExternalStore } from "react";
import { API, isLoggedOut, refusalOf, type Problem } from "./api";

export interface LiveChange {
  segment_id: string; segment_version: number; contact_id: string; change: "enter" | "exit"; at_ms: number; cause: string;
  event_id: string;
}
/** `refused`: the page's key may not have the stream, so that asking again changes nothing. */
export type Link = "connecting" | "live" | "waiting" | "refused";
type Listener = () => void;

const counts = new Map<string, number>();
const watchers = new Map<string, Set<Listener>>();
const readers = new Set<(change: LiveChange) => void>();
const linkWatchers = new Set<Listener>();
/** How many of the readers miss what comes while nobody looks. */
let recorders = 0;
let link: Link = "connecting";
/** Why the stream was refused for good; null when it was not. */
let refusal: Problem | null = null;

const FORBIDDEN = 403;
/** How long to wait before a stream that was not given is opened again; twice as long after each refusal. */
const REOPEN_MS = 1_000;
const REOPEN_MS_MAX = 30_000;
/** Longer than the console is ever silent: it tells that it is there every 15 s when there is nothing else to tell. */
const SILENCE_MS_MAX = 35_000;
/** A page is drawn once for all changes that arrive so close together: a new segment may bring thousands a second. */
const TOGETHER_MS = 250;

function setLink(next: Link, why: Problem | null = null): void {
  link = next;
  refusal = why;
  linkWatchers.forEach((tell) => tell());
}

/**
 * Keep the stream open; the answer closes it. `onMissed` is called when changes may have been missed, so that what is
 * shown must be read again: the stream tells a count only when it changes, and what it said before a break may be old for
 * good. `onLoggedOut` is called when there is no session any more.
 */
export function follow(onMissed: () => void, onLoggedOut: () => void): () => void {
  let source: EventSource | undefined;
  let isBroken = false;
  let isClosed = false;
  let isResting = false;
  let looks = 0;
  let wait = REOPEN_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  setLink("connecting");

  const missed = () => {
    forgetCounts();
    onMissed();
  };
  const broken = () => {
    isBroken = true;
    forgetCounts();
    setLink("waiting");
  };
  // A connection can be gone without a word, and the browser would wait for it for good.
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      source?.close();
      broken();
      void reopen();
    }, SILENCE_MS_MAX);
  };
  const open = () => {
    const opened = (source = new EventSource(`${API}/events`));
    heard();
    for (const name of ["hello", "alive", "restart", "change", "counts"]) opened.addEventListener(name, heard);
    opened.addEventListener("hello", () => {
      if (isBroken) missed();
      isBroken = false;
      wait = REOPEN_MS;
      setLink("live");
    });
    opened.onerror = () => {
      heard();
      broken();
      // After an answer other than 200 the browser does not try again.
      if (opened.readyState === EventSource.CLOSED) void reopen();
    };
    opened.addEventListener("restart", missed);
    opened.addEventListener("change", takeChange);
    opened.addEventListener("counts", takeCounts);
  };
  const reopen = async () => {
    clearTimeout(silence);
    const mine = looks;
    const why = await refusalOf("/events");
    if (isClosed || mine !== looks) return;
    if (isLoggedOut(why)) {
      onLoggedOut();
      return;
    }
    if (why?.status === FORBIDDEN) {
      setLink("refused", why);
      return;
    }
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, REOPEN_MS_MAX);
  };

  const look = () => {
    const isWanted = document.visibilityState !== "hidden" || recorders > 0;
    if (isWanted === !isResting) return;
    isResting = !isWanted;
    looks++;
    if (isWanted) {
      open();
      return;
    }
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
    broken();
  };

  document.addEventListener("visibilitychange", look);
  look();
  if (!isResting) open();
  return () => {
    isClosed = true;
    document.removeEventListener("visibilitychange", look);
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
    forgetCounts();
  };
}

function takeChange(event: MessageEvent<string>): void {
  const change = JSON.parse(event.data) as LiveChange;
  readers.forEach((tell) => tell(change));
}

function takeCounts(event: MessageEvent<string>): void {
  const told = JSON.parse(event.data) as Record<string, number>;
  for (const [id, members] of Object.entries(told)) {
    counts.set(id, members);
    tellWatchers(id);
  }
}

function tellWatchers(id: string): void {
  watchers.get(id)?.forEach((tell) => tell());
}

/** What was read counts again, until the stream says more. */
function forgetCounts(): void {
  const told = [...counts.keys()];
  counts.clear();
  told.forEach(tellWatchers);
}

/** A segment's newest count: what the stream said last, else what was read. */
export function useCount(id: string, read: number | null): number | null {
  const live = useSyncExternalStore((tell) => watchCount(id, tell), () => counts.get(id));
  return live ?? read;
}

/** Be told whenever the stream's count of a segment is another one; the answer ends that. */
export function watchCount(id: string, tell: Listener): () => void {
  const set = watchers.get(id) ?? new Set<Listener>();
  watchers.set(id, set.add(tell));
  return () => void set.delete(tell);
}

export function newestCount(id: string, read: number | null): number | null {
  return counts.get(id) ?? read;
}

export function linkNow(): Link {
  return link;
}

export function refusalNow(): Problem | null {
  return refusal;
}

function watchLink(tell: Listener): () => void {
  linkWatchers.add(tell);
  return () => linkWatchers.delete(tell);
}

export function useLink(): Link {
  return useSyncExternalStore(watchLink, linkNow);
}

export function useRefusal(): Problem | null {
  return useSyncExternalStore(watchLink, refusalNow);
}

/**
 * Be told every change while the component is shown, those of a moment together, as they came. `take` must be stable.
 * `isRecorder`: also while nobody looks at the tab. Others read again what they show when somebody does.
 */
export function useChangesTogether(take: (changes: readonly LiveChange[]) => void, isRecorder = false): void {
  useEffect(() => {
    const { add, end } = gather(take);
    readers.add(add);
    if (isRecorder) recorders++;
    return () => {
      readers.delete(add);
      if (isRecorder) recorders--;
      end();
    };
  }, [take, isRecorder]);
}

/** Hand over what was added a moment after the first of it; what is not handed over at the end is not. */
export function gather(take: (changes: readonly LiveChange[]) => void): { add: (change: LiveChange) => void; end: () => void } {
  let waiting: LiveChange[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const handOver = () => {
    timer = undefined;
    const arrived = waiting;
    waiting = [];
    take(arrived);
  };
  return {
    add: (change) => {
      waiting.push(change);
      timer ??= setTimeout(handOver, TOGETHER_MS);
    },
    end: () => clearTimeout(timer),
  };
}
