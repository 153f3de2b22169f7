import { expect, test } from "vitest";
import { treeOf } from "../query";
import { isEdited, type Draft } from "./draft";

const SAVED = 'plan is "pro"';
const BLANK = treeOf([]);
const read = (text: string) => ({ text }) as Draft["readings"];
const draft = (stands: Partial<Draft>): Draft => ({
  text: "", tree: BLANK, leads: "text", readings: null, faults: [], unfinished: false, checked: false, preview: null, previewing: false,
  trouble: null, ...stands,
});

test.each<[string, boolean, Partial<Draft>]>([
  ["as it was saved, not read yet", false, { text: SAVED }],
  ["as it was saved, and read", false, { text: SAVED, checked: true, readings: read(SAVED) }],
  ["another text, not read yet", true, { text: "plan is free", readings: read(SAVED) }],
  ["a text with a fault", true, { text: "plan is is", checked: true }],
  ["no text any more", true, { text: "", unfinished: true }],
  ["another spelling of it", false, { text: "plan is pro", checked: true, readings: read(SAVED) }],
  ["put back in the text, and not read because nothing answers", false, { text: SAVED, readings: read("plan is free"), trouble: "away" }],
  ["built, not read yet", true, { text: SAVED, leads: "tree", readings: read(SAVED) }],
  ["built, with a condition that is not finished", true, { text: SAVED, leads: "tree", readings: read(SAVED), unfinished: true }],
  ["built back to what it was", false, { text: SAVED, leads: "tree", checked: true, readings: read(SAVED) }],
])("a saved condition that stands there %s", (_name, edited, stands) => {
  expect(isEdited(draft(stands), SAVED)).toBe(edited);
});

test.each<[string, boolean, Partial<Draft>]>([
  ["with nothing in it", false, { tree: treeOf([{ "": "" }]), unfinished: true }],
  ["with a text", true, { text: "plan" }],
  ["with spaces", false, { text: "  " }],
  ["built, with an attribute and nothing else", true, { tree: { combinator: "and", rules: [{ field: "plan", operator: "is", value: "" }] } }],
  ["built, with a value within a group", true, { tree: { combinator: "and", rules: [{ combinator: "or", rules: [{ field: "", operator: "is", value: "pro" }] }] } }],
])("a new condition %s", (_name, edited, stands) => {
  expect(isEdited(draft(stands), null)).toBe(edited);
});
