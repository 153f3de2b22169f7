import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { follow, linkNow, newestCount, watchCount } from "./live";

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

let close = () => {};
beforeEach(() => {
  Stream.opened = [];
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Object.assign(Stream, { CLOSED: 2 }));
});
afterEach(() => {
  close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a count that the stream told is forgotten when the stream breaks, and who shows it is told", () => {
  const told = vi.fn();
  close = follow(() => {});
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
  close = follow(missed);
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
  close = follow(missed);
  const [stream] = Stream.opened;
  stream!.tell("hello");
  stream!.tell("counts", { pro: 7 });
  stream!.tell("restart", { reason: "too much was missed" });
  expect(newestCount("pro", 9)).toBe(9);
  expect(missed).toHaveBeenCalledOnce();
});
