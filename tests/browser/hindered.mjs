/**
 * Journeys of people whom something hinders: answers that are late, missing or refused, and what must not come of it.
 * Rule: only the answers are tampered with, in the browser; what asks and what answers is real.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

/** Longer than it takes to press a key after another one, and than what is typed waits before it is asked about. */
const LATE_MS = 1_500;

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function hinderedJourneys(at) {
  test("a save right after the last key saves what stands there, not what stood there before it", async () => {
    const { page, stack, go, shown, writeText } = at();
    await stack.api("POST", "/segments", { id: "in_haste", where: "mrr > 99" });
    await go("/segments/in_haste");
    await shown("[data-testid=english]", "99");
    await writeText("mrr > 15");
    await shown("[data-testid=english]", "15");
    await page.route("**/segments/validate", async (route) => pause(LATE_MS).then(() => route.continue()));
    await page.keyboard.type("0");
    await page.keyboard.press("ControlOrMeta+s");
    await shown(".notice", "Version 2 is saved");
    await page.unroute("**/segments/validate");
    assert.equal((await stack.api("GET", "/segments/in_haste")).text, "mrr > 150");
  });
}
