/**
 * The journeys of the people who use the dashboard, in a real Chromium against the real stack.
 * Rule: what is expected is read from the page; the API is only asked to arrange things. Run by `make browser`.
 */
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { addressedJourneys } from "./addressed.mjs";
import { openBrowser, seriousFindings } from "./browser.mjs";
import { changingJourneys } from "./changing.mjs";
import { hinderedJourneys } from "./hindered.mjs";
import { leavingJourneys } from "./leaving.mjs";
import { repeatingJourneys } from "./repeating.mjs";
import { startStack } from "./stack.mjs";

const DAY_MS = 86_400_000;
const CONTACTS = 300;
/** How long anything may take to be seen. A busy machine takes its time; what never comes is found all the same. */
const SEEN_MS_MAX = 60_000;
/** Ten thousand definitions have to be evaluated first. */
const EVALUATED_MS_MAX = 240_000;
/** What a person would call a standstill. How fast it is on a quiet machine is printed, and measured by the benchmarks. */
const STANDSTILL_MS = 10_000;
/** Before this a contact that is about to leave has to be seen inside. */
const LEAVES_AFTER_MS = 15_000;
const SHOTS = process.env.TIDEGATE_SCREENSHOTS;

/** The six segments as text, as built by hand, and the text that both are saved as. */
const SEGMENTS = [
  {
    name: "Active Pro users", text: "plan is Pro and last_active within 7d and email_verified",
    built: [["plan", "is", "pro"], ["last_active", "within_last", "7"], ["email_verified", "is", "true"]],
    saved: 'plan is "pro" AND last_active within last 7 days AND email_verified is true',
  },
  {
    name: "Trial ending", text: "trial_ends_at within 3d and has_upgraded is false",
    built: [["trial_ends_at", "within_next", "3"], ["has_upgraded", "is", "false"]],
    saved: "trial_ends_at within next 3 days AND has_upgraded is false",
  },
  {
    name: "Win back", text: "last_active more than 30 days ago and plan is not free",
    built: [["last_active", "more_than_ago", "30"], ["plan", "is_not", "free"]],
    saved: 'last_active more than 30 days ago AND plan is not "free"',
  },
  { name: "North America", text: "country in [US, CA]", built: [["country", "in", "ca, us"]], saved: 'country in ["ca", "us"]' },
  {
    name: "Big spenders", text: "mrr > 99 and NOT churn_risk_flag",
    built: [["mrr", "gt", "99"], ["churn_risk_flag", "is_not", "true"]],
    saved: "mrr > 99 AND churn_risk_flag is not true",
  },
  { name: "Acme people", text: 'email contains "@acme."', built: [["email", "contains", "@acme."]], saved: 'email contains "@acme."' },
];

let stack, browser, page;

