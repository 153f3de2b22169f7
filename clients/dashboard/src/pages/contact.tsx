/** One contact: its attributes, editable in place, its memberships with since and until, its history, and why. */
import { useCallback, useEffect, useRef, useState } from "react";
import useSWR from "swr";
import { Link } from "wouter";
import { contactPath, isGone, type Change, type Contact, type Explanation, type PastMembership, type Segment } from "../api";
import { age, count, instant } from "../format";
import { useChangesTogether, type LiveChange } from "../live";
import { useTyped } from "../parts/asked";
import { Attributes } from "../parts/attributes";
import { ChangeLine } from "../parts/change-line";
import { ExplainTree } from "../parts/explain-tree";
import { useNow } from "../parts/now";
import { Pager, usePages } from "../parts/pager";
import { Empty, Skeleton, Trouble } from "../parts/states";

const HISTORY = 20;
const NONE = {};
const UNTIL_ASKED_MAX = 20;
/** How many memberships are drawn at first, and with each further press: each second all of them are told their ages. */
const SHOWN = 100;
const REFRESH_AGAIN_MS = 1_000;

export function ContactPage({ id }: { id: string }) {
  const path = contactPath(id);
  const { data: contact, error, mutate } = useSWR<Contact>(path, { refreshInterval: 10_000 });
  const pages = usePages("history");
  const { data: history, error: historyError, mutate: again } = useSWR<{ changes: Change[]; next: string | null }>(
    contact ? `${path}/changes?limit=${HISTORY}${pages.after ? `&after=${encodeURIComponent(pages.after)}` : ""}` : null);
  const [explained, setExplained] = useTyped("segment");
  const [round, setRound] = useState(0);
  const why = useRef<HTMLElement>(null);
  function explain(segment: string) {
    setExplained(segment);
    // Below a long list the answer would come out of sight, and unheard.
    why.current?.focus({ preventScroll: true });
    if (why.current && why.current.getBoundingClientRect().top > innerHeight / 2) why.current.scrollIntoView();
  }
  const refresh = useCallback(async () => {
    setRound((before) => before + 1);
    await Promise.all([mutate(), again()]);
  }, [mutate, again]);
  const later = useRef(0);
  const onChanges = useCallback((changes: readonly LiveChange[]) => {
    if (!changes.some((change) => change.contact_id === id)) return;
    void refresh();
    // A change is told when it is committed, which may be a moment before the evaluator's own reads know it.
    clearTimeout(later.current);
    later.current = window.setTimeout(() => void refresh(), REFRESH_AGAIN_MS);
  }, [id, refresh]);
  useEffect(() => () => clearTimeout(later.current), []);
  useChangesTogether(onChanges);
  const now = useNow();

  // The attributes stay in their place when the contact goes: a value may be typed in one.
  const isErased = isGone(error);
  const read = isErased ? undefined : contact;
  if (!contact && !isErased) return <><div className="head"><h1>{id}</h1></div>{error ? <Trouble error={error} retry={() => void mutate()} /> : <Skeleton lines={10} />}</>;
  return (
    <>
      <div className="head">
        <h1>{id}</h1>
        {read && (
          <p className="facts">
            as evaluated {age(read.as_of, now)}
            {read.next_deadline && <>; time alone may next change something <span title={instant(read.next_deadline)}>{age(read.next_deadline, now)}</span></>}
          </p>
        )}
      </div>
      {isErased && (
        <Empty title={contact ? "This contact no longer exists" : "There is no such contact"}>
          <p>{contact ? "It was erased while this page was open." : "It has never been written, or it was erased."} Giving it an attribute creates it.</p>
        </Empty>
      )}
      {error && !isErased && <Trouble error={error} retry={() => void mutate()} />}
      <div className="columns">
        <section>
          <h2>Attributes</h2>
          <Attributes id={id} attributes={read?.attributes ?? NONE} onWritten={refresh} />
        </section>
        {read && (
          <section>
            <h2>In {count(read.memberships.length)} {read.memberships.length === 1 ? "segment" : "segments"}</h2>
            <Memberships contact={read} round={round} onExplain={explain} now={now} />
            <section ref={why} tabIndex={-1} aria-label="Why, or why not">
              <h2>Why, or why not</h2>
              <Why id={id} segment={explained} round={round} onSegment={setExplained} />
            </section>
          </section>
        )}
      </div>
      {read && (
        <section>
          <h2>History</h2>
          {historyError && !isGone(historyError) && <Trouble error={historyError} retry={() => void again()} />}
          {history && history.changes.length === 0 && <p className="hint">This contact has never entered a segment.</p>}
          <ol className="changes">{history?.changes.map((change) => <ChangeLine key={change.event_id} change={change} dated without="contact" />)}</ol>
          <Pager pages={pages} next={history?.next ?? null} of="history" />
          {history && history.changes.length > 0 && !history.next && <p className="hint">A contact’s latest changes are kept here; all of them stand in the memberships topic.</p>}
        </section>
      )}
    </>
  );
}

