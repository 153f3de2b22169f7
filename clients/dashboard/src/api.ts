/**
 * The HTTP API as the dashboard uses it: one fetch in the session's name, problems as errors, and the answers' types.
 * Rule: nothing but this origin's `/api/v2` is ever asked, and in this page's session alone: all carry its token.
 */

import { hear } from "./clock";
import { parseExactly, type ExactNumber } from "./exact";

export const API = "/api/v2";

export interface Span { offset: number; line: number; column: number; length: number }
export interface Fault { code: string; message: string; hint?: string; pointer?: string; span?: Span }

/** An answer that is an error, in the words of the API. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    title: string,
    readonly detail: string,
    readonly errors: readonly Fault[],
    /** How long the answer wants not to be asked again; 0 where it does not say. */
    readonly retryAfterMs = 0,
  ) {
    super(title);
  }
}

export interface Session { key_id: string; name: string; scopes: string[]; csrf_token: string }
export interface LastHour { entered: number; exited: number; since: string; trend: [number, number][] }
export interface UnreadableAttribute { attribute: string; reading: string; count: number; sample: unknown; settling: boolean }
export interface Segment {
  id: string; version: number; name: string; description: string; state: "active" | "paused";
  text: string; where?: unknown; english?: string; attributes: string[]; depends_on_time: boolean;
  saved_at: string; saved_by: string; members: number | null; settling: boolean; settled_percent: number; settles_at: string | null;
  unreadable: number; unreadable_attributes: UnreadableAttribute[]; unreadable_settling: boolean; counted_at: string | null;
  as_of: string | null; lag_ms: number; last_hour: LastHour;
}
export interface Readings {
  where: unknown; text: string; english: string; attributes: string[]; depends_on_time: boolean; advice: Fault[];
}
export interface Preview {
  matched: number; counted: number; total: number; complete: boolean; sample: string[]; would_enter: number; would_leave: number;
}
export interface Cost { evaluation_us: number | null; contacts_measured: number }
export interface PastMembership {
  at: string; member: boolean | null; since: string | null; unknown: string | null; history_begins_at: string | null;
}
export interface DeadLetter {
  partition: number; offset: number; at: string; code: string; message: string; key: string | null; key_is_base64: boolean;
  value: string | null; value_is_base64: boolean; value_bytes: number; value_is_cut: boolean;
  source: { topic: string; partition: number; offset: number };
}
export type Scalar = string | number | boolean | ExactNumber;
export type Value = Scalar | Scalar[];
export interface Contact {
  id: string; attributes: Record<string, Value>; memberships: { segment_id: string; since: string }[];
  next_deadline: string | null; as_of: string | null;
}
export interface Change {
  segment_id: string; segment_version: number; contact_id: string; change: "enter" | "exit"; at: string; cause: string;
  event_id: string;
}
export interface PartitionStatus {
  partition: number; state: string; answers: boolean | null; owner: string; contacts: number; lag_records: number;
  lag_ms: number; deadline_lateness_ms: number; recovered_percent: number; dead_letters: number; reported_at: string;
}
export interface Status {
  complete: boolean; as_of: string; partitions_expected: number; contacts: number; dead_letters: number;
  partitions: PartitionStatus[];
}
export interface AttributeSeen { name: string; contacts: number; types: string[]; values: Scalar[] }
export interface Flip { action: "set" | "remove" | "wait"; attribute: string; says: string; value?: unknown; at_ms?: number }
export type TruthNode =
  | { kind: "all" | "any" | "not"; holds: boolean; children: TruthNode[] }
  | { kind: "segment"; segment_id: string; holds: boolean }
  | {
      kind: "condition"; condition: string; holds: boolean; attribute: string; value?: unknown;
      state: "read" | "missing" | "unreadable"; reading: string; read?: unknown; until_ms: number | null; flips: Flip[];
    };
export interface Explanation {
  member: boolean; since_ms: number | null; segment_version: number; state: "active" | "paused"; holds: boolean; at_ms: number;
  until_ms: number | null; tree: TruthNode;
}

/** Whether an error says that there is no such thing, whatever was read of it before. */
export function isGone(error: unknown): boolean {
  return error instanceof Problem && error.status === 404;
}

let csrfToken = "";

/** Whether an error says that this page's session is over, or is not the browser's any more. */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof Problem && (error.status === 401 || error.code === "forged");
}

/** The session that the browser has now, whichever this page was opened in. */
export function sessionNow(): Promise<Session> {
  return ask<Session>("/session", { token: "" });
}

