import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { isPassing } from "./again";
import { ask } from "./api";

/** A console that takes the request and never answers, as one that is frozen does. */
function frozen(): void {
  vi.stubGlobal("fetch", (_path: string, { signal }: RequestInit) => new Promise((_done, fail) => {
    if (signal?.aborted) fail(signal.reason);
    signal?.addEventListener("abort", () => fail(signal.reason));
  }));
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test.each([
  ["a read", {}, 30_000, "Check that it is running"],
  ["a change", { method: "PATCH", json: {} }, 90_000, "Whether the change was made is not known"],
])("%s is not waited for without end", async (_what, asked, ms, says) => {
  frozen();
  const failed = ask("/x", asked).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(ms - 1);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(await failed).toMatchObject({ code: "no_answer", detail: expect.stringContaining(says) as unknown });
  expect(isPassing(await failed)).toBe(true);
});

test("a file is sent for as long as that takes", async () => {
  frozen();
  const leave = new AbortController();
  const sent = ask("/imports", { method: "POST", body: new Blob(["a"]), signal: leave.signal }).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(3_600_000);
  leave.abort();
  expect(await sent).toMatchObject({ name: "AbortError" });
});

test("what nobody waits for any more ends as such, and leaves no timer behind", async () => {
  frozen();
  const leave = new AbortController();
  const left = ask("/x", { signal: leave.signal }).catch((error: unknown) => error);
  leave.abort();
  expect(await left).toMatchObject({ name: "AbortError" });
  await expect(ask("/x", { signal: leave.signal })).rejects.toMatchObject({ name: "AbortError" });
  expect(vi.getTimerCount()).toBe(0);
});
