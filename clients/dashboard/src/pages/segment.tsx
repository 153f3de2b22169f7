/** One segment: what it means in three readings, whom it holds for, and what a change would do before it is saved. */
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import useSWR, { useSWRConfig } from "swr";
import { Link, useLocation } from "wouter";
import { ask, isGone, Problem, segmentPath, type AttributeSeen, type Change, type Cost, type Segment } from "../api";
import { age, count, counted, duration, instant, microseconds, slug, typedId } from "../format";
import { useChangesTogether, useCount, type LiveChange } from "../live";
import { ChangeLine } from "../parts/change-line";
import { ContactLink } from "../parts/contact-link";
import { isEdited, useDraft, type Draft } from "../parts/draft";
import { MissingChoices } from "../parts/missing-choices";
import { useNow } from "../parts/now";
import { Pager, usePages } from "../parts/pager";
import { Empty, ErrorBoundary, Skeleton, Trouble } from "../parts/states";
import type { Group } from "../query";
import { letGo, useUnsaved } from "../unsaved";
import { Badges } from "./segments";

const TextEditor = lazy(() => import("../parts/text-editor"));
const Builder = lazy(() => import("../parts/builder"));
const Chart = lazy(() => import("../parts/chart"));
const CHANGES_SHOWN = 50;
/** Of those that come while the page is open, until the list is read again. */
const CHANGES_LIVE_MAX = 500;
const EXAMPLES: readonly [string, string][] = [
  ["Active lately, on a plan", "plan is Pro AND last_active within last 7 days AND email_verified"],
  ["A trial about to end", "trial_ends_at within next 3 days AND has_upgraded is false"],
  ["Gone quiet", "last_active more than 30 days ago AND plan is not Free"],
  ["Several countries", "country in [US, CA, UK]"],
  ["Everybody at a company", 'email contains "@acme."'],
];
const COST_EVERY_MS = 60_000;

export default function SegmentPage({ id }: { id: string | null }) {
  const { data: saved, error, mutate } = useSWR<Segment>(id === null ? null : segmentPath(id), { refreshInterval: 5_000 });
  const isDeleted = id !== null && isGone(error);
  if (isDeleted && !saved) return <Gone id={id} last={saved} />;
  if (id !== null && !saved) {
    return <><div className="head"><h1>{id}</h1></div>{error ? <Trouble error={error} retry={() => void mutate()} /> : <Skeleton lines={10} />}</>;
  }
  return (
    <>
      {error && !isDeleted && <Trouble error={error} retry={() => void mutate()} />}
      {isDeleted ? <Gone id={id} last={saved} /> : saved ? <Standing segment={saved} /> : <div className="head"><h1>New segment</h1><p className="facts">write it as text or build it; each form follows the other</p></div>}
      <Editor saved={saved ?? null} isDeleted={isDeleted} reread={() => void mutate()} />
      {saved && !isDeleted && <Population id={saved.id} />}
    </>
  );
}

/** What stands in the place of a segment that was deleted, also while it was shown. */
function Gone({ id, last }: { id: string; last: Segment | undefined }) {
  return (
    <>
      <div className="head"><h1>{id}</h1></div>
      <Empty title={last ? "This segment no longer exists" : "There is no such segment"}>
        {last ? <p>It was deleted while this page was open. Its condition was <code>{last.text}</code></p> : <p>It was deleted, or its id is another one.</p>}
        <p><Link href="/">All segments</Link></p>
      </Empty>
    </>
  );
}