before(async () => {
  if (SHOTS) await mkdir(SHOTS, { recursive: true });
  stack = await startStack();
  const from = Date.now();
  const at = (days) => new Date(from + days * DAY_MS).toISOString();
  await stack.api("POST", "/contacts", {
    contacts: Array.from({ length: CONTACTS }, (_, n) => ({
      id: `u_${n}`,
      attributes: {
        plan: ["pro", "free", "enterprise"][n % 3], country: ["US", "CA", "UK", "NO"][n % 4], mrr: (n * 7) % 300,
        email: `u${n}@${n % 5 ? "acme" : "globex"}.example`, last_active: at(-(n % 40)), email_verified: n % 2 === 0,
        ...(n % 2 ? { trial_ends_at: at((n % 10) - 3), has_upgraded: n % 4 === 1 } : {}),
      },
    })),
  });
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(SEEN_MS_MAX);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

const go = (path) => page.goto(stack.console + path);
const editor = () => page.locator(".cm-content");
const shown = (selector, text) => page.locator(selector, { hasText: text }).first().waitFor();

const button = (name) => page.getByRole("button", { name, exact: true });
const press = (name) => button(name).first().click();

async function writeText(text) {
  await editor().click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

test("a wrong key is refused in words, and the right one is kept where no script can read it", async () => {
  await go("/");
  await page.locator("#key").waitFor();
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    assert.deepEqual(await seriousFindings(page), [], theme);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/login-${theme}.png` });
  }
  await page.fill("#key", "tg_wrong");
  await press("Log in");
  await shown("[role=alert]", "tidegate keys create");
  await page.fill("#key", stack.key);
  await page.keyboard.press("Enter");
  await shown("h1", "Segments");
  await shown(".empty", "No segments yet");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }));
  assert.ok(!kept.includes("tg_"));
});

test("each of the six segments is the same one whether it is written or built", async () => {
  for (const { name, text, built, saved } of SEGMENTS) {
    await go("/new-segment");
    await editor().waitFor();
    await writeText(text);
    await shown("[data-testid=english]", "Contacts where");
    await shown("[data-testid=matches]", `of ${CONTACTS} contacts match now`);
    // The visual form has followed the text; now it is built anew by hand and the text follows it.
    assert.equal(await page.locator(".rule").count(), built.length, name);
    await writeText("x is set");
    await page.waitForFunction(() => {
      const names = [...document.querySelectorAll(".rule input.field-name")];
      return names.length === 1 && names[0].value === "x";
    });
    for (const [at, [field, operator, value]] of built.entries()) {
      if (at > 0) await press("Add condition");
      const rule = page.locator(".rule").nth(at);
      await rule.getByLabel("Test").selectOption(operator);
      await rule.getByLabel("Attribute", { exact: true }).fill(field);
      await rule.getByLabel(/^(Value|Values, separated by commas|How many)$/).fill(value);
    }
    await shown(".cm-content", saved);
    await page.getByLabel("Name").fill(name);
    await press("Create segment");
    await shown("h1", name);
  }
  await go("/");
  for (const { name, saved } of SEGMENTS) await shown("[data-segment]", name).then(() => shown("[data-segment] code", saved));
});

test("a segment gets the id that is typed, whatever an id may be", async () => {
  for (const [name, typed] of [["Any", "big-spenders_2"], ["東京", "new"]]) {
    await go("/new-segment");
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Id", { exact: true }).selectText();
    await page.keyboard.type(typed);
    await writeText("mrr > 100000");
    await shown("[data-testid=matches]", "match now");
    await press("Create segment");
    await shown(".head .facts code", typed);
    assert.equal(new URL(page.url()).pathname, `/segments/${typed}`);
    page.once("dialog", (dialog) => dialog.accept());
    await press("Delete");
    await shown("h1", "Segments");
  }
});

test("whoever does not know the language begins with an example", async () => {
  await go("/new-segment");
  await page.getByRole("button", { name: /^A trial about to end/ }).click();
  await shown(".cm-content", "trial_ends_at within next 3 days");
  await shown("[data-testid=matches]", "match now");
  assert.equal(await page.locator(".rule").count(), 2);
});

test("an error in the text is underlined and says what to write", async () => {
  await go("/new-segment");
  await writeText('mrr > "lots"');
  await shown("ul.faults", "99");
  await page.locator(".cm-lintRange-error").waitFor();
  assert.ok(await button("Create segment").isDisabled());
});

test("an edited contact is seen to enter, live on the list, and can be asked why", async () => {
  await go("/contacts/u_1");
  const plan = page.getByLabel("plan", { exact: true });
  await plan.fill("pro");
  await plan.press("Enter");
  await shown("[role=status]", "evaluated in");
  const verified = page.getByLabel("email_verified", { exact: true });
  await verified.fill("true");
  await verified.press("Enter");
  await shown("h2", "In ");
  await page.getByLabel("Why in active_pro_users").click();
  await shown(".explain", "In active_pro_users");
  await shown(".explain", "last_active within last 7 days");
  await shown(".explain", "If nothing is written, that changes at");
  await shown(".changes", "active_pro_users");
});

test("what missing values do is counted for both choices, and chosen with one press", async () => {
  await stack.api("POST", "/contacts", { id: "planless", attributes: { country: "NO" } });
  await go("/new-segment");
  await writeText("plan is not free");
  const choice = page.getByRole("group", { name: "Contacts without plan" });
  const passing = choice.getByRole("button", { name: /^they pass: \d+ match/ });
  const failing = choice.getByRole("button", { name: /^they do not pass: \d+ match/ });
  await passing.waitFor();
  await failing.waitFor();
  const counts = await Promise.all([passing, failing].map(async (each) => Number(/: ([\d,]+) match/.exec(await each.textContent())[1])));
  assert.equal(counts[0] - counts[1], 1);
  assert.equal(await passing.getAttribute("aria-pressed"), "true");
  await failing.click();
  await shown(".cm-content", 'plan is not "free" excluding missing');
  await shown("[data-testid=matches] strong", String(counts[1]));
  await page.getByLabel("When there is no value").selectOption("include");
  await shown("[data-testid=matches] strong", String(counts[0]));
  await page.getByLabel("Test").selectOption("contains");
  await page.getByLabel("Match case").click();
  await shown(".cm-content", "contains exactly");
});

test("a person without a mouse builds a segment, saves it, opens a contact and edits an attribute", async () => {
  const focused = () => page.evaluate(() => {
    const at = document.activeElement;
    return at?.getAttribute("aria-label") ?? at?.labels?.[0]?.textContent?.trim() ?? at?.textContent?.trim() ?? "";
  });
  const tabTo = async (wanted, key = "Tab") => {
    for (let steps = 0; steps < 60; steps++) {
      await page.keyboard.press(key);
      if ((await focused()).startsWith(wanted)) return;
    }
    assert.fail(`${wanted} cannot be reached by ${key}; the last was ${await focused()}`);
  };
  await go("/");
  await shown("h1", "Segments");
  await tabTo("New segment");
  await page.keyboard.press("Enter");
  await shown("h1", "New segment");
  await tabTo("Name");
  await page.keyboard.type("Without a mouse");
  await tabTo("Attribute");
  await page.keyboard.type("mrr");
  await tabTo("Test");
  await page.keyboard.type("more");
  await tabTo("Value");
  await page.keyboard.type("295");
  await shown("[data-testid=matches]", "match now");
  await tabTo("Add condition", "Shift+Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator(".rule").count(), 2);
  for (let condition = 0; condition < 2; condition++) await tabTo("Attribute");
  await page.keyboard.type("plan");
  await tabTo("Value");
  await page.keyboard.type("Enterprise");
  await shown(".cm-content", 'mrr > 295 AND plan is "enterprise"');
  await shown("[data-testid=matches]", "match now");
  await tabTo("Create segment", "Shift+Tab");
  await page.keyboard.press("Enter");
  await shown("h1", "Without a mouse");
  await shown(".cm-content", 'mrr > 295 AND plan is "enterprise"');
  await tabTo("Contacts", "Shift+Tab");
  await page.keyboard.press("Enter");
  await shown("h1", "Contacts");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Contact id");
  await page.keyboard.type("u_5");
  await page.keyboard.press("Enter");
  await shown("h1", "u_5");
  assert.equal(await page.title(), "u_5 – Contacts – Tidegate");
  await page.waitForFunction(() => document.activeElement?.id === "content");
  await page.getByLabel("mrr", { exact: true }).waitFor();
  await tabTo("mrr");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("299");
  await page.keyboard.press("Enter");
  await shown("[role=status]", "evaluated in");
  await shown("table", "without_a_mouse");
});

test("an earlier instant can be asked for: was this contact in this segment then", async () => {
  await go("/contacts/u_5");
  await page.getByRole("combobox", { name: "Segment", exact: true }).fill("without_a_mouse");
  const at = page.getByLabel("Was it in without_a_mouse at");
  const written = (ms) => new Date(ms).toISOString().slice(0, 19);
  await at.fill(written(Date.now() - DAY_MS));
  await shown("[data-testid=as-of]", "No: at");
  await at.fill(written(Date.now() + DAY_MS));
  await shown("[data-testid=as-of]", "Not known yet");
});

test("a record that nobody can read is found on the health page, repaired and sent again", async () => {
  await stack.record("malformed", "broken_one", '{"attributes": {"plan": "pro", "country": }}');
  await go("/health");
  const row = page.locator(".letters tr", { hasText: "broken_one" });
  await row.waitFor();
  await row.getByRole("button", { name: /^Show dead letter/ }).click();
  await page.locator(".letter textarea").fill('{"attributes": {"plan": "pro"');
  await press("Send the repaired record");
  await shown(".letter [role=alert]", "The value is not JSON");
  await page.locator(".letter textarea").fill('{"attributes": {"plan": "pro", "country": "NO"}}');
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    assert.deepEqual(await seriousFindings(page), [], theme);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/dead-letters-${theme}.png` });
  }
  await press("Send the repaired record");
  await shown(".letter [role=status]", "Sent again");
  await go("/contacts/broken_one");
  await page.getByLabel("country", { exact: true }).waitFor();
});

