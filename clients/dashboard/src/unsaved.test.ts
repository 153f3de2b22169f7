import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { answer, guardHistory, holdTab, keep, leaving, leavingFor, letGo, questionNow } from "./unsaved";

const EDITOR = "http://console.example/segments/pro";
let tab: EventTarget;
let place: URL;
let kept: unknown;
const back = vi.fn();
const onRouter = vi.fn();

beforeEach(() => {
  tab = new EventTarget();
  place = new URL(EDITOR);
  vi.stubGlobal("addEventListener", tab.addEventListener.bind(tab));
  vi.stubGlobal("removeEventListener", tab.removeEventListener.bind(tab));
  vi.stubGlobal("location", { get href() { return place.href; }, get pathname() { return place.pathname; } });
  kept = null;
  vi.stubGlobal("history", { back, get state() { return kept; }, pushState: (state: unknown, _title: string, href: string) => { place = new URL(href); kept = state; } });
  guardHistory();
  tab.addEventListener("popstate", onRouter);
});

afterEach(() => {
  letGo();
  const asked = questionNow();
  if (asked) answer(asked, false);
  vi.clearAllMocks();
  vi.unstubAllGlobals();
});

/** The browser goes to another of its addresses, with what it keeps of it, and tells so afterwards. */
function goThroughHistory(href: string, state: unknown = null): void {
  place = new URL(href, EDITOR);
  kept = state;
  tab.dispatchEvent(new Event("popstate"));
}
const isUnloadHeld = () => !tab.dispatchEvent(new Event("beforeunload", { cancelable: true }));

test("where nothing is unsaved every way is open at once", () => {
  const go = vi.fn();
  leaving(go);
  leavingFor("/contacts", go);
  goThroughHistory("/");
  expect([go.mock.calls.length, onRouter.mock.calls.length, place.pathname, isUnloadHeld(), questionNow()]).toEqual([2, 1, "/", false, null]);
});

test("a link is followed only once a person has said so, and who stays loses nothing and is asked again", () => {
  const go = vi.fn();
  keep("The condition would be lost.");
  leavingFor("/contacts", go);
  expect([go.mock.calls.length, questionNow()?.says]).toEqual([0, "The condition would be lost."]);
  answer(questionNow()!, false);
  expect([go.mock.calls.length, questionNow(), isUnloadHeld()]).toEqual([0, null, true]);
  leavingFor("/contacts", go);
  answer(questionNow()!, true);
  expect([go.mock.calls.length, questionNow(), isUnloadHeld()]).toEqual([1, null, false]);
});

test("going back is undone before the router hears of it, and done when a person has said so", () => {
  keep("The condition would be lost.");
  goThroughHistory("/");
  expect([place.href, onRouter.mock.calls.length, back.mock.calls.length]).toEqual([EDITOR, 0, 0]);
  answer(questionNow()!, true);
  expect(back).toHaveBeenCalledOnce();
  goThroughHistory("/");
  expect([onRouter.mock.calls.length, questionNow()]).toEqual([1, null]);
});

test("another place on the same page loses nothing", () => {
  const go = vi.fn();
  keep("The condition would be lost.");
  leavingFor("#content", go);
  goThroughHistory("#content");
  expect([go.mock.calls.length, onRouter.mock.calls.length, questionNow()]).toEqual([1, 1, null]);
});

test("what was saved is not asked about any more", () => {
  const go = vi.fn();
  keep("The condition would be lost.")();
  leaving(go);
  expect([go.mock.calls.length, isUnloadHeld()]).toEqual([1, false]);
});

test("a question is asked no longer once what it is about is saved, and goes on while that has only other words", async () => {
  const go = vi.fn();
  const end = keep("The condition would be lost.");
  leaving(go);
  end();
  const saved = keep("The name and condition would be lost.");
  await Promise.resolve();
  expect(questionNow()).not.toBe(null);
  end();
  expect(isUnloadHeld()).toBe(true);
  saved();
  await Promise.resolve();
  expect([questionNow(), go.mock.calls.length, isUnloadHeld()]).toEqual([null, 0, false]);
});

test("what is open behind the path is left like a page, and the place within it is not", () => {
  const go = vi.fn();
  place = new URL("/imports?import=imp_1", EDITOR);
  keep("The mapping would be lost.");
  leavingFor("#first-rows", go);
  leavingFor("/imports?import=imp_1", go);
  expect([go.mock.calls.length, questionNow()]).toEqual([2, null]);
  leavingFor("/imports", go);
  expect([go.mock.calls.length, questionNow()?.says]).toEqual([2, "The mapping would be lost."]);
  goThroughHistory("/imports?import=imp_2");
  expect([onRouter.mock.calls.length, place.search]).toEqual([0, "?import=imp_1"]);
});

test("a page that is gone back to for what is not saved is as it was, with what was asked and kept of it since", () => {
  keep("The condition would be lost.");
  place = new URL("?at=now", EDITOR);
  kept = { page: 2 };
  tab.dispatchEvent(new Event("replaceState"));
  goThroughHistory("/", { page: 7 });
  expect([place.href, kept]).toEqual([`${EDITOR}?at=now`, { page: 2 }]);
  goThroughHistory("?at=now", { page: 1 });
  expect([onRouter.mock.calls.length, kept]).toEqual([1, { page: 1 }]);
  goThroughHistory("/");
  expect(kept).toEqual({ page: 1 });
});

test("an answer to a question that is no longer asked does nothing", () => {
  const go = vi.fn();
  keep("The condition would be lost.");
  leaving(go);
  const old = questionNow()!;
  leaving(go);
  answer(old, true);
  expect([go.mock.calls.length, questionNow() !== null, isUnloadHeld()]).toEqual([0, true, true]);
});

test("of several things that are not saved each is told, and each is held by itself", () => {
  const go = vi.fn();
  const plan = keep("What you typed for “plan” would be lost.");
  const mrr = keep("What you typed for “mrr” would be lost.");
  leaving(go);
  expect(questionNow()?.says).toBe("What you typed for “plan” would be lost. What you typed for “mrr” would be lost.");
  answer(questionNow()!, false);
  plan();
  leaving(go);
  expect([questionNow()?.says, isUnloadHeld()]).toEqual(["What you typed for “mrr” would be lost.", true]);
  answer(questionNow()!, false);
  mrr();
  leaving(go);
  expect([go.mock.calls.length, isUnloadHeld()]).toEqual([1, false]);
});

test("what goes on behind every page of the tab holds the tab alone", () => {
  const go = vi.fn();
  const end = holdTab();
  leaving(go);
  expect([go.mock.calls.length, isUnloadHeld()]).toEqual([1, true]);
  end();
  expect(isUnloadHeld()).toBe(false);
});
