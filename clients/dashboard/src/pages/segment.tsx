/** One segment: what it means in three readings, whom it holds for, and what a change would do before it is saved. */
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import useSWR, { useSWRConfig } from "swr";
import { Link, useLocation } from "wouter";
import { ask, Problem, segmentPath, type AttributeSeen, type Change, type Preview, type Segment } from "../api";
import { age, count, counted, instant, slug } from "../format";
import { useChanges, useCount, type LiveChange } from "../live";
import { ChangeLine } from "../parts/change-line";
import { useDraft, type Draft } from "../parts/draft";
import { useNow } from "../parts/now";
import { Skeleton, Trouble } from "../parts/states";
import { Badges } from "./segments";

const TextEditor = lazy(() => import("../parts/text-editor"));
const Builder = lazy(() => import("../parts/builder"));
const Chart = lazy(() => import("../parts/chart"));
const CHANGES_SHOWN = 50;
const MISSING_ASKED_MAX = 6;

export default function SegmentPage({ id }: { id: string | null }) {
  const { data: saved, error, mutate } = useSWR<Segment>(id === null ? null : segmentPath(id), { refreshInterval: 5_000 });
  if (id !== null && !saved) {
    return <><div className="head"><h1>{id}</h1></div>{error ? <Trouble error={error} retry={() => void mutate()} /> : <Skeleton lines={10} />}</>;
  }
  return (
    <>
      {saved ? <Standing segment={saved} /> : <div className="head"><h1>New segment</h1><p className="facts">write it as text or build it; each form follows the other</p></div>}
      <Editor saved={saved ?? null} reread={() => void mutate()} />
      {saved && <Population id={saved.id} />}
    </>
  );
}

function Standing({ segment }: { segment: Segment }) {
  const members = useCount(segment.id, segment.members);
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
        </dl>
          <p className="hint">Enters and exits counted since {instant(segment.last_hour.since).slice(11, 16)} UTC{segment.counted_at && <>; members last changed {age(segment.counted_at, now)}</>}.</p>
        </div>
        {members !== null && <Suspense fallback={<div className="chart" />}><Chart trend={segment.last_hour.trend} members={members} now={now} /></Suspense>}
      </div>
      {segment.unreadable_attributes.length > 0 && (
        <p className="notice">Values that could not be read, and count as missing: {segment.unreadable_attributes.map((each) => (
          <span key={each.attribute}><code>{each.attribute}</code> {counted(each.count, "time")}, for example <code>{JSON.stringify(each.sample)}</code>; </span>))}
          correct them at their source, or test the attribute as text.</p>
      )}
    </>
  );
}

