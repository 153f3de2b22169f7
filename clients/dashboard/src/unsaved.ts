/**
 * What a page holds that is saved nowhere, and the question before it is lost: by a link, through the history, by leaving
 * the tab. Rule: whoever goes somewhere else asks here first; where nothing would be lost, nothing is asked.
 */
import { useEffect, useSyncExternalStore } from "react";

/** What would be lost, in words. */
interface Unsaved { says: string; letTabGo: () => void }
/** A way away from what is not saved. */
export interface Question { says: string; go: () => void }
type Listener = () => void;

const watchers = new Set<Listener>();
const unsaved = new Set<Unsaved>();
let question: Question | null = null;
/** The page that is shown, with what the browser keeps of it. */
let here = { href: "", state: null as unknown };

/** Hold what stands on this page until it is let go of; the answer does that. */
export function keep(says: string): () => void {
  const held = { says, letTabGo: holdTab() };
  arrive();
  unsaved.add(held);
  return () => release([held]);
}

/** All of it is saved, or shall not be. */
export function letGo(): void {
  release([...unsaved]);
}

/** A question is asked no longer once nothing is held, unless something is held in other words at once. */
function release(those: Unsaved[]): void {
  for (const held of those) {
    unsaved.delete(held);
    held.letTabGo();
  }
  queueMicrotask(() => { if (unsaved.size === 0 && question !== null) ask(null); });
}

/** Have the browser ask before the tab is closed, until the answer is called. It asks in its own words and shows no others. */
export function holdTab(): () => void {
  const hold = (event: Event) => event.preventDefault();
  addEventListener("beforeunload", hold);
  return () => removeEventListener("beforeunload", hold);
}

/** Go, at once where nothing would be lost, else once a person has said so. */
export function leaving(go: () => void): void {
  if (unsaved.size === 0) go();
  else ask({ says: [...unsaved].map(({ says }) => says).join(" "), go });
}

/** Go to an address, which loses nothing when it is that of the page already. */
export function leavingFor(address: string, go: () => void): void {
  if (isSamePage(address, location.href)) go();
  else leaving(go);
}

/** Whether two addresses show the same: what is open in a page stands behind its path. */
function isSamePage(one: string, other: string): boolean {
  const [a, b] = [new URL(one, location.href), new URL(other, location.href)];
  return a.pathname === b.pathname && a.search === b.search;
}

/**
 * Ask also before the browser goes back or forward, which no page can prevent: the address is put back before anything
 * hears that it was another one. To be called before whatever else listens to the history.
 */
export function guardHistory(): void {
  arrive();
  // What the router tells after it has changed the address, which no browser tells by itself.
  for (const name of ["pushState", "replaceState"]) addEventListener(name, arrive);
  addEventListener("popstate", (event) => {
    if (unsaved.size === 0 || isSamePage(here.href, location.href)) {
      arrive();
      return;
    }
    event.stopImmediatePropagation();
    history.pushState(here.state, "", here.href);
    leaving(() => history.back());
  }, true);
}

function arrive(): void {
  here = { href: location.href, state: history.state };
}

/** Answer a question that is still asked. */
export function answer(asked: Question, isLeft: boolean): void {
  if (question !== asked) return;
  if (isLeft) letGo();
  ask(null);
  if (isLeft) asked.go();
}

export function questionNow(): Question | null {
  return question;
}

function ask(next: Question | null): void {
  question = next;
  watchers.forEach((tell) => tell());
}

/** The question that is asked now. */
export function useQuestion(): Question | null {
  return useSyncExternalStore((tell) => {
    watchers.add(tell);
    return () => watchers.delete(tell);
  }, questionNow);
}

/** Hold what would be lost while the component is shown; "" is nothing. */
export function useUnsaved(says: string): void {
  useEffect(() => (says === "" ? undefined : keep(says)), [says]);
}
