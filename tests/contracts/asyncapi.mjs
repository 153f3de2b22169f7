// Judges AsyncAPI documents with the parser of those who define the format: `node asyncapi.mjs FILE…`.
// Prints what it finds, one JSON object a line, and ends with 1 if a document is not valid.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
let invalid = false;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"), { source: file });
  const errors = diagnostics.filter(({ severity }) => severity === ERROR);
  invalid ||= document === undefined || errors.length > 0;
  for (const { severity, code, message, path } of diagnostics) {
    console.log(JSON.stringify({ severity, code, message, path: path.join("/") }));
  }
  const messages = document?.allMessages().all() ?? [];
  console.log(JSON.stringify({ valid: !invalid, channels: document?.allChannels().all().length ?? 0, messages: messages.length }));
}
process.exitCode = invalid ? 1 : 0;
