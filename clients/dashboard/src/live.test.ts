import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { follow, gather, linkNow, newestCount, refusalNow, watchCount, type LiveChange } from "./live";

/** A stream that the test drives. */
class Stream extends EventTarget {
  static opened: Stream[] = [];
  readyState = 0;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    Stream.opened.push(this);
  }
  tell(name: string, data: unknown = {}) {
    this.readyState = 1;
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }
  fail(readyState: number) {
    this.readyState = readyState;
    this.onerror?.();
  }
  close() {
    this.readyState = 2;
  }
}
const CONNECTING = 0;
const CLOSED = 2;

/** What the console says of a stream that was not given. */
function answerStream(status: number, said: object = {}): void {
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify(said), { status }));
}

let close = () => {};
beforeEach(() => {
  Stream.opened = [];
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Object.assign(Stream, { CLOSED }));
  answerStream(200);
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "visible" }));
});
afterEach(() => {
  close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a count that the stream told is forgotten when the stream breaks, and who shows it is told", () => {
  const told = vi.fn();
  close = follow(() => {}, () => {});
  const [stream] = Stream.opened;
  stream!.tell("hello");
  stream!.tell("counts", { pro: 7 });
  const unwatch = watchCount("pro", told);
  expect(newestCount("pro", 3)).toBe(7);
  stream!.fail(CONNECTING);
  expect(newestCount("pro", 9)).toBe(9);
  expect(told).toHaveBeenCalledOnce();
  expect(linkNow()).toBe("waiting");
  unwatch();
});

test("lists are read again when the stream is back, but not when it begins", () => {
  const missed = vi.fn();
  close = follow(missed, () => {});
  const [stream] = Stream.opened;
  stream!.tell("hello");
  expect(missed).not.toHaveBeenCalled();
  stream!.fail(CONNECTING);
  stream!.tell("hello");
  expect(missed).toHaveBeenCalledOnce();
  expect(linkNow()).toBe("live");
});

test("a restart forgets the counts and has the lists read again", () => {
  const missed = vi.fn();
  close = follow(missed, () => {});
  const [stream] = Stream.opened;
  stream!.tell("hello");
  stream!.tell("counts", { pro: 7 });
  stream!.tell("restart", { reason: "too much was missed" });
  expect(newestCount("pro", 9)).toBe(9);
  expect(missed).toHaveBeenCalledOnce();
});

