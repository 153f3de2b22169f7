/**
 * Records beside the built files which sources they were built from, so that a test can refuse stale ones.
 * The digest is over the name and content of every source file in the order of their names.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { join } from "node:path";

const ROOT = new URL("..", import.meta.url).pathname;
const BUILT = join(ROOT, "../../services/console/dashboard");
const SOURCES = ["index.html", "package-lock.json", "package.json", "scripts", "src", "tsconfig.json", "vite.config.ts"];

function filesIn(path) {
  if (statSync(join(ROOT, path)).isFile()) return [path];
  return readdirSync(join(ROOT, path)).flatMap((name) => filesIn(`${path}/${name}`));
}

const digest = createHash("sha256");
for (const path of SOURCES.flatMap(filesIn).sort()) {
  digest.update(`${path}\0`).update(readFileSync(join(ROOT, path))).update("\0");
}
writeFileSync(join(BUILT, "build.json"), `${JSON.stringify({ sources_sha256: digest.digest("hex") }, null, 2)}\n`);

const entry = readFileSync(join(BUILT, "index.html"), "utf8");
const first = [...entry.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((found) => found[1]);
const bytes = first.reduce((sum, path) => sum + gzipSync(readFileSync(join(BUILT, path))).length, gzipSync(entry).length);
console.log(`first load: ${(bytes / 1000).toFixed(1)} kB gzipped in ${first.length + 1} files`);
