import { expect, test } from "vitest";
import { idIn } from "./places";

test.each(["u_17", "a%41", "50%", "100 %25", "a/b", "?", "#", "ä ö", "%", "a%2Fb", "line\nbreak"])(
  "the address made for %j names it again", (id) => expect(idIn(`/contacts/${encodeURIComponent(id)}`)).toBe(id));

test("an address that cannot be decoded names nothing", () => {
  expect(idIn("/contacts/50%")).toBeNull();
  expect(idIn("/segments/%ff")).toBeNull();
  expect(idIn("/segments/")).toBeNull();
});

test("a slash at the end is no part of the id", () => expect(idIn("/contacts/u_17/")).toBe("u_17"));
