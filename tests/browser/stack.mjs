/** The real local stack for one run of the journeys: Kafka and the four services, on free ports, gone afterwards. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const ROOT = new URL("../..", import.meta.url).pathname;
const PARTITIONS = "4";
const PORTS_NEEDED = 20;
const START_MS_MAX = 240_000;
const STOP_MS_MAX = 30_000;

/** Start it. Shape: addresses, the key, each service's process id, a small API client whose writes are evaluated when it answers, `record`, and `stop`. */
export async function startStack() {
  const base = await freePorts();
  const arguments_ = ["up", "--json", "--ephemeral", "--partitions", PARTITIONS, "--port-base", String(base)];
  const child = spawn(`${ROOT}.venv/bin/tidegate`, arguments_, { stdio: ["ignore", "pipe", "pipe"] });
  let told = "";
  child.stderr.on("data", (part) => (told = (told + part).slice(-4_000)));
  const line = await Promise.race([
    once(createInterface(child.stdout), "line").then(([first]) => first),
    once(child, "exit").then(() => Promise.reject(new Error(`the stack did not start:\n${told}`))),
    new Promise((_, fail) => setTimeout(() => fail(new Error(`the stack is not ready:\n${told}`)), START_MS_MAX).unref()),
  ]);
  const ready = JSON.parse(line);
  return {
    ...ready,
    log: () => told,
    /** Put something on a topic that no route would write; see records.py. */
    async record(what, ...rest) {
      const arguments_ = ["-m", "tests.browser.records", what, ready.kafka, ...(what === "malformed" ? [PARTITIONS] : []), ...rest];
      await promisify(execFile)(`${ROOT}.venv/bin/python`, arguments_, { cwd: ROOT, env: { ...process.env, PYTHONPATH: `${ROOT}:${ROOT}clients` } });
    },
    /** A text is sent as CSV, anything else as JSON. */
    async api(method, path, body) {
      const isText = typeof body === "string";
      const answer = await fetch(`${ready.console}/api/v2${path}`, {
        method,
        headers: { Authorization: `Bearer ${ready.key}`, "Content-Type": isText ? "text/csv" : "application/json", Prefer: "wait=5" },
        body: body === undefined || isText ? body : JSON.stringify(body),
      });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.status === 204 ? null : answer.json();
    },
    async stop() {
      if (child.exitCode !== null) return;
      child.kill("SIGINT");
      const stopped = await Promise.race([once(child, "exit"), new Promise((done) => setTimeout(done, STOP_MS_MAX).unref())]);
      if (!stopped) child.kill("SIGKILL");
    },
  };
}

/** A port from which enough ports are free. */
async function freePorts() {
  for (let base = 21_000 + Math.floor(Math.random() * 8_000); base < 40_000; base += PORTS_NEEDED) {
    const free = await Promise.all(Array.from({ length: PORTS_NEEDED }, (_, at) => isFree(base + at)));
    if (free.every(Boolean)) return base;
  }
  throw new Error("no twenty free ports in a row above 21000");
}

function isFree(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}
