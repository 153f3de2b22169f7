/**
 * What is asked of a page stands in its address, so that a reload, a link that is passed on and the way back find it
 * again. Rule: what is typed takes the place of what was typed before; what is opened is a step that can be gone back.
 * What of it no address can hold is kept in the browser's entry of the page.
 */
import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useHistoryState, useSearch } from "wouter/use-browser-location";
import { withAsked } from "../places";

/** How long a list must rest before it is kept how far it was gone down: a browser takes only so many entries in a moment. */
const RESTED_MS = 150;

/** Of each list by its name the cursors of the pages that were gone through, and how far down a list of its own was scrolled. */
interface Kept { pages?: Record<string, { of: string; cursors: (string | null)[] }>; top?: number }

export const addressNow = () => location.pathname + location.search;

/** What is kept in the entry that the browser is at. */
export function useKept(): Kept {
  return useHistoryState<Kept | null>() ?? {};
}

/** The browser's own reading: the router's decodes once more, and makes another text of `50%25`. */
function useTold(name: string): string {
  return new URLSearchParams(useSearch()).get(name) ?? "";
}

/** What is typed by this name; "" is nothing. It stands as typed also where the browser does not take so many addresses. */
export function useTyped(name: string): [string, (value: string) => void] {
  const told = useTold(name);
  const [typed, setTyped] = useState({ text: told, told });
  if (typed.told !== told) setTyped({ text: told, told });
  return [typed.told === told ? typed.text : told, (text) => {
    setTyped((before) => ({ ...before, text }));
    try {
      history.replaceState(history.state, "", withAsked(addressNow(), name, text));
    } catch {
      // A browser takes only so many in a moment; the next key writes all of it.
    }
  }];
}

/** What is open by this name; "" is nothing. */
export function useOpened(name: string): [string, (value: string) => void] {
  const [, go] = useLocation();
  return [useTold(name), (value) => go(withAsked(addressNow(), name, value), { state: history.state })];
}

/** How far down a list of its own was scrolled when its page was left by a link or a reload, and what keeps that. */
export function useTop(): { top: number; onScroll: (list: { scrollTop: number }) => void } {
  const kept = useKept();
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return {
    top: kept.top ?? 0,
    onScroll: ({ scrollTop: top }) => {
      clearTimeout(timer.current);
      timer.current = window.setTimeout(() => {
        try {
          history.replaceState({ ...(history.state as Kept | null), top }, "");
        } catch {
          // The next rest is kept.
        }
      }, RESTED_MS);
    },
  };
}
