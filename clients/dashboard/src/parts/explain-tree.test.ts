import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import type { Explanation, TruthNode } from "../api";
import { ExplainTree } from "./explain-tree";

const condition = (holds: boolean, says: string): TruthNode => ({
  kind: "condition", condition: "mrr > 9", holds, attribute: "mrr", value: 10, state: "read", reading: "number", until_ms: null,
  flips: [{ action: "set", attribute: "mrr", says }],
});
const shown = (part: Partial<Explanation>) => {
  const explanation: Explanation = {
    member: false, since_ms: null, segment_version: 1, state: "active", holds: false, at_ms: 0, until_ms: null, tree: condition(false, "set mrr to 10"), ...part,
  };
  return renderToString(createElement(ExplainTree, { explanation, segment: "pros" })).replaceAll(/<[^>]*>/g, "");
};

test("what would repair a test is said, also of one that holds and must not", () => {
  expect(shown({})).toContain("To make it hold: set mrr to 10");
  const tree: TruthNode = { kind: "not", holds: false, children: [condition(true, "set mrr to 9")] };
  expect(shown({ tree })).toContain("To make it hold no longer: set mrr to 9");
});

test("a paused segment's membership is not said to end with its condition", () => {
  expect(shown({ holds: true, member: true, until_ms: 86_400_000 })).toContain("that changes at 1970-01-02 00:00:00 UTC");
  const paused = shown({ state: "paused", member: true, until_ms: 86_400_000 });
  expect(paused).toContain("nothing changes that until it is resumed. Its condition says otherwise.");
  expect(paused).not.toContain("1970-01-02");
  expect(shown({ member: true })).toContain("still settling");
});
