/**
 * Journeys of people who leave an editor, or are put out of it, with something in it that is not saved.
 * Rule: each way out is one that a person has: a link, the history, the tab itself.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import { seriousFindings } from "./browser.mjs";

/** Longer than a page takes to act on an answer that it has. */
const SETTLED_MS = 500;

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function leavingJourneys(at) {
  const question = () => at().page.getByRole("dialog", { name: "Leave without saving?" });
  const focused = () => at().page.evaluate(() => document.activeElement?.textContent);
  const path = () => new URL(at().page.url()).pathname;

  test("an edit that is not saved is asked about before a link, the history or the tab loses it", async () => {
    const { page, stack, go, shown, writeText } = at();
    const bar = page.getByRole("link", { name: "Contacts", exact: true });
    const stays = async (how) => {
      await question().waitFor({ state: "detached" });
      assert.equal(path(), "/segments/half_done", how);
      await shown(".cm-content", "mrr > 15");
    };
    await stack.api("POST", "/segments", { id: "half_done", name: "Half done", where: "mrr > 99" });
    await go("/");
    await page.getByRole("link", { name: "Half done", exact: true }).click();
    await shown("[data-testid=english]", "99");
    await writeText("mrr > 15");
    await shown("[data-testid=english]", "15");

    await bar.click();
    await question().getByText("Your edit of the condition of “Half done” has not been saved").waitFor();
    assert.equal(await focused(), "Stay");
    assert.deepEqual(await seriousFindings(page), []);
    await page.keyboard.press("Escape");
    await stays("Escape");
    assert.equal(await focused(), "Contacts");
    await page.locator(".sample a").first().click();
    await question().getByRole("button", { name: "Stay" }).click();
    await stays("a contact of the sample");
    await page.evaluate(() => history.back());
    await question().getByRole("button", { name: "Stay" }).click();
    await stays("back");
    const asked = once(page, "dialog");
    await page.evaluate(() => setTimeout(() => location.reload()));
    const [dialog] = await asked;
    assert.equal(dialog.type(), "beforeunload");
    await dialog.dismiss();
    await stays("the tab");

    await page.evaluate(() => history.back());
    await question().getByRole("button", { name: "Leave without saving" }).click();
    await shown("h1", "Segments");
    assert.equal(path(), "/");
    await page.evaluate(() => history.forward());
    await shown(".cm-content", "mrr > 99");
  });

  test("an editor whose text is saved, or stands as it stood, is left without a question", async () => {
    const { page, go, shown, writeText, press } = at();
    const leave = async () => {
      await page.getByRole("link", { name: "Contacts", exact: true }).click();
      await shown("h1", "Contacts");
      assert.equal(await question().count(), 0);
      await page.evaluate(() => history.back());
      await shown("[data-testid=english]", "Contacts where");
    };
    await go("/segments/half_done");
    await shown("[data-testid=english]", "99");
    await leave();
    await writeText("mrr > 15");
    await shown("[data-testid=english]", "15");
    await writeText("mrr > 99");
    await shown("[data-testid=english]", "99");
    await leave();
    await writeText("mrr > 16");
    await shown("[data-testid=difference]", "enter");
    await press("Save new version");
    await shown(".notice", "Version 2 is saved");
    await leave();
    await go("/new-segment");
    await writeText("mrr > 17");
    await shown("[data-testid=matches]", "match now");
    await page.getByLabel("Name").fill("Half done, and done");
    await press("Create segment");
    await shown("h1", "Half done, and done");
    assert.equal(await question().count(), 0);
  });

  test("a value that is typed and not written is asked about, and one that is written is not", async () => {
    const { page, stack, go, shown } = at();
    const bar = page.getByRole("link", { name: "Activity", exact: true });
    const seats = page.getByLabel("seats", { exact: true });
    await stack.api("PATCH", "/contacts/typed", { attributes: { seats: 5, tier: "gold" } });
    await go("/contacts/typed");
    await seats.fill("6");
    await page.getByLabel("tier", { exact: true }).fill("silver");
    await bar.click();
    await question().getByText("The value you typed for “seats” has not been written, and would be lost. The value you typed for “tier”").waitFor();
    await question().getByRole("button", { name: "Stay" }).click();
    await page.getByLabel("tier", { exact: true }).press("Escape");
    assert.equal(await seats.inputValue(), "6");
    await seats.press("Enter");
    await shown("[role=status]", "seats was written");
    await bar.click();
    await shown("h1", "Activity");
    assert.equal(await question().count(), 0);
    await go("/contacts/typed");
    await page.getByLabel("New attribute's value").fill("7");
    await bar.click();
    await question().getByText("The value you typed for a new attribute").waitFor();
    await question().getByRole("button", { name: "Leave without saving" }).click();
    await shown("h1", "Activity");
  });

  test("an editor that nobody has written in shows what somebody else saves", async () => {
    const { page, stack, go, shown } = at();
    await go("/segments/half_done");
    await shown(".cm-content", "mrr > 16");
    const theirs = await fetch(`${stack.console}/api/v2/segments/half_done`, {
      method: "PUT", headers: { Authorization: `Bearer ${stack.key}`, "If-Match": '"2"', "Content-Type": "application/json" },
      body: JSON.stringify({ where: "mrr > 18" }),
    });
    assert.equal(theirs.status, 200);
    await shown(".cm-content", "mrr > 18");
    assert.ok(await page.getByRole("button", { name: "Save new version" }).isDisabled());
  });

  test("whoever goes on while a segment is being created stays where they went", async () => {
    const { page, go, shown, writeText, press } = at();
    await go("/new-segment");
    await writeText("mrr > 20");
    await page.getByLabel("Name").fill("Not waited for");
    await shown("[data-testid=matches]", "match now");
    let leave;
    const left = new Promise((resolve) => (leave = resolve));
    await page.route("**/api/v2/segments", (route) => left.then(() => route.continue()));
    const created = page.waitForResponse((answer) => answer.request().method() === "POST" && answer.url().endsWith("/segments"));
    await press("Create segment");
    await page.getByRole("link", { name: "Contacts", exact: true }).click();
    await question().getByRole("button", { name: "Leave without saving" }).click();
    await shown("h1", "Contacts");
    leave();
    assert.equal((await created).status(), 201);
    await pause(SETTLED_MS);
    assert.equal(path(), "/contacts");
    await page.unroute("**/api/v2/segments");
  });

  test("whoever is logged out over an edit logs in on the same page, finds the edit there and saves it", async () => {
    const { page, stack, go, shown, writeText, press } = at();
    await go("/segments/half_done");
    await shown("[data-testid=english]", "18");
    await writeText("mrr > 19");
    await shown("[data-testid=difference]", "leave");
    await page.context().clearCookies();
    await press("Save new version");
    await shown("[role=alert]", "The session has ended");
    await press("Log in again");
    await page.locator("#key").waitFor();
    assert.equal(path(), "/segments/half_done");
    await page.fill("#key", stack.key);
    await page.keyboard.press("Enter");
    await page.locator("#key").waitFor({ state: "detached" });
    await page.waitForFunction(() => document.querySelector("[role=alert]") === null && document.activeElement?.id === "content");
    await shown(".cm-content", "mrr > 19");
    assert.match(await page.title(), /^half_done/);
    await shown(".link", "Live");
    await press("Save new version");
    await shown(".notice", "Version 4 is saved");
  });
}