function Editor({ saved, reread }: { saved: Segment | null; reread: () => void }) {
  const { draft, setText, setTree } = useDraft(saved?.id ?? null);
  const [name, setName] = useState(saved?.name ?? "");
  const [ownId, setOwnId] = useState("");
  const [base, setBase] = useState(saved?.version ?? 0);
  const [trouble, setTrouble] = useState<unknown>(null);
  const [said, setSaid] = useState("");
  const [, go] = useLocation();
  const { mutate } = useSWRConfig();
  const { data: catalogue } = useSWR<{ attributes: AttributeSeen[]; contacts_sampled: number }>("/attributes");
  const { data: all } = useSWR<{ segments: Segment[] }>("/segments?brief=true");
  const segments = useMemo(() => (all?.segments ?? []).map((each) => each.id).filter((each) => each !== saved?.id), [all, saved?.id]);
  const attributes = catalogue?.attributes ?? [];
  const id = saved?.id ?? (ownId || slug(name));
  const isChanged = saved === null ? draft.readings !== null : draft.readings !== null && (draft.readings.text !== saved.text || name !== saved.name);
  const elsewhere = saved !== null && saved.version > base && !isChanged;

  useEffect(() => {
    if (saved) setText(saved.text, 0);
  }, []);
  useEffect(() => {
    if (!elsewhere || !saved) return;
    setBase(saved.version);
    setName(saved.name);
    setText(saved.text, 0);
  }, [elsewhere]);

  async function save(change: object) {
    setTrouble(null);
    setSaid("");
    try {
      if (saved) {
        const next = await ask<Segment>(segmentPath(saved.id), { method: "PUT", json: change, headers: { "If-Match": `"${base}"` } });
        setBase(next.version);
        setSaid(`Version ${next.version} is saved. It is in force from here on; contacts are being brought to it.`);
        reread();
      } else {
        await ask("/segments", { method: "POST", json: { id, name: name || id, ...change } });
        go(`/segments/${encodeURIComponent(id)}`, { replace: true });
      }
      void mutate("/segments?brief=true");
    } catch (error) {
      setTrouble(error);
      if (error instanceof Problem && error.status === 412) reread();
    }
  }

  async function remove() {
    if (!saved || !confirm(`Delete ${saved.id}? Its members leave it, and consumers are told so.`)) return;
    try {
      await ask(segmentPath(saved.id), { method: "DELETE", headers: { "If-Match": `"${base}"` } });
      void mutate("/segments?brief=true");
      go("/");
    } catch (error) {
      setTrouble(error);
    }
  }

  const canSave = draft.readings !== null && !draft.unfinished && isChanged && id !== "";
  const saveExpression = () => { if (canSave) void save({ where: draft.readings!.where, ...(name ? { name } : {}) }); };
  return (
    <section className="editor" aria-label="Definition">
      <div className="names">
        <label>Name <input value={name} placeholder="Active Pro contacts" onChange={(event) => setName(event.target.value)} /></label>
        {saved === null && <label>Id <input value={id} placeholder="active_pro_contacts" spellCheck={false} onChange={(event) => setOwnId(slug(event.target.value) || event.target.value)} /></label>}
        <span className="grow" />
        {saved && <button type="button" onClick={() => void save({ state: saved.state === "paused" ? "active" : "paused" })}>{saved.state === "paused" ? "Resume" : "Pause"}</button>}
        {saved && <button type="button" className="quiet" onClick={() => void remove()}>Delete</button>}
        <button type="button" className="main" disabled={!canSave} onClick={saveExpression}>{saved ? "Save new version" : "Create segment"}</button>
      </div>
      <div className="forms">
        <div className="visual" aria-label="Condition, visually" role="group">
          <Suspense fallback={<Skeleton lines={4} />}><Builder tree={draft.tree} known={{ attributes, segments }} onTree={setTree} /></Suspense>
        </div>
        <div className="written">
          <Suspense fallback={<Skeleton lines={4} />}>
            <TextEditor text={draft.text} faults={draft.faults} attributes={attributes} segments={segments} onText={setText} onSave={saveExpression} />
          </Suspense>
          <Reading draft={draft} />
        </div>
      </div>
      {trouble !== null && <Trouble error={trouble} />}
      {trouble instanceof Problem && trouble.status === 412 && saved && (
        <p className="notice">Version {saved.version} now says <code>{saved.text}</code>.{" "}
          <button type="button" onClick={() => { setBase(saved.version); setTrouble(null); }}>Keep my text and edit that version</button></p>
      )}
      {said && <p className="notice" role="status">{said}</p>}
      <Outlook draft={draft} saved={saved} isChanged={isChanged} />
    </section>
  );
}

function Reading({ draft }: { draft: Draft }) {
  if (draft.faults.length > 0) {
    return <ul className="faults" aria-label="Errors">{draft.faults.map((fault, at) => (
      <li key={at}>{fault.span && <span className="place">{fault.span.line}:{fault.span.column}</span>} {fault.message}{fault.hint && <small>{fault.hint}</small>}</li>))}</ul>;
  }
  if (draft.trouble !== null) return <Trouble error={draft.trouble} />;
  if (!draft.readings) return <p className="english muted">The condition in plain English will stand here.</p>;
  return (
    <>
      <p className="english" data-testid="english">{draft.readings.english}</p>
      {draft.unfinished && <p className="hint">A condition in the builder is not finished yet; the text is the last whole one.</p>}
      {draft.readings.advice.map((fault, at) => <p key={at} className="hint">{fault.message}{fault.hint && <> — {fault.hint}</>}</p>)}
    </>
  );
}

