import { createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { SWRConfig } from "swr";
import { expect, test, vi } from "vitest";
import { Router } from "wouter";
import { contactPath, Problem, segmentPath, type Contact, type Segment } from "../api";
import { ContactPage } from "./contact";
import SegmentPage from "./segment";

vi.stubGlobal("location", new URL("http://console.example/contacts/u_17"));
const CONTACT: Contact = { id: "u_17", attributes: { plan: "pro" }, memberships: [], next_deadline: null, as_of: null };
const problem = (status: number) => new Problem(status, "said", "the API said this", "", []);

/** A page as it is while the API answers with a problem what it has answered before. */
function shown(page: ReactNode, path: string, read: unknown, error: Problem): string {
  const provider = () => new Map([[path, { data: read, error, isLoading: false, isValidating: false, _k: path }]]);
  return renderToString(createElement(Router, { ssrPath: "/", children: createElement(SWRConfig, { value: { provider } }, page) }));
}
const contactShown = (status: number) => shown(createElement(ContactPage, { id: "u_17" }), contactPath("u_17"), CONTACT, problem(status));

test("a contact that was erased is not shown from what was read of it", () => {
  const page = contactShown(404);
  expect(page).toContain("This contact no longer exists");
  expect(page).not.toContain("pro");
});

test("another error is said beside what was read of the contact", () => {
  const page = contactShown(503);
  expect(page).toContain("The API said this.");
  expect(page).toContain("plan");
});

test("a segment that was deleted is not shown as one that counts, but its condition can still be copied", () => {
  const read = { id: "pro", version: 3, name: "Pro", text: "plan is pro", members: 12 } as unknown as Segment;
  const page = shown(createElement(SegmentPage, { id: "pro" }), segmentPath("pro"), read, problem(404));
  expect(page).toContain("This segment no longer exists");
  expect(page).toContain("plan is pro");
  expect(page).not.toContain("Members");
});