test("a contact that time moves out is explained by time", async () => {
  await stack.api("POST", "/contacts", { id: "soon", attributes: { plan: "pro", email_verified: true, last_active: new Date(Date.now() - 7 * DAY_MS + LEAVES_AFTER_MS).toISOString() } });
  await go("/contacts/soon");
  await page.getByLabel("Why in active_pro_users").click();
  await shown(".explain", "If nothing is written, that changes at");
  await shown(".changes .exit", "left");
  await shown(".changes", "time alone");
  await shown(".explain", "Not in active_pro_users");
});

test("editing a used segment shows who would move before it is saved, and the switch afterwards", async () => {
  await go("/segments/north_america");
  const before = Number((await page.getByTestId("members").textContent()).replace(",", ""));
  await writeText("country in [US, UK]");
  // Until the new text is counted, what the saved one would change is there: nothing.
  const [enter, leave] = [CONTACTS / 4, CONTACTS / 4];
  await shown("[data-testid=difference]", `${enter} contacts enter and ${leave} contacts leave`);
  await press("Save new version");
  await shown(".notice", "Version 2 is saved");
  await shown(".changes .exit", "left");
  await shown(".changes", "its definition");
  await shown("[data-testid=members]", String(before - leave + enter));
});

test("two people editing one segment: the second is told and loses nothing", async () => {
  await go("/segments/acme_people");
  await editor().waitFor();
  await shown(".cm-content", "@acme.");
  await writeText('email contains "@acme.example"');
  await shown("[data-testid=difference]", "enter");
  const theirs = await fetch(`${stack.console}/api/v2/segments/acme_people`, {
    method: "PUT", headers: { Authorization: `Bearer ${stack.key}`, "If-Match": '"1"', "Content-Type": "application/json" },
    body: JSON.stringify({ where: 'email ends with ".example"' }),
  });
  assert.equal(theirs.status, 200);
  await press("Save new version");
  await shown("[role=alert]", "someone else's edit came first".slice(1));
  await shown(".cm-content", "@acme.example");
});

