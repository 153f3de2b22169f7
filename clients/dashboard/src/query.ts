/**
 * The visual builder's tree and the language's JSON form, each made of the other.
 * Rule: every canonical expression has a tree that gives the same expression back; what is not finished yet has none.
 * Pure; what an expression means, and whether it may be saved, is the API's to say.
 */
import type { Value } from "./api";
import { ExactNumber } from "./exact";

export interface ConditionRule {
  id?: string; field: string; operator: string; value: unknown; missing?: "include" | "exclude"; exact?: boolean;
}
export interface Group { id?: string; combinator: "and" | "or"; not?: boolean; rules: (Group | ConditionRule)[] }

export const SEGMENT_FIELD = "@segment";
export type Input = "value" | "number" | "range" | "set" | "text" | "duration" | "instant" | "boolean" | "version" | "none" | "segment";
export interface Operator { name: string; label: string; input: Input; cased?: boolean; group: string }

/** The tests as the builder offers them; a name is the JSON form's own. */
export const OPERATORS: readonly Operator[] = [
  { name: "is", label: "is", input: "value", group: "Equal" },
  { name: "is_not", label: "is not", input: "value", group: "Equal" },
  { name: "exactly", label: "is exactly", input: "text", group: "Equal" },
  { name: "not_exactly", label: "is not exactly", input: "text", group: "Equal" },
  { name: "in", label: "is one of", input: "set", cased: true, group: "Equal" },
  { name: "not_in", label: "is none of", input: "set", cased: true, group: "Equal" },
  { name: "gt", label: "more than", input: "number", group: "Compare" },
  { name: "gte", label: "at least", input: "number", group: "Compare" },
  { name: "lt", label: "less than", input: "number", group: "Compare" },
  { name: "lte", label: "at most", input: "number", group: "Compare" },
  { name: "between", label: "between", input: "range", group: "Compare" },
  { name: "contains", label: "contains", input: "text", cased: true, group: "Text" },
  { name: "not_contains", label: "does not contain", input: "text", cased: true, group: "Text" },
  { name: "starts_with", label: "starts with", input: "text", cased: true, group: "Text" },
  { name: "not_starts_with", label: "does not start with", input: "text", cased: true, group: "Text" },
  { name: "ends_with", label: "ends with", input: "text", cased: true, group: "Text" },
  { name: "not_ends_with", label: "does not end with", input: "text", cased: true, group: "Text" },
  { name: "any_of", label: "has any of", input: "set", cased: true, group: "List" },
  { name: "all_of", label: "has all of", input: "set", cased: true, group: "List" },
  { name: "none_of", label: "has none of", input: "set", cased: true, group: "List" },
  { name: "within_last", label: "within the last", input: "duration", group: "Time" },
  { name: "more_than_ago", label: "more than … ago", input: "duration", group: "Time" },
  { name: "within_next", label: "within the next", input: "duration", group: "Time" },
  { name: "more_than_from_now", label: "more than … from now", input: "duration", group: "Time" },
  { name: "in_past", label: "in the past", input: "none", group: "Time" },
  { name: "in_future", label: "in the future", input: "none", group: "Time" },
  { name: "before", label: "before", input: "instant", group: "Time" },
  { name: "after", label: "after", input: "instant", group: "Time" },
  { name: "on", label: "on the day", input: "instant", group: "Time" },
  { name: "instant_is", label: "at the instant", input: "instant", group: "Time" },
  { name: "instant_is_not", label: "not at the instant", input: "instant", group: "Time" },
  { name: "set", label: "is set", input: "none", group: "Presence" },
  { name: "not_set", label: "is not set", input: "none", group: "Presence" },
  ...(["is", "is_not", "gt", "gte", "lt", "lte"] as const).map((test): Operator => ({
    name: `version_${test}`,
    label: `version ${{ is: "is", is_not: "is not", gt: "above", gte: "at least", lt: "below", lte: "at most" }[test]}`,
    input: "version",
    group: "Version",
  })),
];
export const SEGMENT_OPERATORS: readonly Operator[] = [
  { name: "in_segment", label: "contact is in", input: "segment", group: "Segment" },
  { name: "not_in_segment", label: "contact is not in", input: "segment", group: "Segment" },
];
const BY_NAME = new Map([...OPERATORS, ...SEGMENT_OPERATORS].map((operator) => [operator.name, operator]));
const COMBINATORS = new Set(["all", "any", "not", "segment", "attribute"]);

