import { expect, test } from "vitest";
import { units } from "./text-editor";

test("a span counted in code points is found in text with characters of two units", () => {
  expect(units("a🙂b", 0)).toBe(0);
  expect(units("a🙂b", 2)).toBe(3);
  expect(units("ab", 9)).toBe(2);
});
