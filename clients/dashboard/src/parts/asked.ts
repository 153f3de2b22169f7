/**
 * What is asked of a page stands in its address, so that a reload, a link that is passed on and the way back find it
 * again. Rule: what is typed takes the place of what was typed before; what is opened is a step that can be gone back.
 */
import { useState } from "react";
import { useLocation } from "wouter";
import { useSearch } from "wouter/use-browser-location";
import { withAsked } from "../places";

const addressNow = () => location.pathname + location.search;

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
  return [useTold(name), (value) => go(withAsked(addressNow(), name, value))];
}
