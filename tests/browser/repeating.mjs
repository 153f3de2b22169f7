/**
 * Journeys of people who press twice, have many tabs open, or share a browser.
 * Rule: what a browser does by itself is left to it; only a tab that is not looked at is told so, because one without a
 * screen looks at all of them.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

/** As many as a browser has connections to a server that speaks HTTP/1.1, and one. */
const TABS = 7;
const LATE_MS = 500;
const LISTED_MS_MAX = 30_000;

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function repeatingJourneys(at) {
  test("whoever presses twice is not told that somebody else was quicker, and takes nothing back", async () => {
    const { page, stack, go, shown, writeText } = at();
    const twice = async (name) => {
      await page.getByRole("button", { name, exact: true }).dblclick();
      await pause(LATE_MS);
      assert.deepEqual(await page.locator("[role=alert]").allTextContents(), [], name);
    };
    await stack.api("POST", "/segments", { id: "pressed_twice", where: "mrr > 99" });
    await go("/segments/pressed_twice");
    await shown("[data-testid=english]", "99");
    await writeText("mrr > 98");
    await shown("[data-testid=difference]", "enter");
    await twice("Save new version");
    await shown(".notice", "Version 2 is saved");
    await twice("Pause");
    await shown(".notice", "Version 3 is saved. The segment is paused");
    await stack.api("POST", "/imports?filename=twice.csv", "id,plan\npressed_twice,pro\n");
    await go("/imports");
    await page.getByLabel("Open twice.csv").click();
    await page.locator(".mapping").waitFor();
    await twice("Dry run");
    await page.getByTestId("dry-run").waitFor();
    await twice("Write the rows");
    await page.getByTestId("import-done").waitFor();
    assert.equal((await stack.api("GET", "/segments/pressed_twice")).version, 3);
  });

  test("a duration is exchanged key by key, and one that there cannot be is shown as it was typed", async () => {
    const { page, go, shown, writeText } = at();
    await go("/new-segment");
    await writeText("last_active within last 7 days");
    const number = page.getByLabel("How many");
    await number.click();
    await page.keyboard.press("End");
    await page.keyboard.press("Backspace");
    await page.keyboard.type("30");
    await shown(".cm-content", "within last 30 days");
    await number.fill("1.5");
    await shown(".faults", "1.5");
    assert.equal(await number.inputValue(), "1.5");
  });

  test("the changes of a segment are listed while others come, not only when none comes any more", async () => {
    const { page, stack, go } = at();
    await stack.api("POST", "/segments", { id: "flipping", where: "flip is true" });
    // A read takes longer than the changes are apart, as it does where the network is slow.
    await page.route("**/segments/flipping/changes?*", async (route) => pause(LATE_MS).then(() => route.continue()));
    let isOver = false;
    const flipping = (async () => { for (let n = 0; !isOver; n++) await stack.api("PATCH", "/contacts/flipper", { attributes: { flip: n % 2 === 0 } }); })();
    try {
      await go("/segments/flipping");
      await page.locator(".change").first().waitFor({ timeout: LISTED_MS_MAX });
    } finally {
      isOver = true;
      await flipping;
      await page.unroute("**/segments/flipping/changes?*");
    }
  });

  test("one tab more than a browser has connections opens all the same", async () => {
    const { page, stack } = at();
    const tabs = [];
    try {
      for (let number = 0; number < TABS; number++) {
        const tab = await page.context().newPage();
        tabs.push(tab);
        await tab.goto(`${stack.console}/contacts`, { timeout: LISTED_MS_MAX });
        await tab.locator(".ids li").first().waitFor();
        await tab.locator(".link[data-state=live]").waitFor();
        await look(tab, "hidden");
      }
      await look(tabs[0], "visible");
      await tabs[0].locator(".link[data-state=live]").waitFor();
    } finally {
      await Promise.all(tabs.map((tab) => tab.close()));
    }
  });

  test("whoever logs out leaves nothing to the next one, and is told when they are still logged in", async () => {
    const { page, stack, go, shown, press } = at();
    const { key } = await stack.api("POST", "/keys", { name: "a stranger", scopes: ["contacts:write"] });
    const logIn = async (token) => {
      await page.locator("#key").waitFor();
      await page.fill("#key", token);
      await page.keyboard.press("Enter");
      await page.locator(".bar").waitFor();
    };
    await go("/contacts");
    await page.locator(".ids li").first().waitFor();
    await page.route("**/api/v2/session", (route) => (route.request().method() === "DELETE" ? route.abort() : route.continue()));
    await press("Log out");
    await shown("[role=alert]", "You are still logged in");
    await page.unroute("**/api/v2/session");
    await press("Log out");
    await logIn(key);
    await shown("[role=alert]", "contacts:read");
    assert.equal(await page.locator(".ids li").count(), 0);
    await press("Log out");
    await logIn(stack.key);
    await page.locator(".ids li").first().waitFor();
  });
}

/** Tell a tab that somebody looks at it, or nobody any more. */
function look(tab, state) {
  return tab.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}
