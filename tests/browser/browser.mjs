/**
 * A real Chromium on a page of the dashboard, and what every journey needs of it.
 * Rule: whatever a journey starts is ended with it; nothing is shared with the machine's own browser.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const dashboard = createRequire(new URL("../../clients/dashboard/package.json", import.meta.url));
const { chromium } = dashboard("playwright-core");
const axePath = dashboard.resolve("axe-core/axe.min.js");

const CHROMIUM = process.env.TIDEGATE_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** A browser with an empty profile. Shape: `page`, what went wrong in it, and every origin that it asked. */
export async function openBrowser() {
  const profile = await mkdtemp(join(tmpdir(), "tidegate-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM, headless: true, args: FLAGS, viewport: { width: 1360, height: 860 }, acceptDownloads: true,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const seen = { errors: [], origins: new Set() };
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => {
    // A refused request is the journey's business; a violated policy or a failed script is not.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) seen.errors.push(message.text());
  });
  page.on("request", (request) => seen.origins.add(new URL(request.url()).origin));
  return {
    page, seen,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** What axe finds that is serious or worse, each with where it is. */
export async function seriousFindings(page) {
  // Through the debugger, because the page's policy admits no script of ours.
  await page.evaluate(await (await import("node:fs/promises")).readFile(axePath, "utf8"));
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).slice(0, 4).join(" | ")}`);
}