test("a file with errors is mapped, tried, written, and its rejected rows fetched with the reason", async () => {
  const rows = ["email,plan,mrr", "a@x.example,pro,10", "b@x.example,free,lots", "c@x.example,pro,30", ",pro,5"];
  await go("/imports");
  await page.setInputFiles("#file", { name: "people.csv", mimeType: "text/csv", buffer: Buffer.from(rows.join("\n")) });
  await shown(".flow", "Contact id is in");
  await shown(".flow", "Everything below is a suggestion");
  await page.getByLabel("Contact id is in").selectOption("email");
  await page.getByLabel("Type of mrr").selectOption("number");
  await shown(".mapping tr", "chosen");
  const first = page.getByRole("region", { name: "First rows" });
  await first.locator("td.refused", { hasText: "lots" }).waitFor();
  assert.equal(await first.locator("tbody tr").count(), 4);
  await press("Dry run");
  await shown("[data-testid=dry-run]", "Would reject");
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    assert.deepEqual(await seriousFindings(page), [], theme);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/import-dry-run-${theme}.png` });
  }
  await shown("ul.faults", "found");
  await press("Write the rows");
  await shown("[data-testid=import-done]", "2 rows written, 2 rows rejected");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Rejected rows as CSV" }).click()]);
  const errors = await readFile(await download.path(), "utf8");
  assert.match(errors, /b@x\.example,free,lots/);
  assert.match(errors, /number/);
  await go("/contacts/a%40x.example");
  await shown("h1", "a@x.example");
});

test("a line break and a comma within a value are kept by whoever edits beside them", async () => {
  await stack.api("POST", "/contacts", { id: "lines", attributes: { address: "1 High Street\nOslo" } });
  await go("/contacts/lines");
  const address = page.getByLabel("address", { exact: true });
  await address.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.type("2");
  await address.press("Enter");
  await shown("[role=status]", "evaluated in");
  assert.equal((await stack.api("GET", "/contacts/lines")).attributes.address, "21 High Street\nOslo");
  await go("/new-segment");
  await writeText('city in ["Washington, DC", NY]');
  const values = page.getByLabel("Values, separated by commas");
  await values.press("End");
  await page.keyboard.type(", LA");
  await shown(".cm-content", 'city in ["la", "ny", "washington, dc"]');
});

test("a contact that no address can name is shown without a link, and says what shows it", async () => {
  for (const id of [".", ".."]) await stack.api("POST", "/contacts", { id, attributes: { steps: true } });
  await go("/contacts");
  await page.getByLabel("Contact id").fill("..");
  await shown("[role=status]", "tidegate contacts get ..");
  await page.keyboard.press("Enter");
  // The list of all ids, which has it too, stands there until the one that was asked for is read.
  await page.locator(".ids a").first().waitFor({ state: "detached" });
  await page.locator(".ids li", { hasText: /^\.\.$/ }).waitFor();
  await go("/new-segment");
  await writeText("steps is true");
  await page.locator(".sample li", { hasText: /^\.$/ }).waitFor();
  assert.equal(await page.locator(".sample a").count(), 0);
});

test("hostile values are shown as the text they are", async () => {
  const hostile = '"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
  await stack.api("POST", "/contacts", { id: `h/${hostile}`, attributes: { [hostile.slice(0, 60)]: hostile, plan: "pro" } });
  await go(`/contacts/${encodeURIComponent(`h/${hostile}`)}`);
  await shown("h1", "onerror");
  await page.locator(`input[value*="onerror"]`).first().waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img").count(), 0);
});

test("a value that turns the direction of writing turns nothing that stands behind it", async () => {
  const turned = "\u202e12O";
  await stack.api("POST", "/contacts", { id: "turned", attributes: { mrr: turned } });
  await stack.api("POST", "/segments", { id: "paying", where: "mrr > 9" });
  await go("/contacts/turned?segment=paying");
  await shown(".tree", "which cannot be read as number");
  const [before, behind] = await page.evaluate(() => {
    const said = document.querySelector(".tree strong.warn");
    const range = document.createRange();
    range.setStart(said.parentElement, 0);
    range.setEndBefore(said);
    return [range.getBoundingClientRect().right, said.getBoundingClientRect().left];
  });
  assert.ok(before <= behind + 1, `the value ends at ${before}, what is said of it begins at ${behind}`);
});

test("changes arrive on the activity page while it is open, and the filters hold", async () => {
  await go("/activity");
  await shown(".link", "Live");
  await stack.api("POST", "/contacts", { id: "walk_in", attributes: { mrr: 500 } });
  await shown(".change", "walk_in");
  await page.getByLabel("Contact").fill("somebody else");
  await shown(".empty", "No change fits the filters");
});

addressedJourneys(() => ({ stack, page, go, shown }));
hinderedJourneys(() => ({ stack, page, go, shown, writeText, button }));
leavingJourneys(() => ({ stack, page, go, shown, writeText, press }));
changingJourneys(() => ({ stack, page, go, shown, writeText, press }));
repeatingJourneys(() => ({ stack, page, go, shown, writeText, press }));

test("no page has a serious finding of axe, in either theme", async () => {
  const pages = {
    segments: "/", segment: "/segments/active_pro_users", "new-segment": "/new-segment", contacts: "/contacts", contact: "/contacts/u_2",
    imports: "/imports", activity: "/activity", health: "/health", "no-such-page": "/nosuch", "no-contact": "/contacts",
  };
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
    for (const [name, path] of Object.entries(pages)) {
      await go(path);
      await page.locator("h1").waitFor();
      if (name === "segment") await page.getByTestId("matches").waitFor();
      if (name === "contact") {
        await page.getByRole("combobox", { name: "Segment", exact: true }).fill("active_pro_users");
        await page.locator(".tree").waitFor();
      }
      if (name === "no-contact") await page.getByLabel("Contact id").fill("nobody").then(() => shown(".empty", "No id begins"));
      if (name === "activity") await page.getByRole("combobox", { name: "Segment", exact: true }).fill("active_pro_users");
      if (name === "imports") await page.getByLabel("Open people.csv").click();
      await page.waitForTimeout(700);
      assert.deepEqual(await seriousFindings(page), [], `${name}, ${theme}`);
      if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${theme}.png` });
    }
  }
});

