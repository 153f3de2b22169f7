/** Numbers, instants and values as people read them. Rule: pure; the caller gives "now" where an age is wanted. */
import type { Value } from "./api";
import { ExactNumber, isExact, parseExactly } from "./exact";

const grouped = new Intl.NumberFormat("en");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function count(number: number | null | undefined): string {
  return number === null || number === undefined ? "–" : grouped.format(number);
}

/** A number with its noun: "1 contact", "2,310 contacts". */
export function counted(number: number, noun: string, plural = `${noun}s`): string {
  return `${grouped.format(number)} ${number === 1 ? noun : plural}`;
}

/** How long a span of milliseconds is, in its two largest units at most: "3 d 4 h", "12 s", "40 ms". */
export function duration(ms: number): string {
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  const units: [number, string][] = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];
  const first = units.findIndex(([size]) => ms >= size);
  const [size, unit] = units[first]!;
  const whole = Math.floor(ms / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((ms - whole * size) / next[0]) : 0;
  return next && rest > 0 && whole < 10 ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

/** How old an instant is: "now", "12 s ago"; for one ahead "in 3 d". */
export function age(instant: string | number | null, now: number): string {
  if (instant === null) return "never";
  const at = typeof instant === "number" ? instant : Date.parse(instant);
  const apart = now - at;
  if (Math.abs(apart) < SECOND) return "now";
  return apart > 0 ? `${duration(apart)} ago` : `in ${duration(-apart)}`;
}

/** An instant in UTC to the second: "2026-05-01 12:00:00 UTC"; with its milliseconds when it has any. */
export function instant(at: string | number): string {
  const written = new Date(at).toISOString();
  return `${written.slice(0, 10)} ${written.slice(11, written.endsWith(".000Z") ? 19 : 23)} UTC`;
}

/** A cost: "0.42 µs"; a dash where it was not measured. */
export function microseconds(us: number | null | undefined): string {
  if (us === null || us === undefined) return "–";
  return us < 1_000 ? `${us < 10 ? us.toFixed(2) : us.toFixed(0)} µs` : `${(us / 1_000).toFixed(1)} ms`;
}

export function clockTime(at: string | number): string {
  return new Date(at).toISOString().slice(11, 23);
}

export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "list";
  if (value instanceof ExactNumber) return "number";
  return typeof value === "string" ? "text" : typeof value;
}

/** Line breaks and their like: an input drops them, or does not show them. */
const CONTROL = /[\u0000-\u001f]/;

/** A value as it is written in an input: text that could be read as something else, or has line breaks, stands in quotes. */
export function writeValue(value: Value): string {
  if (value instanceof ExactNumber) return value.text;
  if (typeof value !== "string") return JSON.stringify(value);
  return typeof guess(value) === "string" && value === value.trim() && !value.startsWith('"') && !CONTROL.test(value) ? value : JSON.stringify(value);
}

/** What an input means: `12` a number, `true` a boolean, `["a"]` a list; `"12"`, a number that would be rounded, and everything else text. */
export function readValue(written: string): Value {
  const text = written.trim();
  return unquoted(text) ?? guess(text);
}

function unquoted(text: string): string | null {
  if (!/^".*"$/s.test(text)) return null;
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === "string" ? read : null;
  } catch {
    return null;
  }
}

/** Text where nothing but text can stand: as it is, in quotes only if it has line breaks. */
export function writeText(text: string): string {
  return CONTROL.test(text) ? JSON.stringify(text) : text;
}

export function readText(written: string): string {
  const read = unquoted(written);
  return read !== null && CONTROL.test(read) ? read : written;
}

/** One element up to the next comma; one that begins with a quote goes on to the quote that ends it. */
const ELEMENT = /\s*("(?:\\.|[^"\\])*"?[^,]*|[^,]+)/g;

/** The elements of a list in one input: `ny, "Washington, DC"`; what holds a comma, and empty text, stands in quotes. */
export function writeElements(values: readonly Value[]): string {
  return values.map(writeElement).join(", ");
}

/** What such an input means. `had` are the elements of before: what is still written so is still the same value. */
export function readElements(written: string, had: readonly Value[]): Value[] {
  return [...written.matchAll(ELEMENT)].map(([, element = ""]) => element.trim()).filter(Boolean)
    .map((element) => had.find((each) => writeElement(each) === element) ?? readValue(element));
}

function writeElement(value: Value): string {
  const written = writeValue(value);
  return typeof value === "string" && (written === "" || (written.includes(",") && !written.startsWith('"'))) ? JSON.stringify(value) : written;
}

function guess(text: string): Value {
  if (text === "true" || text === "false") return text === "true";
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) && isExact(text)) return Number(text);
  if (text.startsWith("[") && text.endsWith("]")) {
    try {
      const read = parseExactly(text);
      if (Array.isArray(read) && read.every((each) => each instanceof ExactNumber || ["string", "number", "boolean"].includes(typeof each))) return read as Value;
    } catch {
      return text;
    }
  }
  return text;
}

/** A segment id made of a name: "Active Pro users" is `active_pro_users`. */
export function slug(name: string): string {
  return plainLetters(name).replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 100);
}

/** A segment id as far as it is typed: nothing that an id cannot hold, and everything that it can. */
export function typedId(text: string): string {
  return plainLetters(text).replace(/[^a-z0-9_-]+/g, "_").replace(/^[_-]+/, "").slice(0, 100);
}

function plainLetters(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
