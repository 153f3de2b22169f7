import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { Problem } from "../api";
import { Trouble } from "./states";

const shown = (error: Problem) => renderToString(createElement(Trouble, { error }));

test("where the session has ended the way back into it is offered on the page", () => {
  const page = shown(new Problem(401, "no_session", "no session", "", []));
  expect(page).toContain("The session has ended.");
  expect(page).toMatch(/<button[^>]*>Log in again<\/button>/);
  expect(page).not.toContain("Reload");
  expect(shown(new Problem(403, "forbidden", "the key may not", "", []))).not.toContain("Log in again");
});