function Standing({ segment }: { segment: Segment }) {
  const members = useCount(segment.id, segment.members);
  const { data: cost } = useSWR<Cost>(`${segmentPath(segment.id)}/cost`, { refreshInterval: COST_EVERY_MS });
  const now = useNow();
  return (
    <>
      <div className="head">
        <h1>{segment.name || segment.id} <Badges segment={segment} /></h1>
        <p className="facts"><code>{segment.id}</code>, version {segment.version}, saved {age(segment.saved_at, now)} by key {segment.saved_by || "unknown"}</p>
      </div>
      <div className="standing">
        <div><dl className="figures">
          <div><dt>Members now</dt><dd data-testid="members" className="live-count" key={members}>{count(members)}</dd></div>
          <div><dt>Entered, last hour</dt><dd className="entered" data-none={!segment.last_hour.entered || undefined}>{count(segment.last_hour.entered)}</dd></div>
          <div><dt>Left, last hour</dt><dd className="exited" data-none={!segment.last_hour.exited || undefined}>{count(segment.last_hour.exited)}</dd></div>
          <div><dt>Cost per evaluation</dt><dd>{microseconds(cost?.evaluation_us)} <small>a contact</small></dd></div>
          <div><dt>Count is of</dt><dd>{segment.as_of ? age(segment.as_of, now) : "–"} {segment.lag_ms > 0 && <small className="warn">behind by {duration(segment.lag_ms)}</small>}</dd></div>
        </dl>
          <p className="hint">Enters and exits counted since {instant(segment.last_hour.since).slice(11, 16)} UTC{segment.counted_at && <>; members last changed {age(segment.counted_at, now)}</>}.</p>
          {segment.settling && <p className="hint" role="status"><progress value={segment.settled_percent} max={100} aria-label="How many contacts have been brought to this version" /> {Math.floor(segment.settled_percent)} % of the contacts have been brought to version {segment.version}{segment.settles_at && Date.parse(segment.settles_at) > now && <>, the last of them {age(segment.settles_at, now)}</>}.</p>}
        </div>
        {members !== null && <ErrorBoundary of="The chart"><Suspense fallback={<div className="chart" />}><Chart trend={segment.last_hour.trend} members={members} now={now} /></Suspense></ErrorBoundary>}
      </div>
      {segment.unreadable_attributes.length > 0 && (
        <div className="notice" data-testid="unreadable">
          <strong>Some values cannot be read, and count as missing.</strong> Correct them at their source, or test the attribute as text.
          <ul>{segment.unreadable_attributes.map((each) => (
            <li key={`${each.attribute} ${each.reading}`}><code>{each.attribute}</code> as {each.reading}: on {counted(each.count, "contact")}, for example <code>{JSON.stringify(each.sample)}</code>{each.settling && " (still counting)"}</li>))}</ul>
        </div>
      )}
    </>
  );
}

