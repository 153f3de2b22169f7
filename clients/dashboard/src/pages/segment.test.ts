import { expect, test } from "vitest";
import type { LiveChange } from "../live";
import { lossOf, nameSaved, saidOf, withChanges } from "./segment";

test("a name that was cleared is saved: the segment is called by its id", () => {
  expect(nameSaved("", "pros")).toBe("pros");
  expect(nameSaved("  ", "pros")).toBe("pros");
  expect(nameSaved("Active pros", "pros")).toBe("Active pros");
});

test("live changes stand above what was read, each once, and none that is older than what was read", () => {
  const live = (n: number): LiveChange => ({ segment_id: "pros", segment_version: 1, contact_id: `u${n}`, change: "enter", at_ms: n * 1_000, cause: "write", event_id: `e${n}` });
  const once = withChanges([], [live(2)]);
  expect(once.map(({ event_id, at }) => [event_id, at])).toEqual([["e2", "1970-01-01T00:00:02.000Z"]]);
  const arrived = [live(1), live(2), live(3), live(4)];
  expect(withChanges(once, arrived).map(({ event_id }) => event_id)).toEqual(["e4", "e3", "e2"]);
  expect(withChanges(withChanges(once, arrived), arrived).map(({ event_id }) => event_id)).toEqual(["e4", "e3", "e2"]);
});

test("of a paused segment it is not said that contacts are brought to it", () => {
  expect(saidOf({ version: 2, state: "paused" })).toContain("nobody enters or leaves");
  expect(saidOf({ version: 3, state: "active" })).toContain("contacts are being brought to it");
});

test("whoever leaves an editor is told what of which segment would be lost", () => {
  const base = { id: "pros", name: "Active pros" };
  expect(lossOf(base, false, false)).toBe("");
  expect(lossOf(base, true, false)).toContain("the condition of “Active pros”");
  expect(lossOf(base, true, true)).toContain("the name and condition of");
  expect(lossOf({ id: "pros", name: "" }, false, true)).toContain("the name of “pros”");
  expect(lossOf(null, false, true)).toContain("new segment has not been created");
});