export function operatorOf(name: string): Operator {
  return BY_NAME.get(name) ?? OPERATORS[0]!;
}

export function isGroup(rule: Group | ConditionRule): rule is Group {
  return "rules" in rule;
}

/** Whether nothing has been put into a tree yet. */
export function isBlank(tree: Group): boolean {
  return !tree.not && tree.rules.every((each) => (isGroup(each) ? isBlank(each) : each.field === "" && each.value === ""));
}

/** The tree of an expression in its canonical JSON form; the outermost is always a group. */
export function treeOf(where: unknown): Group {
  const tree = nodeOf(where);
  return named(isGroup(tree) ? tree : { combinator: "and", rules: [tree] });
}

/**
 * The tree with an id at every place. What has no id is given another one with each edit, and whoever was typing in it
 * would lose the focus after one key.
 */
export function named(tree: Group, way = "w"): Group & { id: string } {
  return { ...tree, id: way, rules: tree.rules.map((each, at) => (isGroup(each) ? named(each, `${way}.${at}`) : { ...each, id: `${way}.${at}` })) };
}

function nodeOf(where: unknown): Group | ConditionRule {
  if (Array.isArray(where)) return { combinator: "and", rules: where.map(nodeOf) };
  const form = where as Record<string, unknown>;
  if ("all" in form) return { combinator: "and", rules: (form["all"] as unknown[]).map(nodeOf) };
  if ("any" in form) return { combinator: "or", rules: (form["any"] as unknown[]).map(nodeOf) };
  if ("segment" in form) return { field: SEGMENT_FIELD, operator: "in_segment", value: form["segment"] };
  if ("not" in form) return negated(nodeOf(form["not"]));
  if ("attribute" in form) {
    const { attribute, ...test } = form;
    return ruleOf(String(attribute), test);
  }
  const entries = Object.entries(form);
  if (entries.length === 1) return ruleOf(entries[0]![0], entries[0]![1]);
  return { combinator: "and", rules: entries.map(([name, test]) => ruleOf(name, test)) };
}

function negated(inner: Group | ConditionRule): Group | ConditionRule {
  if (isGroup(inner)) return inner.not ? { combinator: "and", not: true, rules: [inner] } : { ...inner, not: true };
  if (inner.operator === "in_segment") return { ...inner, operator: "not_in_segment" };
  return { combinator: "and", not: true, rules: [inner] };
}

function ruleOf(field: string, test: unknown): Group | ConditionRule {
  if (Array.isArray(test)) return { field, operator: "in", value: test };
  if (typeof test !== "object" || test === null || test instanceof ExactNumber) return { field, operator: "is", value: test };
  const { missing, case: letters, ...tests } = test as Record<string, unknown>;
  const rules = Object.entries(tests).map(([operator, value]): ConditionRule => ({
    field,
    operator: operator === "set" && value === false ? "not_set" : operator,
    value,
    ...(missing === "include" || missing === "exclude" ? { missing } : {}),
    ...(letters === "exact" ? { exact: true } : {}),
  }));
  return rules.length === 1 ? rules[0]! : { combinator: "and", rules };
}

/** The expression of a tree in the JSON form; null while a condition in it is not finished. */
export function whereOf(node: Group | ConditionRule): unknown {
  if (!isGroup(node)) return conditionOf(node);
  if (node.rules.length === 0) return null;
  const parts = node.rules.map(whereOf);
  if (parts.includes(null)) return null;
  const together = parts.length === 1 ? parts[0] : { [node.combinator === "or" ? "any" : "all"]: parts };
  return node.not ? { not: together } : together;
}