/** `isDeleted`: somebody else has deleted it meanwhile. What was being written stays to be copied, and is asked about. */
function Editor({ saved, isDeleted, reread }: { saved: Segment | null; isDeleted: boolean; reread: () => void }) {
  const { draft, setText, setTree, again } = useDraft(saved?.id ?? null, saved?.text ?? "");
  const [name, setName] = useState(saved?.name ?? "");
  const [ownId, setOwnId] = useState("");
  /** The version that is edited. */
  const [base, setBase] = useState(saved);
  const [trouble, setTrouble] = useState<unknown>(null);
  const [said, setSaid] = useState("");
  const [wanted, setWanted] = useState(false);
  const [, go] = useLocation();
  const { mutate } = useSWRConfig();
  const { data: catalogue } = useSWR<{ attributes: AttributeSeen[]; contacts_sampled: number }>("/attributes");
  const { data: all } = useSWR<{ segments: Segment[] }>("/segments?brief=true");
  const segments = useMemo(() => (all?.segments ?? []).map((each) => each.id).filter((each) => each !== saved?.id), [all, saved?.id]);
  const attributes = catalogue?.attributes ?? [];
  const id = saved?.id ?? (ownId || slug(name));
  const isChanged = draft.readings !== null && (base === null || draft.readings.text !== base.text || nameSaved(name, base.id) !== nameSaved(base.name, base.id));
  const loses = lossOf(base, isEdited(draft, base?.text ?? null), base ? nameSaved(name, base.id) !== nameSaved(base.name, base.id) : name.trim() !== "" || ownId !== "");
  const elsewhere = saved !== null && base !== null && saved.version > base.version && loses === "";
  useUnsaved(loses);
  const isSaving = useRef(false);
  const isShown = useRef(false);
  useEffect(() => {
    isShown.current = true;
    return () => { isShown.current = false; };
  }, []);

  useEffect(() => {
    if (saved) setText(saved.text, 0);
    // The contacts are read while the first condition is being written, so that its count is there at once.
    else void ask("/segments/preview?within_ms=0&sample=0", { method: "POST", json: { where: { attribute: "id", set: true } } }).catch(() => undefined);
  }, []);
  useEffect(() => {
    if (!elsewhere || !saved) return;
    setBase(saved);
    setName(saved.name);
    setText(saved.text, 0);
    setSaid("");
    setTrouble(null);
  }, [elsewhere]);

  // Whoever did not wait for the answer is on another page, and stays there.
  function goOn(address: string, options?: { replace: boolean }) {
    if (!isShown.current) return;
    letGo();
    go(address, options);
  }

  /** Tell why something was not done; what somebody else has done meanwhile is shown as it is now. */
  function refuse(error: unknown) {
    setTrouble(error);
    if (error instanceof Problem && (error.status === 412 || isGone(error))) reread();
  }

  async function save(change: object) {
    // A second click comes before the answer to the first, and would be told that somebody else was quicker.
    if (isSaving.current) return;
    isSaving.current = true;
    setTrouble(null);
    setSaid("");
    try {
      if (saved) {
        const next = await ask<Segment>(segmentPath(saved.id), { method: "PUT", json: change, headers: { "If-Match": `"${base?.version}"` } });
        setBase(next);
        if ("name" in change) setName((now) => (now === name ? next.name : now));
        setSaid(saidOf(next));
        reread();
      } else {
        await ask("/segments", { method: "POST", json: { id, name: name || id, ...change } });
        goOn(`/segments/${encodeURIComponent(id)}`, { replace: true });
      }
      void mutate("/segments?brief=true");
    } catch (error) {
      refuse(error);
    }
    isSaving.current = false;
  }

  /** Pause, or resume. The second click of a double one would take back what the first has done. */
  function turn(click: number) {
    if (saved && click < 2) void save({ state: saved.state === "paused" ? "active" : "paused" });
  }

  async function remove() {
    if (!saved || !confirm(`Delete ${saved.id}? Its members leave it, and consumers are told so.`)) return;
    try {
      await ask(segmentPath(saved.id), { method: "DELETE", headers: { "If-Match": `"${base?.version}"` } });
      void mutate("/segments?brief=true");
      goOn("/");
    } catch (error) {
      refuse(error);
    }
  }

  const canSave = draft.readings !== null && !draft.unfinished && isChanged && id !== "";
  const saveExpression = () => {
    if (!draft.checked) setWanted(true);
    else if (canSave) void save({ where: draft.readings!.where, ...(saved || name ? { name: nameSaved(name, id) } : {}) });
  };
  useEffect(() => {
    // What is saved is what stands here, so that a save asked for right after an edit waits for its reading.
    if (!wanted || !(draft.checked || draft.unfinished || draft.trouble !== null)) return;
    setWanted(false);
    if (draft.checked) saveExpression();
  }, [wanted, draft]);
  if (isDeleted) return loses && <p className="notice">What you had written of it is not saved: <code>{draft.text}</code> A new segment can be made of it.</p>;
  return (
    <section className="editor" aria-label="Definition">
      <div className="names">
        <label>Name <input value={name} placeholder={saved?.id ?? "Active Pro contacts"} onChange={(event) => setName(event.target.value)} /></label>
        {saved === null && <label>Id <input value={id} placeholder="active_pro_contacts" spellCheck={false} onChange={(event) => setOwnId(typedId(event.target.value))} /></label>}
        <span className="grow" />
        {saved && <button type="button" onClick={({ detail }) => turn(detail)}>{saved.state === "paused" ? "Resume" : "Pause"}</button>}
        {saved && <button type="button" className="quiet" onClick={() => void remove()}>Delete</button>}
        <button type="button" className="main" disabled={!canSave} onClick={saveExpression}>{saved ? "Save new version" : "Create segment"}</button>
      </div>
      {saved === null && id === "" && name.trim() !== "" && <p className="hint" role="status">This name has no letters for an id. Give it one of a to z, 0 to 9, - and _.</p>}
      <div className="forms">
        <div className="visual" aria-label="Condition, visually" role="group">
          <ErrorBoundary of="The builder">
            <Suspense fallback={<Skeleton lines={4} />}><Builder tree={draft.tree} known={{ attributes, segments }} onTree={setTree} /></Suspense>
          </ErrorBoundary>
        </div>
        <div className="written">
          <ErrorBoundary of="The text">
            <Suspense fallback={<Skeleton lines={4} />}>
              <TextEditor text={draft.text} faults={draft.faults} attributes={attributes} segments={segments} onText={setText} onSave={saveExpression} />
            </Suspense>
          </ErrorBoundary>
          <Reading draft={draft} again={again} />
        </div>
      </div>
      {trouble !== null && <Trouble error={trouble} />}
      {trouble instanceof Problem && trouble.status === 412 && saved && base && saved.version > base.version && (
        <p className="notice">Version {saved.version} now says <code>{saved.text}</code>.{" "}
          <button type="button" onClick={() => { setBase(saved); setTrouble(null); }}>Keep my text and edit that version</button></p>
      )}
      {said && <p className="notice" role="status">{said}</p>}
      {saved === null && draft.text === "" && <Examples onText={(text) => setText(text, 0)} />}
      <Outlook draft={draft} saved={saved} isChanged={isChanged} onTree={setTree} />
    </section>
  );
}