test("no page scrolls sideways on a telephone, and no long word or id makes one do so", async () => {
  const id = "s".repeat(100);
  await stack.api("POST", "/segments", { id, name: id, where: { plan: { is: "w".repeat(200) } } });
  await stack.api("PATCH", "/contacts/50%25", { attributes: { plan: "w".repeat(200), last_active: new Date().toISOString(), customer: 17 } });
  await stack.api("POST", "/imports?filename=wide.csv", `${"c".repeat(200)},d\n1,2\n`);
  await stack.record("malformed", "narrow_one", `{"plan": ${"w".repeat(200)}}`);
  const isWide = () => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  for (const [width, height] of [[320, 256], [360, 860], [1360, 860]]) {
    await page.setViewportSize({ width, height });
    for (const [path, ready] of [[`/segments/${id}`, "[data-testid=english]"], ["/contacts/50%25", ".attributes"], ["/imports", "table"], ["/health", ".letters"], ["/activity", ".filters"], ["/", "[data-segment]"]]) {
      await go(path);
      await page.locator(ready).first().waitFor();
      if (path.startsWith("/contacts")) await shown("h1", /^50%$/);
      if (path === "/imports") await page.getByLabel("Open wide.csv").click().then(() => page.locator(".mapping").waitFor());
      if (path === "/health") await page.getByRole("button", { name: /^Show dead letter/ }).first().click().then(() => page.locator(".letter").waitFor());
      assert.equal(await isWide(), false, `${path} at ${width}`);
    }
  }
});

