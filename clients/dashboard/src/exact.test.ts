import { describe, expect, test, vi } from "vitest";
import { ExactNumber, isExact, keepExact, parseExactly } from "./exact";
import { readValue, writeValue } from "./format";
import { treeOf, whereOf } from "./query";

describe("exact numbers", () => {
  test.each(["0", "-0", "0.0", "1", "1.0", "-12.50", "0.1", "1e3", "1E+3", "1.5e-7", "100000000000000000000", "9007199254740992", "0.30000000000000004"])(
    "%s is what JavaScript reads", (text) => expect(isExact(text)).toBe(true));

  test.each(["90071992547409931", "10223344556677889", "-10223344556677889", "9007199254740993", "0.10000000000000000001", "1e400", "1e-400"])(
    "%s is not", (text) => expect(isExact(text)).toBe(false));

  test("a number that would be rounded is kept as text while it is shown", () => {
    const kept = keepExact.call(null, "customer", 10223344556677888, { source: "10223344556677889" });
    expect(String(kept)).toBe("10223344556677889");
    expect(keepExact.call(null, "mrr", 99.5, { source: "99.50" })).toBe(99.5);
    expect(keepExact.call(null, "name", "10223344556677889", { source: '"10223344556677889"' })).toBe("10223344556677889");
  });

  test("a browser without the source of a number reads it as it does", () => {
    expect(keepExact.call(null, "customer", 10223344556677888)).toBe(10223344556677888);
    expect(parseExactly('{"a": [1, "x"], "b": 0.5}')).toEqual({ a: [1, "x"], b: 0.5 });
  });

  test("it is written back as the number it was", () => {
    vi.stubGlobal("JSON", Object.assign(Object.create(JSON) as JSON, { rawJSON: (text: string) => ({ raw: text }), stringify: JSON.stringify, parse: JSON.parse }));
    expect(new ExactNumber("10223344556677889").toJSON()).toEqual({ raw: "10223344556677889" });
    vi.unstubAllGlobals();
  });

  test("it is written into an input without quotes, also within a list", () => {
    expect(writeValue(new ExactNumber("10223344556677889"))).toBe("10223344556677889");
    expect(writeValue("10223344556677889")).toBe("10223344556677889");
  });

  test.each(["90071992547409931", "-10223344556677889", "0.10000000000000000001"])("%s that is typed stays what was typed", (text) =>
    expect(readValue(text)).toBe(text));

  test("a condition on such a number is one, and comes out of the builder's tree as it went in", () => {
    const number = new ExactNumber("10223344556677889");
    const where = { customer: { is: number } };
    expect(whereOf(treeOf(where))).toEqual(where);
    expect(whereOf(treeOf({ customer: number }))).toEqual(where);
  });
});