/** What would be lost, in words, by who leaves an editor now; "" when nothing. `base` is null where a segment is made. */
export function lossOf(base: Pick<Segment, "id" | "name"> | null, isCondition: boolean, isName: boolean): string {
  if (!isCondition && !isName) return "";
  if (base === null) return "The new segment has not been created. What you have written of it would be lost.";
  const what = [isName && "name", isCondition && "condition"].filter(Boolean).join(" and ");
  return `Your edit of the ${what} of “${base.name || base.id}” has not been saved, and would be lost.`;
}

/** What a saved version does. */
export function saidOf({ version, state }: Pick<Segment, "version" | "state">): string {
  return state === "paused" ? `Version ${version} is saved. The segment is paused: its members stay, and nobody enters or leaves until it is resumed.`
    : `Version ${version} is saved. It is in force from here on; contacts are being brought to it.`;
}

/** A segment without a name of its own is called by its id, as one that was created without is. */
export function nameSaved(name: string, id: string): string {
  return name.trim() || id;
}

function Examples({ onText }: { onText: (text: string) => void }) {
  return (
    <div className="examples">
      <h3>Begin with an example, then change it</h3>
      <ul>{EXAMPLES.map(([name, text]) => (
        <li key={text}><button type="button" className="quiet" onClick={() => onText(text)}>{name} <code>{text}</code></button></li>))}</ul>
      <p className="hint">A condition is held to every contact at every moment: contacts enter when it becomes true and leave when it ceases to be, also by time alone.</p>
    </div>
  );
}

function Reading({ draft, again }: { draft: Draft; again: () => void }) {
  if (draft.faults.length > 0) {
    return <ul className="faults" aria-label="Errors">{draft.faults.map((fault, at) => (
      <li key={at}>{fault.span && <span className="place">{fault.span.line}:{fault.span.column}</span>} {fault.message}{fault.hint && <small>{fault.hint}</small>}</li>))}</ul>;
  }
  const failure = draft.trouble !== null && <Trouble error={draft.trouble} retry={again} />;
  if (failure && !draft.checked) return failure;
  if (!draft.readings) return <p className="english muted">The condition in plain English will stand here.</p>;
  return (
    <>
      {failure}
      <p className="english" data-testid="english">{draft.readings.english}</p>
      {draft.unfinished && <p className="hint">A condition in the builder is not finished yet; the text is the last whole one.</p>}
      {draft.readings.advice.map((fault, at) => <p key={at} className="hint">{fault.message}{fault.hint && <> — {fault.hint}</>}</p>)}
    </>
  );
}

