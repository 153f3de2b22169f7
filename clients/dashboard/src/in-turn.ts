/** Requests about one thing, one after another: on a slow network they would arrive in another order, and the older win. */

const lasts = new Map<string, Promise<unknown>>();

/** Make a request once every one before it about the same thing has its answer. Errors: its own. */
export function inTurn<T>(thing: string, request: () => Promise<T>): Promise<T> {
  const before = lasts.get(thing) ?? Promise.resolve();
  const mine = before.then(request, request);
  lasts.set(thing, mine);
  const end = () => { if (lasts.get(thing) === mine) lasts.delete(thing); };
  mine.then(end, end);
  return mine;
}
