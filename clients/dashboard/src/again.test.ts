import type { SWRConfiguration } from "swr";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { askedAgain, insist, isPassing, pauseMs, PAUSE_MS_MAX } from "./again";
import { ask, Problem } from "./api";

const problem = (status: number, retryAfterMs = 0) => new Problem(status, "said", "the API said this", "", [], retryAfterMs);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Whether a read that failed so is asked again within the longest pause. */
function isAskedAgain(status: number, refreshInterval: SWRConfiguration["refreshInterval"] = 0): boolean {
  const revalidate = vi.fn(async () => true);
  askedAgain.onErrorRetry!(problem(status), "/x", { refreshInterval } as never, revalidate, { retryCount: 30, dedupe: true });
  vi.advanceTimersByTime(PAUSE_MS_MAX);
  return revalidate.mock.calls.length === 1;
}

test.each([0, 408, 425, 429, 500, 502, 503, 504])("what failed with %i is asked again, however often it has failed", (status) => {
  expect(isPassing(problem(status))).toBe(true);
  expect(isAskedAgain(status)).toBe(true);
});

test.each([400, 404, 409, 422])("what failed with %i is asked again only where it is repeated anyway", (status) => {
  expect(isPassing(problem(status))).toBe(false);
  expect([isAskedAgain(status), isAskedAgain(status, 10_000), isAskedAgain(status, () => 500)]).toEqual([false, true, true]);
});

test.each([401, 403])("a key that is refused with %i is not shown again and again", (status) =>
  expect([isAskedAgain(status), isAskedAgain(status, 10_000)]).toEqual([false, false]));

test("the pauses grow to a bound, and are as long as the answer wants them", () => {
  expect([1, 2, 3, 4, 400].map((failures) => pauseMs(problem(503), failures))).toEqual([2_000, 4_000, 8_000, PAUSE_MS_MAX, PAUSE_MS_MAX]);
  expect(pauseMs(problem(429, 40_000), 1)).toBe(40_000);
});

test("an answer says how long it wants to be left alone", async () => {
  vi.stubGlobal("fetch", async () => new Response("{}", { status: 429, headers: { "Retry-After": "7" } }));
  await expect(ask("/x")).rejects.toMatchObject({ status: 429, retryAfterMs: 7_000 });
  vi.stubGlobal("fetch", async () => new Response("{}", { status: 503, headers: { "Retry-After": "soon" } }));
  await expect(ask("/x")).rejects.toMatchObject({ status: 503, retryAfterMs: 0 });
});

test.each([["a page of something between", "<html>"], ["half of an answer", '{"a": ']])("%s in place of an answer passes, and is said plainly", async (_what, body) => {
  vi.stubGlobal("fetch", async () => new Response(body, { status: 200 }));
  const failed = await ask("/x").catch((error: unknown) => error);
  expect(isPassing(failed)).toBe(true);
  expect(String(failed)).toContain("cannot be read");
});

test("what is insisted on is asked until it is answered, and each failure is told", async () => {
  const told: unknown[] = [];
  let asked = 0;
  const answer = insist(async () => { if (++asked < 4) throw problem(503); return "at last"; }, () => false, (error) => told.push(error));
  await vi.advanceTimersByTimeAsync(2_000 + 4_000 + 8_000);
  expect([await answer, asked, told.length]).toEqual(["at last", 4, 3]);
});

test("what nobody waits for any more, or what asking again does not change, is not insisted on", async () => {
  let isOld = false;
  const left = insist(async () => { throw problem(503); }, () => isOld, () => { isOld = true; }).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await left).toMatchObject({ status: 503 });
  await expect(insist(async () => { throw problem(422); }, () => false, () => expect.fail("it is told as the answer"))).rejects.toMatchObject({ status: 422 });
});