function Outlook({ draft, saved, isChanged, onTree }: { draft: Draft; saved: Segment | null; isChanged: boolean; onTree: (tree: Group) => void }) {
  const { preview, readings } = draft;
  if (!readings || !preview) return null;
  return (
    <div className="outlook" aria-live="polite" data-stale={draft.previewing || !draft.checked || undefined}>
      <div>
        {preview.complete ? (
          <p className="matches" data-testid="matches"><strong>{count(preview.matched)}</strong> of {counted(preview.total, "contact")} match now</p>
        ) : (
          <>
            <p className="matches" data-testid="matches-so-far"><strong>{count(preview.matched)}</strong> of the first {counted(preview.counted, "contact")} match</p>
            <progress value={preview.counted} max={preview.total} aria-label="How many contacts have been counted" />
            <p className="hint">Counting all {count(preview.total)}. This is slow only the first time.</p>
          </>
        )}
        {saved && isChanged && preview.complete && (
          <p className="difference" data-testid="difference">{saved.state === "paused" ? "The segment is paused, so saving moves nobody. Resuming it then would make" : "Saving makes"} <strong className="entered">{counted(preview.would_enter, "contact")} enter</strong> and <strong className="exited">{counted(preview.would_leave, "contact")} leave</strong>.</p>
        )}
        {readings.depends_on_time && <p className="hint">This depends on the time, so contacts also enter and leave without a write.</p>}
      </div>
      <div>
        <h3>Sample</h3>
        {preview.sample.length === 0 ? <p className="hint">No contact matches. Compare the values with those of a contact you know.</p> : (
          <ul className="ids sample">{preview.sample.map((each) => <li key={each}><ContactLink id={each} /></li>)}</ul>
        )}
      </div>
      {preview.complete && <MissingChoices tree={draft.tree} onTree={onTree} />}
    </div>
  );
}

function Population({ id }: { id: string }) {
  const pages = usePages("members");
  const changePages = usePages("changes");
  const isNewest = changePages.number === 1;
  const { data: members, error, mutate } = useSWR<{ members: { contact_id: string; since: string }[]; next: string | null }>(
    `${segmentPath(id)}/members?limit=50${cursor(pages.after)}`, { refreshInterval: 10_000 });
  const { data: history, error: historyError, mutate: again } = useSWR<{ changes: Change[]; next: string | null }>(
    `${segmentPath(id)}/changes?limit=${CHANGES_SHOWN}${cursor(changePages.after)}`, { refreshInterval: isNewest ? 10_000 : 0 });
  const now = useNow(5_000);
  // Kept beside what is read: a read during which its list is changed is dropped, and in a busy segment that is each.
  const [live, setLive] = useState<readonly LiveChange[]>([]);
  const onChanges = useCallback((arrived: readonly LiveChange[]) => {
    const mine = arrived.filter((change) => change.segment_id === id);
    if (mine.length > 0) setLive((before) => [...before, ...mine].slice(-CHANGES_LIVE_MAX));
  }, [id]);
  useChangesTogether(onChanges);
  const changes = history && (isNewest ? withChanges(history.changes, live) : history.changes);
  return (
    <div className="columns">
      <section>
        <h2>Members</h2>
        {error && <Trouble error={error} retry={() => void mutate()} />}
        {members && members.members.length === 0 && <p className="hint">Nobody is in this segment now.</p>}
        {members && members.members.length > 0 && (
          <table className="plain">
            <thead><tr><th scope="col">Contact</th><th scope="col">Since</th></tr></thead>
            <tbody>{members.members.map((each) => (
              <tr key={each.contact_id}><th scope="row"><ContactLink id={each.contact_id} /></th>
                <td title={instant(each.since)}>{age(each.since, now)}</td></tr>))}</tbody>
          </table>
        )}
        <Pager pages={pages} next={members?.next ?? null} of="members" names={["Earlier", "Later"]} />
      </section>
      <section>
        <h2>Changes</h2>
        {historyError && <Trouble error={historyError} retry={() => void again()} />}
        {changes && changes.length === 0 && <p className="hint">Nobody has entered or left yet.</p>}
        <ol className="changes">{changes?.map((change) => <ChangeLine key={change.event_id} change={change} dated without="segment" />)}</ol>
        <Pager pages={changePages} next={history?.next ?? null} of="changes" />
      </section>
    </div>
  );
}

/** A list as it was read, with the live changes since then at its head, the newest first. */
export function withChanges(changes: Change[], live: readonly LiveChange[]): Change[] {
  const known = new Set(changes.map((each) => each.event_id));
  const newest = changes.length > 0 ? Date.parse(changes[0]!.at) : 0;
  const fresh = live.filter((each) => each.at_ms >= newest && !known.has(each.event_id));
  return [...fresh.map((each) => ({ ...each, at: new Date(each.at_ms).toISOString() })).reverse(), ...changes];
}

function cursor(after: string | null): string {
  return after === null ? "" : `&after=${encodeURIComponent(after)}`;
}
