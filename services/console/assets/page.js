// The first page: lists segments with live counts and shows changes as they come.
// Rule: what contacts and authors wrote is only ever set as text, never as markup; no request leaves the origin.

const API = "/api/v2";
const CHANGES_SHOWN_MAX = 100;
const STATUS_EVERY_MS = 5000;
const RETRY_MS = 1500;
const KEY = "tidegate-key";

const at = (id) => document.getElementById(id);
const grouped = new Intl.NumberFormat("en");
const rows = new Map();
let key = "";
let lastEventId = "";

class Refused extends Error {}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${key}`, ...(options.headers ?? {}) };
  const answer = await fetch(API + path, { ...options, headers });
  if (answer.status === 401 || answer.status === 403) {
    throw new Refused((await answer.json()).title);
  }
  return answer;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shown(count) {
  return count === null || count === undefined ? "–" : grouped.format(count);
}

function rowOf(segment) {
  const known = rows.get(segment.id);
  if (known) return known;
  const line = element("tr");
  const head = element("td");
  const row = {
    name: element("span", "name"), state: element("span", "state"), text: element("span", "text"),
    members: element("td", "number members"), entered: element("td", "number", "0"), exited: element("td", "number", "0"),
    line, enters: 0, exits: 0,
  };
  head.append(row.name, row.state, row.text);
  line.append(head, row.members, row.entered, row.exited);
  rows.set(segment.id, row);
  return row;
}

function showCount(row, members) {
  const text = shown(members);
  if (row.members.textContent === text) return;
  const first = row.members.textContent === "";
  row.members.textContent = text;
  if (first) return;
  row.members.classList.add("fresh");
  requestAnimationFrame(() => requestAnimationFrame(() => row.members.classList.remove("fresh")));
}

function showSegments(segments) {
  const body = at("segments");
  const present = new Set(segments.map((segment) => segment.id));
  for (const [id, row] of rows) {
    if (!present.has(id)) { row.line.remove(); rows.delete(id); }
  }
  for (const segment of segments) {
    const row = rowOf(segment);
    row.name.textContent = segment.name && segment.name !== segment.id ? `${segment.name} (${segment.id})` : segment.id;
    row.text.textContent = segment.text ?? "";
    row.state.textContent = segment.state === "paused" ? "paused"
      : segment.settling ? `settling, ${Math.floor(segment.settled_percent)} %` : "";
    row.members.title = segment.counted_at ? `as of ${segment.counted_at}` : "not every partition has told its part yet";
    showCount(row, segment.members);
    body.append(row.line);
  }
  at("no-segments").hidden = segments.length > 0;
  at("segment-total").textContent = grouped.format(segments.length);
}

async function refresh() {
  const [segments, status] = await Promise.all([ask("/segments"), ask("/status")]);
  if (segments.ok) showSegments((await segments.json()).segments.filter((segment) => segment.state !== "deleted"));
  if (status.ok) {
    const told = await status.json();
    const served = told.partitions.filter((part) => part.state === "ready").length;
    at("contacts").textContent = grouped.format(told.contacts);
    at("partitions").textContent = `${served} of ${told.partitions_expected}`;
  }
  if (!segments.ok) say(`The segments cannot be read now (${(await segments.json()).title}); trying again.`);
  else say("");
}

function say(text) {
  at("notice").textContent = text;
  at("notice").hidden = text === "";
}

function showChange(change) {
  const line = element("li");
  const when = new Date(change.at_ms);
  const time = element("time", "", when.toISOString().slice(11, 23));
  time.dateTime = when.toISOString();
  const segment = element("span", "", change.cause === "time" ? `${change.segment_id} (time)` : change.segment_id);
  const contact = element("span", "", change.contact_id);
  contact.title = change.contact_id;
  line.append(time, element("span", change.change, change.change), segment, contact);
  const list = at("changes");
  list.prepend(line);
  while (list.childElementCount > CHANGES_SHOWN_MAX) list.lastElementChild.remove();
  at("no-changes").hidden = true;
  const row = rows.get(change.segment_id);
  if (!row) return;
  if (change.change === "enter") row.entered.textContent = grouped.format(++row.enters);
  else row.exited.textContent = grouped.format(++row.exits);
}

function take(name, data) {
  if (name === "change") showChange(data);
  else if (name === "counts") {
    for (const [id, members] of Object.entries(data)) {
      const row = rows.get(id);
      if (row) showCount(row, members);
    }
  }
}

function takeFrame(frame) {
  let name = "message";
  let data = "";
  for (const line of frame.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
    else if (line.startsWith("id: ")) lastEventId = line.slice(4);
  }
  if (data) take(name, JSON.parse(data));
}

async function listen() {
  const headers = { Accept: "text/event-stream", ...(lastEventId ? { "Last-Event-ID": lastEventId } : {}) };
  const answer = await ask("/events", { headers });
  if (!answer.ok) throw new Error(`events: ${answer.status}`);
  link("live", "live");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffered += value;
    const frames = buffered.split("\n\n");
    buffered = frames.pop();
    frames.forEach(takeFrame);
  }
}

function link(state, text) {
  at("link").dataset.state = state;
  at("link").textContent = text;
}

async function keepListening() {
  for (;;) {
    try {
      await listen();
    } catch (error) {
      if (error instanceof Refused) return askForKey(error.message);
    }
    link("waiting", "reconnecting");
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function keepRefreshing() {
  for (;;) {
    try {
      if (!document.hidden) await refresh();
    } catch (error) {
      if (error instanceof Refused) return;
      say("The console does not answer; trying again.");
    }
    await new Promise((resolve) => setTimeout(resolve, STATUS_EVERY_MS));
  }
}

function askForKey(reason) {
  sessionStorage.removeItem(KEY);
  at("entry").hidden = false;
  document.querySelector("main").hidden = true;
  link("waiting", "not open");
  say(reason ?? "");
  at("key").focus();
}

async function open(candidate) {
  key = candidate;
  try {
    await refresh();
  } catch (error) {
    if (error instanceof Refused) return askForKey(error.message);
    say("The console does not answer; trying again.");
  }
  sessionStorage.setItem(KEY, key);
  at("entry").hidden = true;
  document.querySelector("main").hidden = false;
  keepListening();
  setTimeout(keepRefreshing, STATUS_EVERY_MS);
}

at("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  open(at("key").value.trim());
});

// A link may carry the key after `#key=`: that part never leaves the browser, and is taken out of sight at once.
const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given) history.replaceState(null, "", location.pathname);
const known = given ?? sessionStorage.getItem(KEY);
if (known) open(known);
else askForKey();
