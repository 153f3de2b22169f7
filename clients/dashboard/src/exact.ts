/**
 * Numbers that JavaScript would round, kept as they were written.
 * Rule: what is read and written back unchanged is the same number; where the browser gives no source text of a number,
 * the number is as JavaScript reads it.
 */

/** The browser's own way to the text of a number, and back; not in every browser, and not yet in TypeScript. */
interface SourceJSON { rawJSON?: (text: string) => unknown }
export type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;

/** A number with more digits than a JavaScript number holds. */
export class ExactNumber {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }

  /** In JSON it is a number again. */
  toJSON(): unknown {
    return (JSON as SourceJSON).rawJSON?.(this.text) ?? this.text;
  }
}

/** A text that holds no number this long holds none that is rounded. */
const LONG = /[\d.]{16}/;

/** Read JSON. Cost: where no number is long, that of `JSON.parse`. */
export function parseExactly(text: string): unknown {
  return LONG.test(text) ? JSON.parse(text, keepExact as Parameters<typeof JSON.parse>[1]) : JSON.parse(text);
}

export const keepExact: Reviver = (_key, value, context) =>
  typeof value === "number" && context?.source !== undefined && !isExact(context.source) ? new ExactNumber(context.source) : value;

/** Whether a JavaScript number says the same as the text it is read from: `1.0` and `1` do. */
export function isExact(text: string): boolean {
  return decimal(text) === decimal(String(Number(text)));
}

/** A number's sign, digits and power of ten, written in one way only. */
function decimal(text: string): string {
  const [, sign, whole = "", part = "", power] = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const digits = (whole + part).replace(/^0+/, "");
  const kept = digits.replace(/0+$/, "");
  return kept === "" ? (whole + part ? "0" : text) : `${sign === "-" ? "-" : ""}${kept}e${Number(power ?? 0) - part.length + digits.length - kept.length}`;
}
