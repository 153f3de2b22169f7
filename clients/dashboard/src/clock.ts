/**
 * The console's present, from which ages are told: what it tells is dated by its clock, and this computer's may be wrong,
 * or be set while the page is open. Rule: every answer says between which bounds the two are apart.
 */

/** How far the console's clock is ahead of this computer's. Units: ms. */
let aheadMs = 0;
/** An answer is dated to the second, and a console at work may take the second before. */
const DATED_MS = 3_000;

/** What an answer says of the two clocks: when it was asked for and when it came by ours, and its own date. */
export function hear(askedMs: number, cameMs: number, date: string | null): void {
  const told = date === null ? NaN : Date.parse(date);
  if (Number.isNaN(told)) return;
  aheadMs = Math.min(Math.max(aheadMs, told - cameMs), told + DATED_MS - askedMs);
}

export function presentMs(): number {
  return Date.now() + aheadMs;
}