function Memberships({ contact, round, onExplain, now }: { contact: Contact; round: number; onExplain: (id: string) => void; now: number }) {
  const [most, setMost] = useState(SHOWN);
  const left = contact.memberships.length - most;
  if (contact.memberships.length === 0) return <p className="hint">No segment's condition holds for this contact now. Choose one below to see why not.</p>;
  return (
    <>
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Memberships">
        <table className="plain">
          <thead><tr><th scope="col">Segment</th><th scope="col">Since</th><th scope="col">Until, if nothing is written</th><th /></tr></thead>
          <tbody>
            {contact.memberships.slice(0, most).map(({ segment_id: segment, since }, at) => (
              <tr key={segment}>
                <th scope="row"><Link href={`/segments/${encodeURIComponent(segment)}`}>{segment}</Link></th>
                <td title={instant(since)}>{age(since, now)}</td>
                <td>{at < UNTIL_ASKED_MAX ? <Until id={contact.id} segment={segment} round={round} now={now} /> : "–"}</td>
                <td><button type="button" className="quiet" aria-label={`Why in ${segment}`} onClick={() => onExplain(segment)}>Why</button></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {left > 0 && <p className="pager"><button type="button" onClick={() => setMost(most + SHOWN)}>Show {count(Math.min(SHOWN, left))} more</button><span className="hint">{count(left)} are not shown; any can be asked about below</span></p>}
    </>
  );
}

function useExplanation(id: string, segment: string, round: number) {
  const answer = useSWR<Explanation>(segment ? `${contactPath(id)}/explain?segment=${encodeURIComponent(segment)}` : null, {
    keepPreviousData: false,  // the explanation of another segment would stand under this one's name
  });
  const { mutate } = answer;
  useEffect(() => { if (round) void mutate(); }, [round, mutate]);
  return answer;
}

function Until({ id, segment, round, now }: { id: string; segment: string; round: number; now: number }) {
  const { data, error } = useExplanation(id, segment, round);
  if (!data && error) return <span className="warn" title={error instanceof Error ? error.message : undefined}>could not be read</span>;
  if (!data) return <>…</>;
  if (data.state === "paused") return <>it is resumed</>;
  return data.until_ms === null ? <>for good</> : <span title={instant(data.until_ms)}>{age(data.until_ms, now)}</span>;
}

function Why({ id, segment, round, onSegment }: { id: string; segment: string; round: number; onSegment: (id: string) => void }) {
  const { data: known } = useSWR<{ segments: Segment[] }>("/segments?brief=true");
  const { data, error, mutate } = useExplanation(id, segment, round);
  return (
    <>
      <label className="stacked">Segment
        <input list="explainable" value={segment} placeholder="type or choose a segment" onChange={(event) => onSegment(event.target.value)} />
      </label>
      <datalist id="explainable">{known?.segments.slice(0, 1_000).map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}</datalist>
      {segment && error && (isGone(error) ? <p className="hint">There is no segment “{segment}”.</p> : <Trouble error={error} retry={() => void mutate()} />)}
      {segment && data && !isGone(error) && <ExplainTree explanation={data} segment={segment} />}
      {segment && data && !isGone(error) && <AsOf id={id} segment={segment} />}
    </>
  );
}

const UNKNOWN: Record<string, string> = {
  beyond_history: "Not known: only the latest changes are kept",
  not_evaluated_yet: "Not known yet: the contact has not been evaluated through that instant",
  settling: "Not known yet: a new version of the segment has not reached this contact; ask again in a moment",
};

/** Whether the contact was in the segment at an instant, from what is kept of its history. */
function AsOf({ id, segment }: { id: string; segment: string }) {
  const [at, setAt] = useTyped("at");
  const asked = at && !Number.isNaN(Date.parse(`${at}Z`)) ? new Date(`${at}Z`).toISOString() : "";
  const query = new URLSearchParams({ segment, at: asked });
  const { data, error, mutate } = useSWR<PastMembership>(asked ? `${contactPath(id)}/membership?${query.toString()}` : null, {
    keepPreviousData: false,  // the answer for another instant or segment would stand under this one
  });
  return (
    <div className="as-of">
      <label className="stacked">Was it in {segment} at <input type="datetime-local" step="1" value={at} onChange={(event) => setAt(event.target.value)} /> UTC?</label>
      {error && <Trouble error={error} retry={() => void mutate()} />}
      {asked && data && <p className="verdict" data-testid="as-of" data-holds={data.member ?? undefined}>{answered(data)}</p>}
    </div>
  );
}

function answered({ at, member, since, unknown, history_begins_at: begins }: PastMembership): string {
  if (member === null) return `${UNKNOWN[unknown ?? ""] ?? "Not known"}${begins ? `, and they begin at ${instant(begins)}` : ""}.`;
  const standing = since ? ` ${member ? "since" : "; it had left at"} ${instant(since)}` : "";
  return member ? `Yes: at ${instant(at)} it was in${standing}.` : `No: at ${instant(at)} it was not in${standing}.`;
}
