import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { SWRConfig } from "swr";
import { expect, test, vi } from "vitest";
import { Router } from "wouter";
import { contactPath, Problem, type Contact, type Explanation } from "../api";
import { ContactPage } from "./contact";

vi.stubGlobal("location", new URL("http://console.example/contacts/u_17"));
const CONTACT: Contact = { id: "u_17", attributes: {}, memberships: [{ segment_id: "pro", since: "2026-01-01T00:00:00Z" }], next_deadline: null, as_of: null };
const EXPLAIN = `${contactPath("u_17")}/explain?segment=pro`;

/** The cell of a membership that says until when, with what is known of its explanation. */
function until(data: Partial<Explanation> | undefined, error?: Problem): string {
  const known = (path: string, read: unknown, failed?: Problem) => [path, { data: read, error: failed, isLoading: false, isValidating: false, _k: path }] as const;
  const provider = () => new Map([known(contactPath("u_17"), CONTACT), known(EXPLAIN, data, error)]);
  const page = renderToString(createElement(Router, { ssrPath: "/", children: createElement(SWRConfig, { value: { provider } }, createElement(ContactPage, { id: "u_17" })) }));
  return /aria-label="Memberships".*?<tbody>.*?<td.*?<td>(.*?)<\/td>/.exec(page)![1]!.replaceAll(/<[^>]*>/g, "");
}

test("until when a membership holds is said, waited for, or said not to be known", () => {
  expect(until(undefined)).toBe("…");
  expect(until({ until_ms: null })).toBe("for good");
  expect(until({ until_ms: Date.now() + 90_000, state: "paused" })).toBe("it is resumed");
  expect(until(undefined, new Problem(500, "failed", "it broke", "", []))).toBe("could not be read");
  expect(until({ until_ms: null }, new Problem(503, "away", "it is away", "", []))).toBe("for good");
});

test("of very many memberships the first are drawn, and it is said how many more there are", () => {
  const memberships = Array.from({ length: 1_234 }, (_, n) => ({ segment_id: `s_${n}`, since: "2026-01-01T00:00:00Z" }));
  const path = contactPath("u_17");
  const provider = () => new Map([[path, { data: { ...CONTACT, memberships }, isLoading: false, isValidating: false, _k: path }]]);
  const page = renderToString(createElement(Router, { ssrPath: "/", children: createElement(SWRConfig, { value: { provider } }, createElement(ContactPage, { id: "u_17" })) })).replaceAll("<!-- -->", "");
  expect(page.match(/aria-label="Why in /g)).toHaveLength(100);
  expect(page).toContain("In 1,234 segments");
  expect(page).toContain("Show 100 more");
  expect(page).toContain("1,134 are not shown");
});