test("on a page that is magnified to four times its size every place can be gone to and rows are in sight", async () => {
  for (let number = 0; number < 4; number++) await stack.api("POST", "/segments", { id: `magnified_${number}`, where: "magnified is true" });
  await page.setViewportSize({ width: 320, height: 256 });
  await go("/");
  await page.locator("[data-segment]").nth(3).waitFor();
  const seen = await page.evaluate(() => ({
    links: [...document.querySelectorAll(".bar nav a")].filter((each) => each.getBoundingClientRect().right <= innerWidth).length,
    rows: document.querySelector(".scroller").clientHeight / document.querySelector("[data-segment]").clientHeight,
  }));
  assert.equal(seen.links, 5);
  assert.ok(seen.rows > 3, `${seen.rows} rows`);
  // Whoever goes by keys sees where they are: no bar stands over it.
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  const search = page.getByLabel("Search segments");
  await search.focus();
  assert.ok(await search.evaluate((each) => each.contains(document.elementFromPoint(...["x", "y"].map((side) => each.getBoundingClientRect()[side] + 5)))));
  await page.setViewportSize({ width: 1360, height: 860 });
});

test("a value can be read and edited on the narrowest telephone", async () => {
  await page.setViewportSize({ width: 320, height: 640 });
  await stack.api("PATCH", "/contacts/u_8", { attributes: { narrow: "twenty characters of" } });
  await go("/contacts/u_8");
  const narrow = page.getByLabel("narrow", { exact: true });
  await narrow.waitFor();
  const isWhole = () => narrow.evaluate((input) => input.scrollWidth <= input.clientWidth);
  assert.ok(await isWhole(), "read");
  await narrow.fill("twenty characters o!");
  await button("Write").waitFor();
  assert.ok(await isWhole(), "edited");
  await page.setViewportSize({ width: 1360, height: 860 });
});

test("in a system's high contrast the choice that is made is told from the others", async () => {
  await page.emulateMedia({ forcedColors: "active" });
  await go("/activity");
  const background = () => button(/^(Hold|Go on)$/).evaluate((each) => getComputedStyle(each).backgroundColor);
  const before = await background();
  await press("Hold");
  assert.notEqual(await background(), before);
  await page.emulateMedia({ forcedColors: "none" });
});