function Outlook({ draft, saved, isChanged }: { draft: Draft; saved: Segment | null; isChanged: boolean }) {
  const { preview, readings } = draft;
  if (!readings || !preview) return null;
  return (
    <div className="outlook" aria-live="polite" data-stale={draft.previewing || undefined}>
      <div>
        <p className="matches" data-testid="matches"><strong>{count(preview.matched)}</strong> of {counted(preview.total, "contact")} match now</p>
        {saved && isChanged && (
          <p className="difference" data-testid="difference">Saving makes <strong className="entered">{counted(preview.would_enter, "contact")} enter</strong> and <strong className="exited">{counted(preview.would_leave, "contact")} leave</strong>.</p>
        )}
        {readings.depends_on_time && <p className="hint">This depends on the time, so contacts also enter and leave without a write.</p>}
      </div>
      <div>
        <h3>Sample</h3>
        {preview.sample.length === 0 ? <p className="hint">No contact matches. Compare the values with those of a contact you know.</p> : (
          <ul className="ids sample">{preview.sample.map((each) => <li key={each}><Link href={`/contacts/${encodeURIComponent(each)}`}>{each}</Link></li>)}</ul>
        )}
      </div>
      {readings.attributes.length > 0 && (
        <div>
          <h3>Missing values</h3>
          <ul className="missing">{readings.attributes.slice(0, MISSING_ASKED_MAX).map((name) => <Missing key={name} name={name} total={preview.total} />)}</ul>
          <p className="hint">A test on a missing value does not hold, and its “not” does. Write <code>including missing</code> or <code>excluding missing</code> after a condition to decide otherwise.</p>
        </div>
      )}
    </div>
  );
}

/** How many contacts lack an attribute: the count of the condition that says so. */
function Missing({ name, total }: { name: string; total: number }) {
  const { data } = useSWR(["missing", name], () =>
    ask<Preview>("/segments/preview?sample=0", { method: "POST", json: { where: { attribute: name, set: false } } }));
  if (!data) return <li><code>{name}</code> …</li>;
  return <li><code>{name}</code> {data.matched === 0 ? "is never missing" : <>is missing on {counted(data.matched, "contact")} of {count(total)}</>}</li>;
}

function Population({ id }: { id: string }) {
  const [pages, setPages] = useState<(string | null)[]>([null]);
  const after = pages[pages.length - 1];
  const { data: members, error, mutate } = useSWR<{ members: { contact_id: string; since: string }[]; next: string | null }>(
    `${segmentPath(id)}/members?limit=50${after ? `&after=${encodeURIComponent(after)}` : ""}`, { refreshInterval: 10_000 });
  const { data: history, mutate: again } = useSWR<{ changes: Change[] }>(`${segmentPath(id)}/changes?limit=${CHANGES_SHOWN}`, { refreshInterval: 10_000 });
  const now = useNow(5_000);
  const onChange = useCallback((change: LiveChange) => {
    if (change.segment_id !== id) return;
    void again((before) => ({ changes: [{ ...change, at: new Date(change.at_ms).toISOString() }, ...(before?.changes ?? [])].slice(0, CHANGES_SHOWN) }), { revalidate: false });
  }, [id, again]);
  useChanges(onChange);
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
              <tr key={each.contact_id}><th scope="row"><Link href={`/contacts/${encodeURIComponent(each.contact_id)}`}>{each.contact_id}</Link></th>
                <td title={instant(each.since)}>{age(each.since, now)}</td></tr>))}</tbody>
          </table>
        )}
        {members && (pages.length > 1 || members.next) && (
          <p className="pager">
            <button type="button" disabled={pages.length === 1} onClick={() => setPages(pages.slice(0, -1))}>Earlier</button>
            <button type="button" disabled={!members.next} onClick={() => setPages([...pages, members.next])}>Later</button>
          </p>
        )}
      </section>
      <section>
        <h2>Changes</h2>
        {history && history.changes.length === 0 && <p className="hint">Nobody has entered or left yet.</p>}
        <ol className="changes">{history?.changes.map((change) => <ChangeLine key={change.event_id} change={change} dated without="segment" />)}</ol>
      </section>
    </div>
  );
}
