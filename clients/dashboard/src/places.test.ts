import { expect, test } from "vitest";
import { idIn, isStep, placeOf, titleOf, withAsked } from "./places";

test.each(["u_17", "a%41", "50%", "100 %25", "a/b", "?", "#", "ä ö", "%", "a%2Fb", "line\nbreak"])(
  "the address made for %j names it again", (id) => expect(idIn(`/contacts/${encodeURIComponent(id)}`)).toBe(id));

test.each([".", ".."])("%j has no address: the browser's own reading takes it for a step", (id) => {
  expect(isStep(id)).toBe(true);
  expect(new URL(`/contacts/${id.replaceAll(".", "%2E")}`, "http://a.example").pathname).not.toContain(id);
  expect([isStep("..."), isStep(".a"), isStep("")]).toEqual([false, false, false]);
});

test("an address that cannot be decoded names nothing", () => {
  expect(idIn("/contacts/50%")).toBeNull();
  expect(idIn("/segments/%ff")).toBeNull();
  expect(idIn("/segments/")).toBeNull();
});

test("a slash at the end is no part of the id", () => expect(idIn("/contacts/u_17/")).toBe("u_17"));

test.each([
  ["/", "Segments – Tidegate"], ["/new-segment", "New segment – Tidegate"], ["/segments/new", "new – Segments – Tidegate"], ["/new-segment/x", "No such page – Tidegate"], ["/segments/pro", "pro – Segments – Tidegate"],
  ["/contacts", "Contacts – Tidegate"], ["/contacts/50%25", "50% – Contacts – Tidegate"], ["/contacts/50%", "No such page – Tidegate"],
  ["/imports", "Imports – Tidegate"], ["/activity", "Activity – Tidegate"], ["/health", "Health – Tidegate"],
  ["/nosuch", "No such page – Tidegate"], ["/health/x", "No such page – Tidegate"],
])("the page at %s is called %s", (path, title) => expect(titleOf(path)).toBe(title));

test.each(["/", "/segments/pro", "/new-segment"])("%s is a page of the segments", (path) => expect(placeOf(path)).toBe("/"));

test.each([
  ["/contacts", "a&b = ü", "/contacts?prefix=a%26b+%3D+%C3%BC"], ["/contacts?prefix=a", "", "/contacts"],
  ["/contacts?prefix=a&other=1", "b", "/contacts?prefix=b&other=1"], ["/contacts/50%25", "b", "/contacts/50%25?prefix=b"],
])("%s, asked for %j, is at %s", (address, value, wanted) => expect(withAsked(address, "prefix", value)).toBe(wanted));