test("a page that is gone to begins at its top, and one that is gone back to where it was left", async () => {
  await page.setViewportSize({ width: 1000, height: 400 });
  await go("/segments/big_spenders");
  const member = page.locator("table.plain tbody a").nth(40);
  for (const how of ["read anew", "read before, and there at once"]) {
    await member.scrollIntoViewIfNeeded();
    const left = await page.evaluate(() => scrollY);
    assert.ok(left > 1_000, `scrolled to ${left}`);
    await member.click();
    await page.getByLabel("mrr", { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => scrollY), 0, how);
    await page.goBack();
    await page.waitForFunction((left) => Math.abs(scrollY - left) < 300, left);
  }
  await page.setViewportSize({ width: 1360, height: 860 });
});

test("an evaluator that does not answer is said on the health page, and so is its recovery", async () => {
  await go("/health");
  await shown(".verdict", "All 4 partitions are served");
  // Frozen until the page says so, then killed: a killed one is back in seconds, between two looks of the page.
  process.kill(stack.pids.evaluator, "SIGSTOP");
  await shown(".verdict.bad", "nothing is lost");
  process.kill(stack.pids.evaluator, "SIGKILL");
  await page.locator(".verdict.good").waitFor();
});

test("how long from an edit on a contact's page to the count on another screen", async () => {
  const list = await page.context().newPage();
  await list.goto(stack.console + "/");
  const counter = list.locator("[data-segment=big_spenders] .members");
  await list.locator(".link[data-state=live]").waitFor();
  await counter.waitFor();
  await go("/contacts/u_3");
  const input = page.getByLabel("mrr", { exact: true });
  await input.waitFor();
  const took = [];
  for (let round = 0; round < 50; round++) {
    const old = await counter.textContent();
    await input.fill(round % 2 ? "10" : "250");
    const seen = list.waitForFunction((old) => document.querySelector("[data-segment=big_spenders] .members")?.textContent !== old && performance.timeOrigin + performance.now(), old, { polling: "raf" });
    const from = Date.now();
    await input.press("Enter");
    took.push((await (await seen).jsonValue()) - from);
  }
  took.sort((a, b) => a - b);
  console.log(`# edit to the count on screen, 50 edits: p50 ${took[24].toFixed(0)} ms, p99 ${took[49].toFixed(0)} ms`);
  assert.ok(took[24] < STANDSTILL_MS, `p50 is ${took[24]} ms`);
  await list.close();
});

test("ten thousand segments are listed, searched and sorted without a wait", async () => {
  await stack.record("segments", "10000");
  await go("/");
  await page.waitForFunction(() => /10,0\d\d segments/.test(document.querySelector(".facts")?.textContent ?? ""), null, { timeout: EVALUATED_MS_MAX });
  const rows = page.locator("[data-segment]");
  await rows.first().waitFor();
  assert.ok((await rows.count()) < 60, "only what is in sight is in the page");
  const search = page.getByLabel("Search segments");
  const took = async (act, wanted) => {
    const from = Date.now();
    await act();
    await page.locator("[data-segment]").first().and(page.locator(`[data-segment=${wanted}]`)).waitFor();
    return Date.now() - from;
  };
  const searched = await took(() => search.fill("score > 9876"), "many_09876");
  assert.equal(await rows.count(), 1);
  await search.fill("");
  const sorted = await took(() => page.getByRole("button", { name: /^Segment/ }).click(), "without_a_mouse");
  await page.getByRole("rowgroup", { name: "Segment rows" }).evaluate((each) => each.scrollTo(0, each.scrollHeight));
  await page.locator("[data-segment=acme_people]").waitFor();
  console.log(`# 10,000 segments: searched in ${searched} ms, sorted in ${sorted} ms`);
  assert.ok(searched < STANDSTILL_MS && sorted < STANDSTILL_MS, `${searched} ms, ${sorted} ms`);
});

test("nothing failed in the page, nothing broke its policy, and no request left the origin", () => {
  assert.deepEqual(browser.seen.errors, []);
  assert.deepEqual([...browser.seen.origins], [stack.console]);
});
