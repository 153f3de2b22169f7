import { describe, expect, test } from "vitest";
import { carried, operatorOf, treeOf, whereOf } from "./query";

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
