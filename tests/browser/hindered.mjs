/**
 * Journeys of people whom something hinders: answers that are late, missing or refused, and what must not come of it.
 * Rule: only the answers are tampered with, in the browser; what asks and what answers is real.
 */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";

/** Longer than it takes to press a key after another one, and than what is typed waits before it is asked about. */
const LATE_MS = 1_500;
/** Longer than a page takes to act on an answer that it has. */
const TAKEN_MS = 300;

/** Register the journeys. Shape: `at` gives, once all has started, the stack, the page and the ways of the journeys. */
export function hinderedJourneys(at) {
  /** The input of an attribute that is 1, on the page of a contact of its own. */
  const speedOf = async (id) => {
    const { page, stack, go } = at();
    await stack.api("PATCH", `/contacts/${id}`, { attributes: { speed: 1 } });
    await go(`/contacts/${id}`);
    const speed = page.getByLabel("speed", { exact: true });
    await speed.waitFor();
    return speed;
  };

  test("a save right after the last key saves what stands there, not what stood there before it", async () => {
    const { page, stack, go, shown, writeText } = at();
    await stack.api("POST", "/segments", { id: "in_haste", where: "mrr > 99" });
    await go("/segments/in_haste");
    await shown("[data-testid=english]", "99");
    await writeText("mrr > 15");
    await shown("[data-testid=english]", "15");
    await page.route("**/segments/validate", async (route) => pause(LATE_MS).then(() => route.continue()));
    await page.keyboard.type("0");
    await page.keyboard.press("ControlOrMeta+s");
    await shown(".notice", "Version 2 is saved");
    await page.unroute("**/segments/validate");
    assert.equal((await stack.api("GET", "/segments/in_haste")).text, "mrr > 150");
  });

  test("a value typed back while the write before it has no answer yet is written too, whatever was read meanwhile", async () => {
    const { page, stack } = at();
    const speed = await speedOf("swift");
    const sent = [];
    const held = { PATCH: [], GET: [] };
    const release = (method) => held[method].splice(0).forEach((go) => go());
    await page.route("**/api/v2/contacts/swift", async (route) => {
      const method = route.request().method();
      if (method === "PATCH") sent.push(route.request().postDataJSON().attributes.speed);
      const answer = await route.fetch();
      if (sent.length === (method === "PATCH" ? 2 : 1)) await new Promise((go) => held[method].push(go));
      return route.fulfill({ response: answer }).catch(() => {});  // the page may have given a read up for a newer one
    });
    const write = async (value) => {
      await speed.fill(String(value));
      await speed.press("Enter");
    };
    const isHeld = async (method) => { while (held[method].length === 0) await pause(TAKEN_MS); };
    await write(2);
    await isHeld("GET");
    await write(3);
    await isHeld("PATCH");
    const read = page.waitForResponse((each) => each.request().method() === "GET" && each.url().endsWith("/contacts/swift"));
    release("GET");
    await read;
    await pause(TAKEN_MS);
    await write(2);
    await pause(TAKEN_MS);
    release("PATCH");
    await page.locator("[data-attribute=speed]:not(:has([data-changed]))").waitFor();
    await page.unroute("**/api/v2/contacts/swift");
    assert.deepEqual(sent, [2, 3, 2]);
    assert.equal((await stack.api("GET", "/contacts/swift")).attributes.speed, 2);
  });

  test("what was written stays in sight until it is read, and the value before it can be written again meanwhile", async () => {
    const { page, stack, shown } = at();
    const speed = await speedOf("late");
    const old = await stack.api("GET", "/contacts/late");
    await page.route("**/api/v2/contacts/late", (route) => (route.request().method() === "GET" ? route.fulfill({ json: old }) : route.continue()));
    await speed.fill("2");
    await speed.press("Enter");
    await shown("[role=status]", "speed was written");
    await pause(TAKEN_MS);
    assert.equal(await speed.inputValue(), "2");
    const again = page.waitForRequest((each) => each.method() === "PATCH");
    await speed.fill("1");
    await speed.press("Enter");
    assert.equal((await again).postDataJSON().attributes.speed, 1);
    await page.unroute("**/api/v2/contacts/late");
    await page.locator("[data-attribute=speed]:not(:has([data-changed]))").waitFor();
    await stack.api("PATCH", "/contacts/late", { attributes: { speed: 9 } });
    await page.locator("[data-attribute=speed] input[value='9']").waitFor();
  });

  for (const status of [429, 500, 502]) {
    test(`a page whose reads were answered with ${status} says so, goes on asking and is right again by itself`, async () => {
      const { page, stack, go, shown } = at();
      await go("/contacts/u_7");
      await page.getByLabel("mrr", { exact: true }).waitFor();
      await page.route("**/api/v2/contacts/u_7", (route) => route.fulfill(problem(status)));
      await shown("[role=alert]", "It is tried again by itself");
      await page.unroute("**/api/v2/contacts/u_7");
      await page.locator("[role=alert]").waitFor({ state: "detached" });
      await stack.api("PATCH", "/contacts/u_7", { attributes: { seen_again: status } });
      await page.getByLabel("seen_again", { exact: true }).and(page.locator(`[value="${status}"]`)).waitFor();
    });
  }

  test("a condition that cannot be counted has no count, not that of the one before it, and is counted as soon as it can be", async () => {
    const { page, stack, go, shown, writeText } = at();
    await go("/segments/in_haste");
    await shown("[data-testid=matches]", "match now");
    await page.route("**/segments/preview?*", (route) => route.fulfill(problem(503)));
    await writeText("mrr > 160");
    await shown("[role=alert]", "It is tried again by itself");
    await shown("[data-testid=english]", "160");
    assert.equal(await page.locator("[data-testid=matches]").count(), 0);
    await page.unroute("**/segments/preview?*");
    await shown("[data-testid=matches]", "match now");
    assert.equal(await page.locator("[role=alert]").count(), 0);
  });

  test("what was read for another question is not told as the answer to this one", async () => {
    const { page, go, shown } = at();
    await go("/contacts");
    await page.getByLabel("Contact id").fill("zzz");
    await shown(".empty", "No id begins with");
    await page.route("**/contacts?prefix=u_1&*", async (route) => pause(LATE_MS).then(() => route.fulfill(problem(500))));
    await page.getByLabel("Contact id").fill("u_1");
    await pause(LATE_MS / 2);
    assert.equal(await page.locator(".empty").count(), 0, "while the answer is late");
    await shown("[role=alert]", "It is tried again by itself");
    assert.equal(await page.locator(".empty").count(), 0, "while there is none");
    await page.unroute("**/contacts?prefix=u_1&*");
    await shown(".ids", "u_100");
    await go("/activity");
    const segment = page.getByRole("combobox", { name: "Segment", exact: true });
    await segment.fill("active_pro_users");
    await shown(".divider", "Before this page was opened");
    await segment.fill("");
    await page.locator(".divider").waitFor({ state: "detached" });
  });

  test("changes that cannot be read are not said to be none", async () => {
    const { page, go, shown } = at();
    const segment = page.getByRole("combobox", { name: "Segment", exact: true });
    await page.route("**/segments?brief=true", (route) => route.fulfill(problem(403)));
    await go("/activity");
    await shown("[role=alert]", "It is said to be away");
    await page.unroute("**/segments?brief=true");
    await page.route("**/segments/in_haste/changes?*", (route) => route.fulfill(problem(503)));
    await go("/activity");
    await segment.fill("in_haste");
    await shown("[role=alert]", "It is tried again by itself");
    assert.equal(await page.locator(".empty").count(), 0);
    await page.unroute("**/segments/in_haste/changes?*");
    await page.locator("[role=alert]").waitFor({ state: "detached" });
  });

  test("of two mappings the later one is kept, also where the network brings the earlier one late", async () => {
    const { page, stack, go, shown } = at();
    const { id } = await stack.api("POST", "/imports?filename=slow.csv", "email,plan,mrr\na@x.example,pro,10\n");
    await go("/imports");
    await page.getByLabel("Open slow.csv").click();
    const taken = (attribute) => page.waitForResponse((each) => each.url().endsWith("/mapping") && each.request().postDataJSON().columns.plan.attribute === attribute);
    const begun = taken("plan");
    await page.getByLabel("Contact id is in").selectOption("email");
    await begun;
    const sent = [];
    await page.route(`**/imports/${id}/mapping`, async (route) => {
      sent.push(route.request().postDataJSON().columns.plan.attribute);
      if (sent.length === 1) await pause(LATE_MS);
      await route.continue();
    });
    const plan = page.getByLabel("Attribute of plan");
    await plan.fill("tier");
    while (sent.length === 0) await pause(TAKEN_MS);
    const later = taken("level");
    await plan.fill("level");
    await later;
    await pause(LATE_MS);
    assert.deepEqual(sent, ["tier", "level"]);
    assert.equal((await stack.api("GET", `/imports/${id}`)).mapping.columns.plan.attribute, "level");
    // A dry run asked for before the mapping has been taken tries out that mapping, and nothing comes in between.
    sent.length = 0;
    await plan.fill("grade");
    while (sent.length === 0) await pause(TAKEN_MS);
    await page.getByRole("button", { name: "Dry run", exact: true }).click();
    await shown("[data-testid=dry-run]", "Would reject");
    await pause(LATE_MS);
    assert.equal((await stack.api("GET", `/imports/${id}`)).state, "checked");
    await page.unroute(`**/imports/${id}/mapping`);
  });

  test("whoever's clock is wrong is told how old things are all the same", async () => {
    const { page, stack } = at();
    await stack.api("PATCH", "/contacts/u_7", { attributes: { seen: "now" } });
    for (const hours of [-2, 2]) {
      const tab = await page.context().newPage();
      try {
        await tab.addInitScript((ms) => {
          const real = Date.now;
          Date.now = () => real() + ms;
        }, hours * 3_600_000);
        await tab.goto(`${stack.console}/contacts/u_7`);
        await tab.locator(".facts", { hasText: /^as evaluated (now|\d+ (m?s|min).* ago|in \d+ m?s)/ }).waitFor();
        await tab.goto(`${stack.console}/health`);
        await tab.locator(".facts", { hasText: /^read (now|\d+ m?s ago|in \d+ m?s), every 2 s/ }).waitFor();
      } finally {
        await tab.close();
      }
    }
  });

  test("a stream that the key may not have is told with the reason, and not said to come back", async () => {
    const { page, go, shown } = at();
    await page.route("**/api/v2/events", (route) => route.fulfill(problem(403)));
    await go("/contacts");
    await shown(".link", "Not live");
    await shown("[role=alert]", "Nothing here is live: It is said to be away");
    await page.unroute("**/api/v2/events");
  });

  test("a write that failed is not said to be tried again, and what was typed stays", async () => {
    const { page, go, shown } = at();
    await go("/contacts/u_9");
    const mrr = page.getByLabel("mrr", { exact: true });
    await mrr.fill("4711");
    const later = async (route) => pause(LATE_MS).then(() => route.fulfill(problem(503)));
    await page.route("**/api/v2/contacts/u_9", (route) => (route.request().method() === "PATCH" ? later(route) : route.continue()));
    await mrr.press("Enter");
    await mrr.press("Enter");
    await mrr.press("Tab");
    await shown("[role=status]", "Writing mrr");
    assert.equal(await mrr.inputValue(), "4711");
    await shown("[role=alert]", "It is said to be away");
    assert.doesNotMatch(await page.locator("[role=alert]").textContent(), /by itself/);
    assert.equal(await mrr.inputValue(), "4711");
    await page.unroute("**/api/v2/contacts/u_9");
  });

  test("a part of the page that cannot be loaded takes nothing else with it, and nothing that is written there", async () => {
    const { page, stack } = at();
    await stack.api("POST", "/segments", { id: "in_parts", where: "mrr > 99" });
    for (const part of ["chart", "builder"]) {
      const cut = await page.context().newPage();
      // Only while it is read for the first time, so that there is something to lose.
      let wanted;
      const isWanted = new Promise((tell) => { wanted = tell; });
      await cut.route(new RegExp(`/assets/${part}-.*js$`), async (route) => { await new Promise((go) => wanted(go)); await route.abort(); });
      await cut.goto(`${stack.console}/segments/in_parts`);
      const text = cut.locator(".cm-content", { hasText: "mrr > 99" });
      await text.click();
      await cut.keyboard.press("ControlOrMeta+End");
      await cut.keyboard.type("0");
      (await isWanted)();
      await cut.locator("[role=alert]", { hasText: `The ${part}: ` }).waitFor();
      assert.equal(await cut.locator(".cm-content").textContent(), "mrr > 990");
      await cut.getByRole("button", { name: "Save new version" }).and(cut.locator(":enabled")).waitFor();
      await cut.close();
    }
  });

  test("why a contact is in the first of many segments comes into sight, and is where the keys go on", async () => {
    const { page, stack, go } = at();
    await stack.api("POST", "/segments", { id: "first_of_many", where: "firsts is 1" });
    await stack.api("PATCH", "/contacts/u_of_many", { attributes: { firsts: 1 } });
    await page.route("**/api/v2/contacts/u_of_many", async (route) => {
      const contact = await (await route.fetch()).json();
      const others = Array.from({ length: 140 }, (_, n) => ({ segment_id: `other_${n}`, since: "2026-01-01T00:00:00Z" }));
      await route.fulfill({ json: { ...contact, memberships: [...contact.memberships, ...others] } });
    });
    await go("/contacts/u_of_many");
    const asked = page.getByRole("button", { name: /^Why in / });
    await page.getByLabel("Why in first_of_many").waitFor();
    assert.equal(await asked.count(), 100);
    await page.getByRole("button", { name: /^Show \d+ more$/ }).click();
    await page.getByLabel("Why in other_139").waitFor();
    await page.getByLabel("Why in first_of_many").click();
    const answer = page.locator(".tree");
    await answer.waitFor();
    const place = await answer.boundingBox();
    assert.ok(place.y > 0 && place.y < page.viewportSize().height, `it is at ${place.y}`);
    await page.keyboard.press("Tab");
    await page.locator("[list=explainable]:focus").waitFor();
    await page.unroute("**/api/v2/contacts/u_of_many");
  });
}

/** An answer as the API gives one that is an error. */
function problem(status) {
  const said = { status, code: "away", title: "it is said to be away", detail: "ask again" };
  return { status, contentType: "application/problem+json", body: JSON.stringify(said) };
}