/** The token that everything carries from now on. */
export function keepToken(token: string): void {
  csrfToken = token;
}

/** How long an answer to a read, and to a change, is waited for. A file is sent for as long as that takes. */
const READ_MS_MAX = 30_000;
const CHANGE_MS_MAX = 90_000;

/** `token`: of another session than this page's; "" of whichever there is. */
export interface Asked { token?: string; method?: string; json?: unknown; body?: Blob; headers?: Record<string, string>; signal?: AbortSignal }

/** Ask the API. Errors: `Problem`, also when nothing answers, or nothing that can be read (status 0). */
export async function ask<T>(path: string, asked: Asked = {}): Promise<T> {
  // A read carries it too: in the name of another key, with which another tab has logged in, nothing is read here.
  const { token = csrfToken } = asked;
  const headers: Record<string, string> = { ...asked.headers, ...(token ? { "X-CSRF-Token": token } : {}) };
  if (asked.json !== undefined) headers["Content-Type"] = "application/json";
  const isRead = (asked.method ?? "GET") === "GET";
  const deadline = deadlineOf(asked.signal, asked.body ? null : isRead ? READ_MS_MAX : CHANGE_MS_MAX);
  try {
    return await answered<T>(path, { method: asked.method ?? "GET", headers, body: asked.json === undefined ? (asked.body ?? null) : JSON.stringify(asked.json), credentials: "same-origin", signal: deadline.signal });
  } catch (error) {
    if (asked.signal?.aborted || !deadline.signal.aborted) throw error;
    const doubt = isRead ? "Check that it is running, and your network." : "Whether the change was made is not known: look before you make it again.";
    throw new Problem(0, "no_answer", `The console has not answered within ${(isRead ? READ_MS_MAX : CHANGE_MS_MAX) / 1_000} seconds.`, doubt, []);
  } finally {
    deadline.end();
  }
}

/** Why the console refuses what is answered with a stream; null when it does not. No answer is one with status 0. */
export async function refusalOf(path: string): Promise<Problem | null> {
  const deadline = deadlineOf(undefined, READ_MS_MAX);
  try {
    const answer = await fetch(API + path, { headers: csrfToken ? { "X-CSRF-Token": csrfToken } : {}, credentials: "same-origin", signal: deadline.signal });
    if (!answer.ok) return await problemOf(answer);
    await answer.body?.cancel();
    return null;
  } catch {
    return new Problem(0, "no_answer", "The console does not answer.", "Check that it is running, and your network.", []);
  } finally {
    deadline.end();
  }
}

/** A signal that aborts with another one, or when the time is over. */
function deadlineOf(other: AbortSignal | undefined, ms: number | null): { signal: AbortSignal; end: () => void } {
  const late = new AbortController();
  const abort = () => late.abort();
  const timer = ms === null ? undefined : setTimeout(abort, ms);
  if (other?.aborted) abort();
  other?.addEventListener("abort", abort);
  return {
    signal: late.signal,
    end: () => {
      clearTimeout(timer);
      other?.removeEventListener("abort", abort);
    },
  };
}

async function answered<T>(path: string, request: RequestInit): Promise<T> {
  let answer: Response;
  try {
    const asked = Date.now();
    answer = await fetch(API + path, request);
    hear(asked, Date.now(), answer.headers.get("Date"));
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Problem(0, "no_answer", "The console does not answer.", "Check that it is running, and your network.", []);
  }
  if (!answer.ok) throw await problemOf(answer);
  if (answer.status === 204) return undefined as T;
  try {
    return parseExactly(await answer.text()) as T;
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Problem(0, "broken_answer", "The answer broke off or cannot be read.", "Something between here and the console may have changed it.", []);
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  const said = (await answer.json().catch(() => ({}))) as Partial<{
    code: string; title: string; detail: string; errors: Fault[];
  }>;
  const title = said.title ?? `The request failed with status ${answer.status}.`;
  const retryAfterMs = 1_000 * (Number(answer.headers.get("Retry-After")) || 0);
  return new Problem(answer.status, said.code ?? "failed", title, said.detail ?? "", said.errors ?? [], retryAfterMs);
}

/** What SWR reads with. */
export function read<T>(path: string): Promise<T> {
  return ask<T>(path);
}

export function segmentPath(id: string): string {
  return `/segments/${encodeURIComponent(id)}`;
}

export function contactPath(id: string): string {
  return `/contacts/${encodeURIComponent(id)}`;
}
