/** Membership changes as they are committed, with filters. Rule: bounded; what scrolls out is in the histories. */
import { useCallback, useRef, useState } from "react";
import useSWR from "swr";
import { segmentPath, type Change, type Segment } from "../api";
import { count } from "../format";
import { useChangesTogether, type LiveChange } from "../live";
import { useTyped } from "../parts/asked";
import { ChangeLine } from "../parts/change-line";
import { Empty, Trouble } from "../parts/states";

const KEPT_MAX = 500;
const KINDS: readonly (readonly [string, string])[] = [["enter", "entered"], ["exit", "left"]];
const CAUSES: readonly (readonly [string, string])[] = [
  ["write", "a write"], ["time", "time alone"], ["definition", "an edited segment"], ["delete", "a deletion"],
];

export function Activity() {
  const [changes, setChanges] = useState<LiveChange[]>([]);
  const [seen, setSeen] = useState(0);
  const [held, setHeld] = useState(false);
  const [segment, setSegment] = useTyped("segment");
  const [contact, setContact] = useTyped("contact");
  const [kindAsked, setKind] = useTyped("change");
  const [causeAsked, setCause] = useTyped("cause");
  const kind = oneOf(KINDS, kindAsked);
  const cause = oneOf(CAUSES, causeAsked);
  const take = useCallback((arrived: readonly LiveChange[]) => {
    setSeen((before) => before + arrived.length);
    setChanges((before) => [...arrived].reverse().concat(before).slice(0, KEPT_MAX));
  }, []);
  useChangesTogether(take, true);
  const frozen = useRef<LiveChange[]>([]);
  if (!held) frozen.current = changes;
  const { data: known, error: knownError, mutate: readKnown } = useSWR<{ segments: Segment[] }>("/segments?brief=true");
  const isOne = known?.segments.some((each) => each.id === segment) ?? false;
  const { data: past, error: pastError, mutate: readPast } = useSWR<{ changes: Change[] }>(
    isOne ? `${segmentPath(segment)}/changes?limit=100` : null,
    { keepPreviousData: false },  // the changes of another segment, or of one that is not asked for any more
  );
  const fits = (change: { segment_id: string; contact_id: string; change: string; cause: string }) =>
    (isOne ? change.segment_id === segment : change.segment_id.includes(segment)) && (contact === "" || change.contact_id.includes(contact)) &&
    (kind === "" || change.change === kind) && (cause === "" || change.cause === cause);
  const shown = frozen.current.filter(fits);
  const live = new Set(shown.map((change) => change.event_id));
  const earlier = (past?.changes ?? []).filter((change) => !live.has(change.event_id) && fits(change));

  return (
    <>
      <div className="head">
        <h1>Activity</h1>
        <p className="facts">{count(seen)} {seen === 1 ? "change" : "changes"} since this page was opened; the last {count(KEPT_MAX)} are kept</p>
        <button type="button" aria-pressed={held} onClick={() => setHeld(!held)}>{held ? "Go on" : "Hold"}</button>
      </div>
      <div className="filters">
        <label>Segment <input list="segment-ids" value={segment} onChange={(event) => setSegment(event.target.value)} placeholder="all" /></label>
        <datalist id="segment-ids">{known?.segments.slice(0, 1_000).map((each) => <option key={each.id} value={each.id} />)}</datalist>
        <label>Contact <input value={contact} onChange={(event) => setContact(event.target.value)} placeholder="any part of the id" /></label>
        <label>Change <select value={kind} onChange={(event) => setKind(event.target.value)}>
          <option value="">both</option><Options of={KINDS} /></select></label>
        <label>Cause <select value={cause} onChange={(event) => setCause(event.target.value)}>
          <option value="">any</option><Options of={CAUSES} /></select></label>
      </div>
      {knownError && <Trouble error={knownError} retry={() => void readKnown()} />}
      {pastError && <Trouble error={pastError} retry={() => void readPast()} />}
      <ol className="changes" aria-label="Membership changes, newest first">
        {shown.map((change) => <ChangeLine key={change.event_id} change={{ ...change, at: change.at_ms }} />)}
        {earlier.length > 0 && <li className="divider">Before this page was opened</li>}
        {earlier.map((change) => <ChangeLine key={change.event_id} change={change} dated />)}
      </ol>
      {shown.length + earlier.length === 0 && !(isOne && !past) && (
        <Empty title={seen > 0 ? "No change fits the filters" : "Waiting for the next change"}>
          <p>Every enter and exit is shown here within a moment of being committed. Change an attribute on a contact's page, or
            name a segment above to read its last hundred changes.</p>
        </Empty>
      )}
    </>
  );
}

/** What an address asks for, if there is such a choice: nothing is narrowed by what no choice shows. */
function oneOf(choices: readonly (readonly [string, string])[], asked: string): string {
  return choices.some(([value]) => value === asked) ? asked : "";
}

function Options({ of }: { of: readonly (readonly [string, string])[] }) {
  return of.map(([value, name]) => <option key={value} value={value}>{name}</option>);
}
