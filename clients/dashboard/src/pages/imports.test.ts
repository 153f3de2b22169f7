import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { foundIn, MappingTable, type Column, type Mapping } from "./imports";

function mapped(type: string, part: object = {}): string {
  const column: Column = { name: "app", position: 1, samples: [], attribute: "app", attribute_reason: "", type, type_reason: "" };
  const mapping: Mapping = { id_column: "id", columns: { app: { attribute: "app", type, ...part } }, blank: "keep" };
  return renderToString(createElement(MappingTable, { columns: [column], mapping, isSuggested: false, onMapping: () => {} }));
}

test.each(["text", "number", "boolean", "instant", "version", "list"])("a column of type %s is shown as one", (type) =>
  expect(mapped(type)).toContain(`<option selected="">${type}</option>`));

test("a list says what separates its elements, and only a list does", () => {
  expect(mapped("list")).toMatch(/aria-label="Separator of app"[^>]* value=";"/);
  expect(mapped("list", { separator: "|" })).toMatch(/aria-label="Separator of app"[^>]* value="\|"/);
  expect(mapped("text")).not.toContain("Separator of");
});

test("what a cell says is quoted, a description is not", () => {
  expect(foundIn({ code: "unreadable", found: ["gold", ' "x"'] })).toBe('"gold", " \\"x\\""');
  expect(foundIn({ code: "id_too_long", found: ["uuu…"] })).toBe('"uuu…"');
  expect(foundIn({ code: "no_id", found: ["a blank cell"] })).toBe("a blank cell");
  expect(foundIn({ code: "wrong_width", found: ["2 cells in line 3", "4 cells in line 9"] })).toBe("2 cells in line 3, 4 cells in line 9");
});
