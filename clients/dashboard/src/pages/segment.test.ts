import { expect, test } from "vitest";
import { nameSaved } from "./segment";

test("a name that was cleared is saved: the segment is called by its id", () => {
  expect(nameSaved("", "pros")).toBe("pros");
  expect(nameSaved("  ", "pros")).toBe("pros");
  expect(nameSaved("Active pros", "pros")).toBe("Active pros");
});
