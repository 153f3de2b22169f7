import { expect, test } from "vitest";
import type { Segment } from "../api";
import { arranged, orderOf } from "./segments";

function segment(id: string, members: number | null, part: Partial<Segment> = {}): Segment {
  return {
    id, members, name: "", description: "", version: 1, state: "active", text: "plan is \"pro\"", attributes: ["plan"], depends_on_time: false,
    saved_at: "2026-01-01T00:00:00.000Z", saved_by: "", settling: false, settled_percent: 100, settles_at: null, unreadable: 0, unreadable_attributes: [], unreadable_settling: false, as_of: null, lag_ms: 0,
    counted_at: null, last_hour: { entered: 0, exited: 0, since: "2026-01-01T00:00:00.000Z", trend: [] }, ...part,
  };
}

test("a search looks at name, id and condition, in any case", () => {
  const all = [segment("a", 1, { name: "Trial" }), segment("b_trial", 1), segment("c", 1, { text: "trial_ends_at is set" }), segment("d", 1)];
  expect(arranged(all, "trial", { by: "name", down: false }).map(({ id }) => id)).toEqual(["b_trial", "c", "a"]);
});

test("a count that is not known yet stands below every known one", () => {
  const all = [segment("a", null), segment("b", 0), segment("c", 9)];
  expect(arranged(all, "", { by: "members", down: true }).map(({ id }) => id)).toEqual(["c", "b", "a"]);
});

test("ten thousand segments are arranged quickly, and the list itself is left alone", () => {
  const all = Array.from({ length: 10_000 }, (_, n) => segment(`s_${(n * 7919) % 10_000}`, n));
  const first = all[0];
  const from = performance.now();
  const shown = arranged(all, "", { by: "name", down: false });
  expect(performance.now() - from).toBeLessThan(500);
  expect([shown.length, shown[0]!.id, all[0]]).toEqual([10_000, "s_0", first]);
});

test.each([
  ["", "name", false], ["name-down", "name", true], ["saved_at", "saved_at", false], ["members-down", "members", true], ["nosuch-down", "name", false],
])("an address that asks for the order %j gets %s", (written, by, down) => expect(orderOf(written)).toEqual({ by, down }));
