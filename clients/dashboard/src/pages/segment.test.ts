import { expect, test } from "vitest";
import type { LiveChange } from "../live";
import { lossOf, nameSaved, saidOf, withChange } from "./segment";

test("a name that was cleared is saved: the segment is called by its id", () => {
  expect(nameSaved("", "pros")).toBe("pros");
  expect(nameSaved("  ", "pros")).toBe("pros");
  expect(nameSaved("Active pros", "pros")).toBe("Active pros");
});

test("a live change is listed once, also when a read has brought it just before", () => {
  const live: LiveChange = { segment_id: "pros", segment_version: 1, contact_id: "u1", change: "enter", at_ms: 1_000, cause: "write", event_id: "e1" };
  const once = withChange([], live);
  expect(once.map(({ event_id, at }) => [event_id, at])).toEqual([["e1", "1970-01-01T00:00:01.000Z"]]);
  expect(withChange(once, live)).toEqual(once);
  expect(withChange(once, { ...live, event_id: "e2" }).map(({ event_id }) => event_id)).toEqual(["e2", "e1"]);
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
