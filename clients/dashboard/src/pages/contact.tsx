/** One contact: its attributes, editable in place, its memberships with since and until, its history, and why. */
import { useCallback, useEffect, useRef, useState, type FormEvent } from "react";
import useSWR from "swr";
import { Link } from "wouter";
import { ask, contactPath, isGone, type Change, type Contact, type Explanation, type PastMembership, type Segment, type Value } from "../api";
import { age, instant, kindOf, readValue, writeValue } from "../format";
import { useChangesTogether, type LiveChange } from "../live";
import { ChangeLine } from "../parts/change-line";
import { ExplainTree } from "../parts/explain-tree";
import { useNow } from "../parts/now";
import { Pager, usePages } from "../parts/pager";
import { Empty, Skeleton, Trouble } from "../parts/states";
import { holdTab, useUnsaved } from "../unsaved";

const HISTORY = 20;
const UNTIL_ASKED_MAX = 20;
const REFRESH_AGAIN_MS = 1_000;
/** How long what was written may take to be read. */
const READ_BACK_MS = 3_000;

export function ContactPage({ id }: { id: string }) {
  const path = contactPath(id);
  const { data: contact, error, mutate } = useSWR<Contact>(path, { refreshInterval: 10_000 });
  const pages = usePages();
  const { data: history, error: historyError, mutate: again } = useSWR<{ changes: Change[]; next: string | null }>(
    contact ? `${path}/changes?limit=${HISTORY}${pages.after ? `&after=${encodeURIComponent(pages.after)}` : ""}` : null);
  const [explained, setExplained] = useState("");
  const [round, setRound] = useState(0);
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

  if (isGone(error)) {
    return (
      <>
        <div className="head"><h1>{id}</h1></div>
        <Empty title={contact ? "This contact no longer exists" : "There is no such contact"}>
          <p>{contact ? "It was erased while this page was open." : "It has never been written, or it was erased."} Giving it an attribute creates it.</p>
          <Attributes id={id} attributes={{}} onWritten={refresh} />
        </Empty>
      </>
    );
  }
  if (!contact) return <><div className="head"><h1>{id}</h1></div>{error ? <Trouble error={error} retry={() => void mutate()} /> : <Skeleton lines={10} />}</>;
  return (
    <>
      <div className="head">
        <h1>{id}</h1>
        <p className="facts">
          as evaluated {age(contact.as_of, now)}
          {contact.next_deadline && <>; time alone may next change something <span title={instant(contact.next_deadline)}>{age(contact.next_deadline, now)}</span></>}
        </p>
      </div>
      {error && <Trouble error={error} retry={() => void mutate()} />}
      <div className="columns">
        <section>
          <h2>Attributes</h2>
          <Attributes id={id} attributes={contact.attributes} onWritten={refresh} />
        </section>
        <section>
          <h2>In {contact.memberships.length} {contact.memberships.length === 1 ? "segment" : "segments"}</h2>
          <Memberships contact={contact} round={round} onExplain={setExplained} now={now} />
          <h2>Why, or why not</h2>
          <Why id={id} segment={explained} round={round} onSegment={setExplained} />
        </section>
      </div>
      <section>
        <h2>History</h2>
        {historyError && !isGone(historyError) && <Trouble error={historyError} retry={() => void again()} />}
        {history && history.changes.length === 0 && <p className="hint">This contact has never entered a segment.</p>}
        <ol className="changes">{history?.changes.map((change) => <ChangeLine key={change.event_id} change={change} dated without="contact" />)}</ol>
        {history && <Pager pages={pages} next={history.next} of="history" />}
        {history && history.changes.length > 0 && !history.next && <p className="hint">A contact’s latest changes are kept here; all of them stand in the memberships topic.</p>}
      </section>
    </>
  );
}

function Attributes({ id, attributes, onWritten }: { id: string; attributes: Record<string, Value>; onWritten: () => Promise<void> }) {
  const [trouble, setTrouble] = useState<unknown>(null);
  const [said, setSaid] = useState("");

  async function write(name: string, value: Value | null): Promise<boolean> {
    const letTabGo = holdTab();  // another page of this tab lets the write go on
    setTrouble(null);
    setSaid(`Writing ${name}…`);
    try {
      const receipt = await ask<{ took_us?: number; changes?: unknown[] }>(contactPath(id), {
        method: "PATCH", json: { attributes: { [name]: value } }, headers: { Prefer: "wait=5" },
      });
      const changes = receipt.changes?.length;
      setSaid(receipt.took_us === undefined ? `${name} was accepted and will be evaluated`
        : `${name} was ${value === null ? "removed" : "written"} and evaluated in ${(receipt.took_us / 1000).toFixed(1)} ms; ${changes ? `${changes} membership ${changes === 1 ? "change" : "changes"}` : "no membership changed"}`);
      await onWritten();
      return true;
    } catch (error) {
      setTrouble(error);
      setSaid("");
      return false;
    } finally {
      letTabGo();
    }
  }

  const names = Object.keys(attributes).sort();
  return (
    <>
      {trouble !== null && <Trouble error={trouble} />}
      <table className="plain attributes">
        <thead><tr><th scope="col">Name</th><th scope="col">Value</th><th scope="col">Type</th><th scope="col"><span className="unseen">Remove</span></th></tr></thead>
        <tbody>
          {names.map((name) => <AttributeRow key={name} name={name} value={attributes[name]!} onWrite={write} />)}
          <NewAttribute onWrite={write} known={names} />
        </tbody>
      </table>
      <p className="hint" role="status">{said || "Enter writes a value. A number or true is read as such; put it in quotes to keep it text."}</p>
    </>
  );
}

