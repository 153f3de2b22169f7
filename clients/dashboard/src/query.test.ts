import { describe, expect, test } from "vitest";
import ingest from "../../../schemas/openapi/ingest.json";
import { OPERATORS, carried, conditionsOf, durationParts, missingPolicy, operatorOf, replaced, treeOf, whereOf, withPolicy, type ConditionRule } from "./query";

const CANONICAL: unknown[] = [
  { plan: "pro" },
  { country: ["ca", "us"] },
  { all: [{ plan: { is_not: "free" } }, { any: [{ mrr: { gt: 99 } }, { churn_risk_flag: { is_not: true } }] }] },
  { not: { any: [{ a: 1 }, { b: 2 }] } },
  { all: [{ segment: "foo" }, { not: { segment: "bar" } }] },
  { not: { x: { within_last: "7d" } } },
  { not: { not: { a: 1 } } },
  { a: { lte: 5, missing: "include" } },
  { x: { contains: "b", case: "exact" } },
  { x: { set: false } },
  { x: { set: true } },
  { mrr: { between: [1, 9] } },
  { attribute: "all", is: 1 },
  { v: { version_gte: "1.2" } },
  { t: { in_past: true } },
  { tags: { none_of: ["a"] } },
  ...["exactly", "not_exactly", "contains", "not_contains", "starts_with", "not_starts_with", "ends_with", "not_ends_with"].map((test) => ({ t: { [test]: "aB" } })),
  ...["gt", "gte", "lt", "lte"].map((test) => ({ n: { [test]: -1.5 } })),
  ...["in", "not_in", "any_of", "all_of", "none_of"].map((test) => ({ l: { [test]: ["a", 1, true] } })),
  ...["in", "contains", "starts_with", "any_of", "all_of"].map((test) => ({ l: { [test]: test.endsWith("s") || test.endsWith("with") ? "aB" : ["aB"], case: "exact" } })),
  ...["within_last", "within_next", "more_than_ago", "more_than_from_now"].map((test) => ({ t: { [test]: "30m" } })),
  ...["instant_is", "instant_is_not"].map((test) => ({ t: { [test]: "2026-05-01T12:00:00Z" } })),
  ...["before", "after", "on"].map((test) => ({ t: { [test]: "2026-01-01" } })),
  ...["is", "is_not", "gt", "gte", "lt", "lte"].map((test) => ({ v: { [`version_${test}`]: "2.10" } })),
  { t: { in_future: true } },
  { "a b": { is_not: false, missing: "exclude" } },
];

/** Bare values are short for `is` and `in`, and a group of one is what is in it. */
function plain(where: unknown): unknown {
  if (Array.isArray(where)) return where.map(plain);
  if (typeof where !== "object" || where === null) return where;
  const form = where as Record<string, unknown>;
  if ("all" in form) return { all: (form["all"] as unknown[]).map(plain) };
  if ("any" in form) return { any: (form["any"] as unknown[]).map(plain) };
  if ("not" in form) return { not: plain(form["not"]) };
  if ("segment" in form || "attribute" in form) return form;
  return Object.fromEntries(Object.entries(form).map(([name, value]) =>
    [name, Array.isArray(value) ? { in: value } : typeof value === "object" ? value : { is: value }]));
}

describe("the builder's tree", () => {
  test.each(CANONICAL.map((where) => [JSON.stringify(where), where]))("gives back %s", (_written, where) => {
    expect(whereOf(treeOf(where))).toEqual(plain(where));
  });

  test("has an id at every place, the same one after each reading", () => {
    const where = { all: [{ plan: "pro" }, { any: [{ mrr: { gt: 9 } }, { x: { set: true } }] }] };
    const ids = (tree: unknown): unknown[] => { const { id, rules } = tree as { id: string; rules?: unknown[] }; return [id, ...(rules ?? []).flatMap(ids)]; };
    expect(ids(treeOf(where))).toEqual(["w", "w.0", "w.1", "w.1.0", "w.1.1"]);
    expect(ids(treeOf(where))).toEqual(ids(treeOf(where)));
  });

  test("is no expression while a condition lacks its attribute or value", () => {
    expect(whereOf({ combinator: "and", rules: [] })).toBeNull();
    expect(whereOf({ combinator: "and", rules: [{ field: "plan", operator: "is", value: "" }] })).toBeNull();
    expect(whereOf({ combinator: "or", rules: [{ field: "", operator: "set", value: "" }] })).toBeNull();
    expect(whereOf({ combinator: "and", rules: [{ field: "mrr", operator: "between", value: ["", 3] }] })).toBeNull();
  });

  test("keeps a value through a change of operator where it fits", () => {
    expect(carried("pro", operatorOf("in"))).toEqual(["pro"]);
    expect(carried(["a", "b"], operatorOf("is"))).toBe("a");
    expect(carried("pro", operatorOf("within_last"))).toBe("7d");
    expect(carried(5, operatorOf("contains"))).toBe("5");
  });
});

