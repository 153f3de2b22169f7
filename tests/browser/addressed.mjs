/**
 * Journeys of people who load a page anew, pass its address on, or go back: what they asked of it is still asked.
 * Rule: what is expected is read from another load of the same address.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function addressedJourneys(at) {
  test("a search and an order are still there after a reload and on the way back", async () => {
    const { page, stack, go, shown } = at();
    for (const name of ["Addressed", "Elsewhere"]) await stack.api("POST", "/segments", { id: name.toLowerCase(), name, where: `${name.toLowerCase()} is true` });
    await go("/");
    await page.getByLabel("Search segments").fill("addressed is");
    await page.getByRole("button", { name: /^Saved/ }).click();
    await page.locator("[aria-sort=descending].saved_at").waitFor();
    await page.reload();
    await page.locator("[aria-sort=descending].saved_at").waitFor();
    assert.equal(await page.getByLabel("Search segments").inputValue(), "addressed is");
    assert.equal(await page.locator("[data-segment]").count(), 1);
    await page.getByRole("link", { name: "Addressed", exact: true }).click();
    await shown("h1", "Addressed");
    await page.goBack();
    await page.locator("[data-segment=addressed]").waitFor();
    assert.equal(await page.getByLabel("Search segments").inputValue(), "addressed is");
    await page.getByRole("link", { name: "Segments", exact: true }).click();
    await page.locator("[data-segment]").nth(1).waitFor();
    assert.equal(await page.getByLabel("Search segments").inputValue(), "");
  });

  test("whatever is typed to find a contact is found again as it was typed", async () => {
    const { page, stack, go } = at();
    const id = "50%25+a&b=ü #1";
    await stack.api("PATCH", `/contacts/${encodeURIComponent(id)}`, { attributes: { odd: true } });
    await go("/contacts");
    await page.getByLabel("Contact id").fill("50%25+a&b=ü #");
    await page.locator(".ids li", { hasText: id }).waitFor();
    await page.reload();
    await page.locator(".ids li", { hasText: id }).waitFor();
    assert.equal(await page.getByLabel("Contact id").inputValue(), "50%25+a&b=ü #");
    assert.equal(await page.locator(".ids li").count(), 1);
  });

  test("the import that is open is open for whoever loads its address, and closed by going back", async () => {
    const { page, stack, go } = at();
    await stack.api("POST", "/imports?filename=addressed.csv", "email,plan\na@x.example,pro\n");
    await go("/imports");
    const flow = page.getByRole("region", { name: "Import of addressed.csv" });
    await page.getByLabel("Open addressed.csv").click();
    await flow.waitFor();
    await page.reload();
    await flow.waitFor();
    await page.goBack();
    await flow.waitFor({ state: "detached" });
    await page.goForward();
    await flow.waitFor();
    await flow.getByRole("button", { name: "Close" }).click();
    await flow.waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).search, "");
  });

  test("the filters of the activity are those of its address", async () => {
    const { page, go } = at();
    await go("/activity?segment=addressed&contact=u_&change=exit&cause=time");
    assert.equal(await page.getByRole("combobox", { name: "Segment", exact: true }).inputValue(), "addressed");
    assert.deepEqual(
      await Promise.all([/^Contact/, /^Change/, /^Cause/].map((name) => page.locator(".filters").getByLabel(name).inputValue())), ["u_", "exit", "time"]);
    // What no choice shows narrows nothing.
    await go("/activity?segment=big_spenders&change=entered&cause=nothing");
    await page.locator(".change").first().waitFor();
  });

  test("why a contact is in a segment, and whether it was, is asked again by whoever loads the address", async () => {
    const { page, stack, go, shown } = at();
    await stack.api("POST", "/segments", { id: "asked_why", where: "asked is true" });
    await stack.api("PATCH", "/contacts/asked_1", { attributes: { asked: true } });
    await go("/contacts?prefix=asked_1");
    await page.getByRole("link", { name: "asked_1" }).click();
    await page.getByLabel("Why in asked_why").click();
    await page.getByLabel(/^Was it in asked_why/).fill("2026-01-01T00:00:00");
    await page.getByTestId("as-of").waitFor();
    await page.reload();
    await shown(".tree", "asked is true");
    await page.getByTestId("as-of").waitFor();
    // Going back for what is not saved is undone, and what was asked stands as it was.
    await page.getByLabel("asked", { exact: true }).fill("false");
    await page.goBack();
    await page.getByRole("button", { name: "Stay" }).click();
    await shown(".tree", "asked is true");
    assert.match(page.url(), /segment=asked_why/);
    await page.getByLabel("asked", { exact: true }).press("Escape");
  });

  test("the code that dead letters are narrowed to and the one that is open are those of the address", async () => {
    const { page, stack, go } = at();
    await stack.record("malformed", "addressed_letter", "not json");
    await go("/health");
    await page.locator(".letters tr", { hasText: "addressed_letter" }).getByRole("button", { name: /^Show dead letter/ }).click();
    const held = page.locator(".letter textarea");
    await held.waitFor();
    const opened = page.url();
    await page.locator(".filters").getByLabel("Code").fill("no_such_code");
    await page.reload();
    // Narrowed to others and shown all the same, because the address names it.
    await held.waitFor();
    assert.equal(await held.inputValue(), "not json");
    assert.equal(await page.locator(".filters").getByLabel("Code").inputValue(), "no_such_code");
    await page.locator(".letters tbody tr").nth(1).and(page.locator(".letters tbody tr").last()).waitFor();
    await held.fill("not yet sent");
    await page.goBack();
    await page.getByRole("button", { name: "Leave without saving" }).click();
    await held.waitFor({ state: "detached" });
    await page.goto(opened.replace(/letter=[^&]*/, "letter=0%2F99999999"));
    await page.getByText("Dead letter 0/99999999 is not kept any more.").waitFor();
  });

  test("a page of a list, and how far down the segments were gone, are found by a reload and on the way back", async () => {
    const { page, stack, go, shown } = at();
    await stack.api("POST", "/contacts", { contacts: Array.from({ length: 210 }, (_, n) => ({ id: `paged_${String(n).padStart(3, "0")}`, attributes: { paged: true } })) });
    await go("/contacts?prefix=paged_");
    const third = page.locator(".ids li", { hasText: "paged_209" });
    for (const number of [2, 3]) {
      await page.getByRole("button", { name: "Later contacts" }).click();
      await shown(".pager", `page ${number}`);
    }
    await page.reload();
    await third.waitFor();
    await page.getByRole("link", { name: "Skip to content" }).press("Enter");
    await page.locator("main:focus").waitFor();
    await shown(".pager", "page 3");
    await third.getByRole("link").click();
    await shown("h1", "paged_209");
    await page.goBack();
    await third.waitFor();
    await page.goBack();
    await shown(".pager", "page 2");
    await page.getByLabel("Contact id").fill("paged_20");
    await third.waitFor();
    assert.equal(await page.locator(".pager").count(), 0);

    await page.setViewportSize({ width: 1000, height: 400 });
    await go("/");
    const rows = page.locator(".scroller");
    const top = () => rows.evaluate((each) => each.scrollTop);
    await rows.evaluate((each) => each.scrollTo(0, 200));
    await page.waitForFunction(() => history.state?.top > 100);
    const left = await top();
    await page.reload();
    await page.locator("[data-segment]").first().waitFor();
    assert.equal(await top(), left);
    await page.getByRole("link", { name: "Contacts" }).click();
    await page.goBack();
    await page.locator("[data-segment]").first().waitFor();
    assert.equal(await top(), left);
    await page.getByRole("link", { name: "Contacts" }).click();
    await page.getByRole("link", { name: "Segments", exact: true }).click();
    await page.locator("[data-segment]").first().waitFor();
    assert.equal(await top(), 0);
    await page.setViewportSize({ width: 1360, height: 860 });
  });
}