function AttributeRow({ name, value, onWrite }: { name: string; value: Value; onWrite: (name: string, value: Value | null) => Promise<boolean> }) {
  // An object of its own for each keystroke: the same text typed again is another edit than the one that was written.
  const [edit, setEdit] = useState<{ text: string } | null>(null);
  const text = edit === null ? writeValue(value) : edit.text;
  const meant = edit === null ? value : readValue(edit.text);
  const said = JSON.stringify(meant);
  // What was last sent from here: the value shown may be older than that, and what equals it still has to be written.
  const sent = useRef<string | null>(null);
  // What was sent stands in the input until it is read back, which is a moment after the answer, wherever the focus goes.
  const [underWay, setUnderWay] = useState<{ edit: typeof edit; isWritten: boolean } | null>(null);
  const isUnderWay = edit !== null && edit === underWay?.edit;
  useUnsaved(edit === null || isUnderWay || edit.text === writeValue(value) ? "" : lossOfTyped(name));
  const known = JSON.stringify(value);
  const settle = () => {
    sent.current = null;
    setEdit((now) => (now === underWay?.edit ? null : now));
    setUnderWay(null);
  };
  useEffect(() => { if (underWay?.isWritten && known === sent.current) settle(); }, [known, underWay]);
  useEffect(() => {
    // Somebody else's write may have come after it: then it is never read.
    const timer = underWay?.isWritten ? setTimeout(settle, READ_BACK_MS) : undefined;
    return () => clearTimeout(timer);
  }, [underWay]);
  // What stands in the input is compared too: a number that would be rounded is read from there as text.
  const isSame = () => (text === writeValue(value) || said === known) && (sent.current === null || sent.current === said);
  const commit = () => {
    if (isUnderWay) return;
    if (isSame()) {
      setEdit(null);
      return;
    }
    const written = edit ?? { text };
    sent.current = said;
    setEdit(written);
    setUnderWay({ edit: written, isWritten: false });
    void onWrite(name, meant).then((isWritten) => {
      if (!isWritten && sent.current === said) sent.current = null;
      setUnderWay((now) => (now?.edit !== written ? now : isWritten ? { edit: written, isWritten } : null));
    });
  };
  return (
    <tr data-attribute={name}>
      <th scope="row">{name}</th>
      <td><div className="edited">
        <input aria-label={name} value={text} spellCheck={false} data-changed={edit !== null || undefined}
          onChange={(event) => setEdit({ text: event.target.value })}
          onKeyDown={(event) => { if (event.key === "Enter") commit(); if (event.key === "Escape") setEdit(null); }}
          onBlur={() => { if (edit !== null && !isUnderWay && isSame()) setEdit(null); }} />
        {edit !== null && <button type="button" className="main" onClick={commit}>Write</button>}
      </div></td>
      <td className="kind">{kindOf(text === writeValue(value) ? value : meant)}</td>
      <td><button type="button" className="quiet" aria-label={`Remove ${name}`} onClick={() => void onWrite(name, null)}>Remove</button></td>
    </tr>
  );
}

/** What is lost, in words, of a value that was typed and not written; a new attribute may have no name yet. */
function lossOfTyped(name: string): string {
  return name === "" ? "The value you typed for a new attribute has not been written, and would be lost."
    : `The value you typed for “${name}” has not been written, and would be lost.`;
}

function NewAttribute({ onWrite, known }: { onWrite: (name: string, value: Value | null) => Promise<boolean>; known: string[] }) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [isSent, setSent] = useState(false);
  useUnsaved(value === "" || isSent ? "" : lossOfTyped(name.trim()));
  async function add(event?: FormEvent) {
    event?.preventDefault();
    if (name.trim() === "" || value === "" || isSent) return;
    setSent(true);
    const isWritten = await onWrite(name.trim(), readValue(value));
    setSent(false);
    if (!isWritten) return;
    setName("");
    setValue("");
  }
  const onKey = (event: { key: string }) => { if (event.key === "Enter") void add(); };
  return (
    <tr className="new">
      <th scope="row"><input aria-label="New attribute's name" placeholder="new attribute" value={name} onKeyDown={onKey} onChange={(event) => setName(event.target.value)} /></th>
      <td><input aria-label="New attribute's value" placeholder="value" value={value} onKeyDown={onKey} onChange={(event) => setValue(event.target.value)} /></td>
      <td className="kind">{value ? kindOf(readValue(value)) : ""}</td>
      <td><button type="button" disabled={name.trim() === "" || value === ""} onClick={() => void add()}>{known.includes(name.trim()) ? "Write" : "Add"}</button></td>
    </tr>
  );
}

function Memberships({ contact, round, onExplain, now }: { contact: Contact; round: number; onExplain: (id: string) => void; now: number }) {
  if (contact.memberships.length === 0) return <p className="hint">No segment's condition holds for this contact now. Choose one below to see why not.</p>;
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Memberships">
      <table className="plain">
        <thead><tr><th scope="col">Segment</th><th scope="col">Since</th><th scope="col">Until, if nothing is written</th><th /></tr></thead>
        <tbody>
          {contact.memberships.map(({ segment_id: segment, since }, at) => (
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
  const [at, setAt] = useState("");
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
