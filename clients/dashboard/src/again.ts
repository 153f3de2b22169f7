/**
 * When what failed is asked again by itself. Rule: what may pass is asked again until it has; what a person must change
 * first is not; a pause is bounded, so that a page is right again soon after whatever it asks is.
 */
import type { SWRConfiguration } from "swr";
import { Problem } from "./api";

export const PAUSE_MS = 2_000;
export const PAUSE_MS_MAX = 15_000;
/** Answers that say "not now": too slow, too early, too many. */
const NOT_NOW = new Set([408, 425, 429]);
/** Answers to the key, which only another key changes. */
const REFUSED = new Set([401, 403]);

/** Whether an error may be gone when the same thing is asked again. */
export function isPassing(error: unknown): boolean {
  return error instanceof Problem && (error.status === 0 || error.status >= 500 || NOT_NOW.has(error.status));
}

/** How long to wait after so many failures in a row: twice as long each time, or as long as the answer says. Units: ms. */
export function pauseMs(error: unknown, failures: number): number {
  const own = Math.min(PAUSE_MS * 2 ** Math.min(failures - 1, 10), PAUSE_MS_MAX);
  return Math.max(own, error instanceof Problem ? error.retryAfterMs : 0);
}

/**
 * Ask until there is an answer, and tell each failure that may pass. Errors: what asking again does not change, and
 * whatever comes once it `isOld`: nobody waits for the answer any more.
 */
export async function insist<T>(request: () => Promise<T>, isOld: () => boolean, tell: (error: unknown) => void): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await request();
    } catch (error) {
      if (isOld() || !isPassing(error)) throw error;
      tell(error);
      await new Promise((resolve) => setTimeout(resolve, pauseMs(error, failures)));
      if (isOld()) throw error;
    }
  }
}

/** For every read: one that is repeated goes on whatever it is told, unless it is that its key may not. */
export const askedAgain: SWRConfiguration = {
  shouldRetryOnError: true,
  onErrorRetry: (error: unknown, _path, { refreshInterval }, revalidate, opts) => {
    const isRefused = error instanceof Problem && REFUSED.has(error.status);
    if (!isPassing(error) && (isRefused || !refreshInterval)) return;
    setTimeout(() => void revalidate(opts), pauseMs(error, opts.retryCount));
  },
};
