import { describe, expect, test } from "vitest";
import { age, counted, duration, instant, microseconds, readElements, readText, readValue, slug, typedId, writeElements, writeText, writeValue } from "./format";

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

  test.each(["pro", 12, -0.5, true, "12", "true", " spaced ", '"quoted"', "[x", ["a", 1], "", "02134", "[1]", "a\nb", "\r", "a\tb"])(
    "%j survives being written and read", (value) => expect(readValue(writeValue(value))).toEqual(value));

  test.each(["a\nb", "\r\n"])("no line break of %j is left to an input, which would drop it", (value) =>
    expect([writeValue(value), writeText(value)].join("")).not.toMatch(/[\r\n]/));

  test.each(["a\nb", '"quoted"', "12", " spaced ", "plain"])("the text %j survives being written and read where only text can stand", (text) =>
    expect(readText(writeText(text))).toBe(text));

  test.each([[["ny", "Washington, DC"]], [["a", 1, true, -2.5]], [['"', "a\"b", ",", "x,\"y"]], [[""]], [["12", "true", " s ", "[1"]], [["a\nb, c"]], [[]]])(
    "the elements %j survive being written and read", (values) => expect(readElements(writeElements(values), [])).toEqual(values));

  test("elements are typed with or without quotes, and a comma too many is none", () => {
    expect(readElements('US, 5" nails,, "Washington, DC" ,12,', [])).toEqual(["US", '5" nails', "Washington, DC", 12]);
    expect(readElements('US, "Washington, D', [])).toEqual(["US", '"Washington, D']);
  });

  test("a name becomes a slug", () => expect(slug("  Äctive Pro-users! ")).toBe("active_pro_users"));

  test("an id can be typed letter by letter, with all that an id may hold", () => {
    const typed = (text: string) => [...text].reduce((before, letter) => typedId(before + letter), "");
    expect([typed("big-spenders_2"), typed("_a--b__"), typed("Ünï Çode!"), typed("東京")]).toEqual(["big-spenders_2", "a--b__", "uni_code_", ""]);
    expect(typed("x".repeat(120))).toBe("x".repeat(100));
  });
});
