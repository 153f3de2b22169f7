import { describe, expect, test } from "vitest";
import { age, counted, duration, instant, microseconds, readValue, slug, writeValue } from "./format";

describe("format", () => {
  test.each([[0, "0 ms"], [999, "999 ms"], [61_000, "1 min 1 s"], [3_600_000, "1 h"], [90_061_000, "1 d 1 h"], [864_000_000, "10 d"]])(
    "%d ms is written %s", (ms, written) => expect(duration(ms)).toBe(written));

  test("an age says how long ago, or how long until", () => {
    expect(age(1_000, 13_000)).toBe("12 s ago");
    expect(age("1970-01-01T00:00:13Z", 1_000)).toBe("in 12 s");
    expect(age(null, 1_000)).toBe("never");
  });

  test("one contact is not plural", () => expect([counted(1, "contact"), counted(2310, "contact")]).toEqual(["1 contact", "2,310 contacts"]));

  test.each([[0.4234, "0.42 µs"], [12.4, "12 µs"], [1_500, "1.5 ms"], [null, "–"]])("a cost of %d is %s", (us, written) => expect(microseconds(us)).toBe(written));

  test("milliseconds are written when there are any", () =>
    expect([instant(0), instant(5)]).toEqual(["1970-01-01 00:00:00 UTC", "1970-01-01 00:00:00.005 UTC"]));

  test.each(["pro", 12, -0.5, true, "12", "true", " spaced ", '"quoted"', "[x", ["a", 1], "", "02134", "[1]"])(
    "%j survives being written and read", (value) => expect(readValue(writeValue(value))).toEqual(value));

  test("a name becomes a slug", () => expect(slug("  Äctive Pro-users! ")).toBe("a_ctive_pro_users"));
});