test("a stream that was refused is opened again, ever more rarely, and the lists are read when it is", async () => {
  const missed = vi.fn();
  close = follow(missed, () => {});
  for (const wait of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    const before = Stream.opened.length;
    Stream.opened.at(-1)!.fail(CLOSED);
    await vi.advanceTimersByTimeAsync(wait - 1);
    expect(Stream.opened.length).toBe(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(Stream.opened.length).toBe(before + 1);
  }
  expect(linkNow()).toBe("waiting");
  expect(missed).not.toHaveBeenCalled();
  Stream.opened.at(-1)!.tell("hello");
  expect(linkNow()).toBe("live");
  expect(missed).toHaveBeenCalledOnce();
});

test("a console that does not answer is no reason to log in again", async () => {
  const loggedOut = vi.fn();
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
  close = follow(() => {}, loggedOut);
  Stream.opened[0]!.fail(CLOSED);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(Stream.opened.length).toBe(2);
  expect(loggedOut).not.toHaveBeenCalled();
});

test("a stream that has died without a word is not shown as live, and another one is opened", async () => {
  const missed = vi.fn();
  close = follow(missed, () => {});
  Stream.opened[0]!.tell("hello");
  Stream.opened[0]!.tell("counts", { pro: 7 });
  await vi.advanceTimersByTimeAsync(34_999);
  expect(linkNow()).toBe("live");
  await vi.advanceTimersByTimeAsync(1);
  expect([linkNow(), newestCount("pro", 9), Stream.opened[0]!.readyState]).toEqual(["waiting", 9, CLOSED]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(Stream.opened.length).toBe(2);
  Stream.opened[1]!.tell("hello");
  expect([linkNow(), missed.mock.calls.length]).toEqual(["live", 1]);
});

test.each(["alive", "counts", "change", "restart"])("a stream that tells %s now and then is live", async (name) => {
  close = follow(() => {}, () => {});
  Stream.opened[0]!.tell("hello");
  for (let told = 0; told < 10; told++) {
    await vi.advanceTimersByTimeAsync(15_000);
    Stream.opened[0]!.tell(name);
  }
  expect([linkNow(), Stream.opened.length]).toEqual(["live", 1]);
});

test("a stream whose opening is not answered is opened again, but the browser's own tries are left to it", async () => {
  close = follow(() => {}, () => {});
  for (let tries = 0; tries < 60; tries++) {
    await vi.advanceTimersByTimeAsync(1_000);
    Stream.opened[0]!.fail(CONNECTING);
  }
  expect(Stream.opened.length).toBe(1);
  await vi.advanceTimersByTimeAsync(36_000);
  expect(Stream.opened.length).toBe(2);
});

test.each([[401, "no_key"], [403, "forged"]])("without a session (%i, %s) the stream is left closed and the login is asked for", async (status, code) => {
  const loggedOut = vi.fn();
  answerStream(status, { code });
  close = follow(() => {}, loggedOut);
  Stream.opened[0]!.fail(CLOSED);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(loggedOut).toHaveBeenCalledOnce();
  expect(Stream.opened.length).toBe(1);
});

test("a key that may not have the stream is told why, and it is not asked for again until somebody looks again", async () => {
  answerStream(403, { code: "scope_missing", title: "this needs the scope segments:read" });
  close = follow(() => {}, () => {});
  Stream.opened[0]!.fail(CLOSED);
  await vi.advanceTimersByTimeAsync(300_000);
  expect([Stream.opened.length, linkNow(), refusalNow()?.message]).toEqual([1, "refused", "this needs the scope segments:read"]);
  answerStream(200);
  look("hidden");
  look("visible");
  Stream.opened[1]!.tell("hello");
  expect([linkNow(), refusalNow()]).toEqual(["live", null]);
});

test.each([404, 429, 503])("a stream that is not given now (%i) is asked for again", async (status) => {
  answerStream(status);
  close = follow(() => {}, () => {});
  Stream.opened[0]!.fail(CLOSED);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([Stream.opened.length, linkNow()]).toEqual([2, "waiting"]);
});

test("asking why a stream was not given takes no stream", async () => {
  const cancelled = vi.fn();
  vi.stubGlobal("fetch", async () => new Response(new ReadableStream({ cancel: cancelled }), { status: 200 }));
  close = follow(() => {}, () => {});
  Stream.opened[0]!.fail(CLOSED);
  await vi.advanceTimersByTimeAsync(0);
  expect(cancelled).toHaveBeenCalledOnce();
});

test("a page that was left opens no stream any more", async () => {
  close = follow(() => {}, () => {});
  Stream.opened[0]!.fail(CLOSED);
  close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(Stream.opened.length).toBe(1);
});

function look(visibilityState: "visible" | "hidden"): void {
  Object.assign(document, { visibilityState });
  document.dispatchEvent(new Event("visibilitychange"));
}

test("a tab that nobody looks at keeps no connection, and reads again what it shows when somebody does", async () => {
  const missed = vi.fn();
  Object.assign(document, { visibilityState: "hidden" });
  close = follow(missed, () => {});
  expect(Stream.opened).toHaveLength(0);
  look("visible");
  Stream.opened[0]!.tell("hello");
  Stream.opened[0]!.tell("counts", { pro: 7 });
  look("hidden");
  expect(Stream.opened[0]!.readyState).toBe(CLOSED);
  expect(newestCount("pro", 3)).toBe(3);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(Stream.opened).toHaveLength(1);
  look("visible");
  missed.mockClear();
  Stream.opened[1]!.tell("hello");
  expect(missed).toHaveBeenCalledOnce();
  expect(linkNow()).toBe("live");
});

test("changes that come close together are handed over together, and none after the end", () => {
  const take = vi.fn();
  const { add, end } = gather(take);
  const change = (n: number): LiveChange => ({ segment_id: "pro", segment_version: 1, contact_id: `u${n}`, change: "enter", at_ms: n, cause: "write", event_id: `e${n}` });
  for (let n = 0; n < 20_000; n++) add(change(n));
  vi.advanceTimersByTime(1_000);
  expect(take.mock.calls.map(([changes]) => [changes.length, changes[0].event_id])).toEqual([[20_000, "e0"]]);
  add(change(1));
  vi.advanceTimersByTime(1_000);
  expect(take).toHaveBeenCalledTimes(2);
  add(change(2));
  end();
  vi.advanceTimersByTime(1_000);
  expect(take).toHaveBeenCalledTimes(2);
});