describe("the choice for missing values", () => {
  const is: ConditionRule = { field: "plan", operator: "is", value: "pro" };
  const isNot: ConditionRule = { ...is, operator: "is_not" };

  test("is what the test gives by itself until it is chosen", () => {
    expect([missingPolicy(is), missingPolicy(isNot), missingPolicy({ ...is, missing: "include" })]).toEqual(["exclude", "include", "include"]);
  });

  test("is written only where it differs from that", () => {
    expect([withPolicy(is, "include").missing, withPolicy({ ...is, missing: "include" }, "exclude").missing]).toEqual(["include", undefined]);
    expect([withPolicy(isNot, "exclude").missing, withPolicy(isNot, "include").missing]).toEqual(["exclude", undefined]);
  });

  test("lets contacts in where it makes a condition false that a `not` turns round", () => {
    const turned = (where: unknown) => conditionsOf(treeOf(where)).map(({ rule, isTurned }) => [rule.field, isTurned]);
    expect(turned([{ plan: "pro" }, { not: { seen: { within_last: "7d" } } }])).toEqual([["plan", false], ["seen", true]]);
    expect(turned({ not: { all: [{ plan: "pro" }, { not: { any: [{ a: 1 }, { b: 2 }] } }] } })).toEqual([["plan", true], ["a", false], ["b", false]]);
  });

  test("is offered for each finished condition that can meet a missing value, at its own place", () => {
    const tree = treeOf({ all: [{ plan: "pro" }, { any: [{ mrr: { gt: 9 } }, { x: { set: true } }, { segment: "s" }] }] });
    const found = conditionsOf(tree);
    expect(found.map(({ rule, way, isTurned }) => [rule.field, way, isTurned])).toEqual([["plan", [0], false], ["mrr", [1, 0], false]]);
    const chosen = replaced(tree, found[1]!.way, withPolicy(found[1]!.rule, "include"));
    expect(whereOf(chosen)).toEqual({ all: [{ plan: { is: "pro" } }, { any: [{ mrr: { gt: 9, missing: "include" } }, { x: { set: true } }, { segment: "s" }] }] });
  });
});

describe("a duration", () => {
  const within = (value: string) => whereOf({ combinator: "and", rules: [{ field: "seen", operator: "within_last", value }] });

  test("is shown as it was written, whether or not there can be such a one", () => {
    expect(["7d", "1.5d", "-3h", "d"].map(durationParts)).toEqual([["7", "d"], ["1.5", "d"], ["-3", "h"], ["", "d"]]);
  });

  test("is not finished while its number is exchanged, and one that cannot be is the API's to refuse", () => {
    expect([within("d"), within("1.5d")]).toEqual([null, { seen: { within_last: "1.5d" } }]);
  });
});

describe("the builder's list of tests", () => {
  test("is the language's own: every test of the JSON form, and none that it lacks", () => {
    const written = new Set(OPERATORS.map((operator) => (operator.name === "not_set" ? "set" : operator.name)));
    const language = testsOf(ingest.components.schemas);
    // `within` is another way to write `within_last`, and never canonical.
    expect(language.delete("within")).toBe(true);
    expect([...written].sort()).toEqual([...language].sort());
  });
});

/** Every test that the API's document knows: what stands beside `within_last` in the schemas of conditions. */
function testsOf(node: unknown, found = new Set<string>()): Set<string> {
  if (typeof node !== "object" || node === null) return found;
  const properties = (node as { properties?: Record<string, unknown> }).properties;
  if (properties && "within_last" in properties) Object.keys(properties).forEach((name) => found.add(name));
  Object.values(node).forEach((inner) => testsOf(inner, found));
  ["attribute", "case", "missing"].forEach((name) => found.delete(name));
  return found;
}
