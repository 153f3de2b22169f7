/**
 * Journeys of people whose page changes under what they do: by others who write, delete and log in, and by themselves
 * who look at another page meanwhile. Rule: nothing that was typed or begun is lost without a word.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

const ATTRIBUTES = 2_000;
const DRAWN_MAX = 200;
/** Longer than a page takes to act on an answer that it has. */
const TAKEN_MS = 500;

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function changingJourneys(at) {
  const question = () => at().page.getByRole("dialog", { name: "Leave without saving?" });
  const leaveIsAsked = async (says) => {
    const { page } = at();
    await page.getByRole("link", { name: "Activity", exact: true }).click();
    await question().getByText(says).waitFor();
    await question().getByRole("button", { name: "Stay" }).click();
  };

  test("a record that is being repaired stays when other records fail, and when a filter leaves it out", async () => {
    const { page, stack, go } = at();
    await stack.record("malformed", "being_repaired", '{"attributes": {"plan": }}');
    await go("/health");
    const row = page.locator(".letters tr", { hasText: "being_repaired" });
    await row.getByRole("button", { name: /^Show dead letter/ }).click();
    const value = page.locator(".letter textarea");
    await value.fill('{"attributes": {"plan": "pro"}}');
    await stack.record("malformed", "another_one", "{");
    await page.locator(".letters tr", { hasText: "another_one" }).waitFor();
    assert.equal(await value.inputValue(), '{"attributes": {"plan": "pro"}}');
    await page.getByLabel("Code", { exact: true }).fill("no_such_code");
    await page.locator(".letters tr", { hasText: "another_one" }).waitFor({ state: "detached" });
    assert.equal(await value.inputValue(), '{"attributes": {"plan": "pro"}}');
    await leaveIsAsked("The repaired record has not been sent");
    await page.getByRole("button", { name: "Send the repaired record" }).click();
    await page.locator(".letter [role=status]", { hasText: "Sent again" }).waitFor();
  });

  test("a condition that is being written can be copied when somebody else deletes the segment", async () => {
    const { page, stack, go, shown, writeText } = at();
    await stack.api("POST", "/segments", { id: "to_be_deleted", where: "mrr > 99" });
    await go("/segments/to_be_deleted");
    await shown("[data-testid=english]", "99");
    await writeText("mrr > 4321");
    await shown("[data-testid=english]", "4,321");
    await remove("to_be_deleted");
    await shown(".empty", "This segment no longer exists");
    await shown(".notice", "mrr > 4321");
    await leaveIsAsked("Your edit of the condition of “to_be_deleted”");
    await stack.api("POST", "/segments", { id: "to_be_deleted_too", where: "mrr > 99" });
    await page.getByRole("link", { name: "Segments", exact: true }).click();
    await question().getByRole("button", { name: "Leave without saving" }).click();
    await go("/segments/to_be_deleted_too");
    await shown("[data-testid=english]", "99");
    await remove("to_be_deleted_too");
    await shown(".empty", "This segment no longer exists");
    assert.equal(await page.locator(".notice").count(), 0);
  });

  test("whoever saves or deletes what somebody else has saved meanwhile is shown that version, and no older one", async () => {
    const { page, stack, go, shown, writeText, press } = at();
    const save = () => press("Save new version");
    const deletion = () => { page.once("dialog", (dialog) => dialog.accept()); return press("Delete"); };
    for (const [id, act] of [["contested_save", save], ["contested_delete", deletion]]) {
      await stack.api("POST", "/segments", { id, where: "mrr > 99" });
      const path = `**/api/v2/segments/${id}`;
      let isRefused = false;
      let old;
      // What is read before the refusal is what stood there before, however soon the page reads again.
      await page.route(path, async (route) => {
        const answer = old && !isRefused && route.request().method() === "GET" ? old : await route.fetch();
        old ??= answer;
        isRefused ||= answer.status() === 412;
        await route.fulfill({ response: answer });
      });
      await go(`/segments/${id}`);
      await shown("[data-testid=english]", "99");
      await writeText("mrr > 4321");
      await page.getByRole("button", { name: "Save new version" }).and(page.locator(":enabled")).waitFor();
      await fetch(`${stack.console}/api/v2/segments/${id}`, {
        method: "PUT", headers: { Authorization: `Bearer ${stack.key}`, "Content-Type": "application/json", "If-Match": old.headers().etag }, body: JSON.stringify({ where: "mrr > 77" }),
      });
      await act();
      await page.locator(".notice", { hasText: "now says" }).waitFor();
      assert.match(await page.locator(".notice", { hasText: "now says" }).textContent(), /^Version 2 now says mrr > 77/);
      await press("Keep my text and edit that version");
      await page.unroute(path);
      await save();
      await shown(".notice", "Version 3 is saved");
    }
  });

  /** Delete a segment as somebody else. */
  async function remove(id) {
    const { stack } = at();
    const path = `${stack.console}/api/v2/segments/${id}`;
    const headers = { Authorization: `Bearer ${stack.key}` };
    const etag = (await fetch(path, { headers })).headers.get("ETag");
    assert.equal((await fetch(path, { method: "DELETE", headers: { ...headers, "If-Match": etag } })).status, 204);
  }

  test("a value that is being typed stays when somebody else removes the attribute, or erases the contact", async () => {
    const { page, stack, go, shown } = at();
    await stack.api("PATCH", "/contacts/thinned", { attributes: { tier: "gold", seats: 5 } });
    await go("/contacts/thinned");
    const tier = page.getByLabel("tier", { exact: true });
    await tier.fill("silver");
    await stack.api("PATCH", "/contacts/thinned", { attributes: { tier: null, seats: 6 } });
    await page.locator("[data-attribute=seats] input[value='6']").waitFor();
    await shown("[data-attribute=tier]", "was removed");
    assert.equal(await tier.inputValue(), "silver");
    await stack.api("DELETE", "/contacts/thinned");
    await shown(".empty", "This contact no longer exists");
    assert.equal(await tier.inputValue(), "silver");
    assert.equal(await page.locator("[data-attribute]").count(), 1);
    await leaveIsAsked("The value you typed for “tier”");
    await tier.press("Escape");
    await tier.waitFor({ state: "detached" });
  });

  test("of thousands of attributes some are drawn, each can be found, and what is typed in one stays in sight", async () => {
    const { page, stack, go, shown } = at();
    const named = (number) => `many_${String(number).padStart(5, "0")}`;
    for (let from = 0; from < ATTRIBUTES; from += 1_000) {
      const attributes = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [named(from + n), n]));
      await stack.api("PATCH", "/contacts/many", { attributes });
    }
    await go("/contacts/many");
    await shown("[role=status]", `${DRAWN_MAX} of 2,000 attributes are shown`);
    const rows = page.locator("[data-attribute]");
    assert.equal(await rows.count(), DRAWN_MAX);
    await page.getByLabel(named(7), { exact: true }).fill("typed");
    await page.getByLabel("Find", { exact: true }).fill(named(1_999).toUpperCase());
    await page.getByLabel(named(1_999), { exact: true }).waitFor();
    assert.equal(await rows.count(), 2);
    assert.equal(await page.getByLabel(named(7), { exact: true }).inputValue(), "typed");
    await page.getByLabel(named(7), { exact: true }).press("Escape");
    await page.getByLabel("Find", { exact: true }).fill("");
    await page.getByRole("button", { name: "Show 200 more" }).click();
    await page.getByLabel(named(399), { exact: true }).waitFor();
    assert.equal(await rows.count(), 2 * DRAWN_MAX);
  });

  test("an upload goes on while its person looks elsewhere, and what became of it is told when they come back", async () => {
    const { page, go, shown } = at();
    const elsewhere = () => page.getByRole("link", { name: "Activity", exact: true }).click();
    const back = () => page.getByRole("link", { name: "Imports", exact: true }).click();
    const file = (name) => ({ name, mimeType: "text/csv", buffer: Buffer.from("email,plan\na@x.example,pro\n") });
    let answer;
    await page.route("**/api/v2/imports?filename=*", (route) => new Promise((done) => (answer = done)).then((failed) => (failed ? route.abort() : route.continue())));
    await go("/imports");
    for (const isLost of [true, false]) {
      await page.setInputFiles("#file", file("elsewhere.csv"));
      await elsewhere();
      await shown("h1", "Activity");
      await back();
      await page.getByRole("button", { name: "Uploading…" }).waitFor();
      await elsewhere();
      await shown("h1", "Activity");
      answer(isLost);
      await pause(TAKEN_MS);
      await back();
      if (isLost) await shown("[role=alert]", "elsewhere.csv: The console does not answer");
    }
    await page.locator(".flow", { hasText: "elsewhere.csv" }).waitFor();
    assert.equal(await page.locator("[role=alert]").count(), 0);
    await page.unroute("**/api/v2/imports?filename=*");
  });

  test("a tab does not go on under the key with which another one has logged in", async () => {
    const { page, stack, go, shown, press } = at();
    const { key } = await stack.api("POST", "/keys", { name: "a narrow key", scopes: ["contacts:read"] });
    const seats = page.getByLabel("seats", { exact: true });
    await stack.api("PATCH", "/contacts/two_keys", { attributes: { seats: 5 } });
    await go("/contacts/two_keys");
    await seats.fill("6");
    const logIn = (token) => page.evaluate(async (key) => {
      const headers = { "Content-Type": "application/json" };
      return (await fetch("/api/v2/session", { method: "POST", headers, body: JSON.stringify({ key }) })).status;
    }, token);
    assert.equal(await logIn(key), 200);
    await seats.press("Enter");
    await shown("[role=alert]", "The session has ended");
    await press("Log in again");
    await shown("[role=status]", "Another key, “a narrow key”, has logged in in this browser");
    await page.fill("#key", stack.key);
    await page.keyboard.press("Enter");
    await page.locator("#key").waitFor({ state: "detached" });
    assert.equal(await seats.inputValue(), "6");
    await seats.press("Enter");
    await shown("[role=status]", "seats was written");
    await go("/");
    await shown(".who", "local");
    assert.equal(await logIn(key), 200);
    await press("Log in again");
    await press("Go on with “a narrow key”");
    await shown(".who", "a narrow key");
    await press("Log out");
    await page.fill("#key", stack.key);
    await page.keyboard.press("Enter");
    await shown("h1", "Segments");
  });

  test("a browser that keeps nothing for a page shows it all the same", async () => {
    const { page, stack } = at();
    const tab = await page.context().newPage();
    await tab.addInitScript(() => Object.defineProperty(window, "localStorage", { get: () => { throw new DOMException("kept from it", "SecurityError"); } }));
    await tab.goto(stack.console + "/");
    await tab.locator("h1", { hasText: "Segments" }).waitFor();
    await tab.getByLabel("Theme").selectOption("dark");
    assert.equal(await tab.evaluate(() => document.documentElement.dataset.theme), "dark");
    await tab.close();
  });
}
