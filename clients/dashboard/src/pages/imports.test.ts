import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { SWRConfig } from "swr";
import { expect, test, vi } from "vitest";
import Imports, { foundIn, MappingTable, Progress, type Column, type Mapping } from "./imports";

function mapped(type: string, part: object = {}, origin = "given"): string {
  const column: Column = { name: "app", position: 1, samples: [], attribute: "app", attribute_reason: "", type, type_reason: "" };
  const mapping: Mapping = { id_column: "id", columns: { app: { attribute: "app", type, ...part } }, blank: "keep" };
  return renderToString(createElement(MappingTable, { columns: [column], mapping, origin, onMapping: () => {} }));
}

test.each(["text", "number", "boolean", "instant", "version", "list"])("a column of type %s is shown as one", (type) =>
  expect(mapped(type)).toContain(`<option selected="">${type}</option>`));

test("a list says what separates its elements, and only a list does", () => {
  expect(mapped("list")).toMatch(/aria-label="Separator of app"[^>]* value=";"/);
  expect(mapped("list", { separator: "|" })).toMatch(/aria-label="Separator of app"[^>]* value="\|"/);
  expect(mapped("text")).not.toContain("Separator of");
});

test("a mapping says whether it is a suggestion, or that of an earlier file", () => {
  expect(mapped("text", {}, "suggested")).toContain("is a suggestion");
  expect(mapped("text", {}, "remembered")).toContain("A file with the same header was imported before");
  expect(mapped("text")).not.toMatch(/is a suggestion|was imported before/);
});

test("an import that stands still says what it waits for", () => {
  const shown = (waiting: string | null) => renderToString(createElement(Progress, {
    import_: { state: "running", bytes_total: 100, bytes_read: 40, rows_read: 4_999, rate_rows_per_s: null, eta_s: null, waiting },
  })).replaceAll(/<[^>]*>/g, "");
  expect(shown("for the broker")).toBe("Writing: 4,999 rows read; waiting for the broker");
  expect(shown(null)).toBe("Writing: 4,999 rows read");
});

test("imports that the first page has no room for can be gone to", () => {
  vi.stubGlobal("location", { pathname: "/imports", search: "" });
  const one = { id: "imp_1", name: "people.csv", state: "completed", accepted: 1, rejected: 0, created_at: "2026-01-01T00:00:00Z" };
  const shown = (next: string | null) => {
    const provider = () => new Map([["/imports", { data: { imports: [one], next }, error: undefined, isLoading: false, isValidating: false, _k: "/imports" }]]);
    return renderToString(createElement(SWRConfig, { value: { provider } }, createElement(Imports)));
  };
  expect(shown("imp_1")).toMatch(/<button[^>]* aria-label="Older imports">/);
  expect(shown(null)).not.toContain("Older imports");
});

test("what a cell says is quoted, a description is not", () => {
  expect(foundIn({ code: "unreadable", found: ["gold", ' "x"'] })).toBe('"gold", " \\"x\\""');
  expect(foundIn({ code: "id_too_long", found: ["uuu…"] })).toBe('"uuu…"');
  expect(foundIn({ code: "no_id", found: ["a blank cell"] })).toBe("a blank cell");
  expect(foundIn({ code: "wrong_width", found: ["2 cells in line 3", "4 cells in line 9"] })).toBe("2 cells in line 3, 4 cells in line 9");
});
