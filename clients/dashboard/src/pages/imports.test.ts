import { expect, test } from "vitest";
import { foundIn } from "./imports";

test("what a cell says is quoted, a description is not", () => {
  expect(foundIn({ code: "unreadable", found: ["gold", ' "x"'] })).toBe('"gold", " \\"x\\""');
  expect(foundIn({ code: "id_too_long", found: ["uuu…"] })).toBe('"uuu…"');
  expect(foundIn({ code: "no_id", found: ["a blank cell"] })).toBe("a blank cell");
  expect(foundIn({ code: "wrong_width", found: ["2 cells in line 3", "4 cells in line 9"] })).toBe("2 cells in line 3, 4 cells in line 9");
});
