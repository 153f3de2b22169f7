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
  });
}
