import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hear, presentMs } from "./clock";

const NOON = Date.parse("2026-05-01T12:00:00Z");
const HOUR_MS = 3_600_000;
/** What is left where an answer is dated to the second. */
const APART_MS_MAX = 3_100;
/** An answer of the console at noon by its clock, which took so long, while ours is so far ahead. */
function answered(oursAheadMs: number, tookMs = 40): void {
  hear(NOON + oursAheadMs - tookMs, NOON + oursAheadMs, "Fri, 01 May 2026 12:00:00 GMT");
  vi.setSystemTime(NOON + oursAheadMs);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([0, HOUR_MS, -HOUR_MS, 3 * HOUR_MS])("the present is the console's, with our clock %i ms ahead of it", (ahead) => {
  answered(ahead);
  expect(Math.abs(presentMs() - NOON)).toBeLessThan(APART_MS_MAX);
});

test("our clock is set while the page is open, and the present is the console's again at the next answer", () => {
  answered(0);
  answered(-HOUR_MS);
  expect(Math.abs(presentMs() - NOON)).toBeLessThan(APART_MS_MAX);
});

test("an answer that takes its time moves the present no more than it must", () => {
  answered(0);
  const before = presentMs();
  answered(0, 20_000);
  expect(presentMs()).toBe(before);
});

test.each([null, "", "noon"])("an answer dated %j says nothing", (date) => {
  answered(HOUR_MS);
  const before = presentMs();
  hear(0, 0, date);
  expect(presentMs()).toBe(before);
});