function conditionOf(rule: ConditionRule): unknown {
  if (rule.field === SEGMENT_FIELD) {
    const named = typeof rule.value === "string" && rule.value !== "" ? { segment: rule.value } : null;
    return named && rule.operator === "not_in_segment" ? { not: named } : named;
  }
  const operator = operatorOf(rule.operator);
  const value = testedValue(operator, rule.value);
  if (rule.field === "" || value === null) return null;
  const test: Record<string, unknown> = { [operator.name === "not_set" ? "set" : operator.name]: value };
  if (rule.missing) test["missing"] = rule.missing;
  if (rule.exact && operator.cased) test["case"] = "exact";
  return COMBINATORS.has(rule.field) ? { attribute: rule.field, ...test } : { [rule.field]: test };
}

/** Tests that hold of a missing value unless the condition says otherwise: the complements of the positive ones. */
const NEGATIVE = new Set(["is_not", "not_exactly", "not_in", "not_contains", "not_starts_with", "not_ends_with", "none_of", "version_is_not", "instant_is_not"]);

/** Whether a condition can say what it gives for a missing value. */
export function hasMissingPolicy(rule: ConditionRule): boolean {
  return rule.field !== SEGMENT_FIELD && rule.operator !== "set" && rule.operator !== "not_set";
}

/** What a condition gives for a missing value: what it says, else what its test does by itself. */
export function missingPolicy(rule: ConditionRule): "include" | "exclude" {
  return rule.missing ?? defaultPolicy(rule);
}

function defaultPolicy(rule: ConditionRule): "include" | "exclude" {
  return NEGATIVE.has(rule.operator) ? "include" : "exclude";
}

/** The condition with a policy, which is left out where the test gives it by itself. */
export function withPolicy(rule: ConditionRule, policy: "include" | "exclude"): ConditionRule {
  const { missing: _before, ...rest } = rule;
  return policy === defaultPolicy(rule) ? rest : { ...rest, missing: policy };
}

export interface Met { rule: ConditionRule; way: readonly number[]; isTurned: boolean }

/**
 * Every finished condition of a tree that can meet a missing value, with the way to it, and whether an odd number of
 * `not` on that way turns round what it gives.
 */
export function conditionsOf(tree: Group, way: readonly number[] = [], isOutsideTurned = false): Met[] {
  const isTurned = isOutsideTurned !== (tree.not ?? false);
  return tree.rules.flatMap((each, at) => {
    if (isGroup(each)) return conditionsOf(each, [...way, at], isTurned);
    return hasMissingPolicy(each) && whereOf(each) !== null ? [{ rule: each, way: [...way, at], isTurned }] : [];
  });
}

/** The tree with the condition at the end of a way exchanged. */
export function replaced<T>(tree: T, way: readonly number[], rule: unknown): T {
  const [at, ...rest] = way;
  if (at === undefined) return rule as T;
  const group = tree as unknown as { rules: unknown[] };
  return { ...group, rules: group.rules.map((each, index) => (index === at ? replaced(each, rest, rule) : each)) } as unknown as T;
}

/** The value under an operator, or null when there is none yet. */
function testedValue(operator: Operator, value: unknown): unknown {
  if (operator.input === "none") return operator.name !== "not_set";
  if (operator.input === "set") return Array.isArray(value) && value.length > 0 ? value : null;
  if (operator.input === "duration") return typeof value === "string" && durationParts(value)[0] !== "" ? value : null;
  if (operator.input === "range") return Array.isArray(value) && value.length === 2 && !value.includes("") ? value : null;
  return value === "" || value === undefined || Array.isArray(value) ? null : value;
}

/** A duration's number and unit as they are written, whether or not the API takes that number. */
export function durationParts(value: string): [number: string, unit: string] {
  const [, number = "", unit = "d"] = /^(.*)([smhdw])$/.exec(value) ?? [];
  return [number, unit];
}

/** What a value becomes when a condition's operator is exchanged: kept where it still fits. */
export function carried(value: unknown, to: Operator): unknown {
  const first = (Array.isArray(value) ? value[0] : value) as Value | undefined;
  if (to.input === "set") return Array.isArray(value) ? value : first === "" || first === undefined ? [] : [first];
  if (to.input === "range") return Array.isArray(value) && value.length === 2 ? value : ["", ""];
  if (to.input === "duration") return typeof first === "string" && /^\d+[smhdw]$/.test(first) ? first : "7d";
  if (to.input === "none") return "";
  if (to.input === "text" || to.input === "version") return first === undefined ? "" : String(first);
  return first ?? "";
}
