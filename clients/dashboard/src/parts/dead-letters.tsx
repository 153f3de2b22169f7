/** Records that could not be evaluated: what is wrong with each, what it held, and sending it again, repaired or as it was. */
import { Fragment, useRef, useState } from "react";
import useSWR from "swr";
import { ask, isGone, Problem, type DeadLetter } from "../api";
import { parseExactly } from "../exact";
import { age, count, instant } from "../format";
import { useUnsaved } from "../unsaved";
import { useOpened, useTyped } from "./asked";
import { useNow } from "./now";
import { Pager, usePages } from "./pager";
import { Skeleton, Trouble } from "./states";

const PAGE = 20;
const READ_EVERY_MS = 5_000;
const VALUE_SHOWN_CHARACTERS = 4_096;
/** A partition and an offset, as they stand in an address. */
const PLACE = /^\d+\/\d+$/;

export function DeadLetters() {
  const [code, setCode] = useTyped("code");
  const pages = usePages("letters", code);
  const [place, setPlace] = useOpened("letter");
  const asked = new URLSearchParams({ limit: String(PAGE), ...(code ? { code } : {}), ...(pages.after ? { after: pages.after } : {}) });
  const { data, error, isLoading, mutate } = useSWR<{ dead_letters: DeadLetter[]; next: string | null }>(`/dead-letters?${asked.toString()}`, {
    refreshInterval: pages.number === 1 ? READ_EVERY_MS : 0,
  });
  const { open, error: openError } = useLetter(place, data?.dead_letters);
  const now = useNow(5_000);
  if (error instanceof Problem && error.status === 403) {
    return <p className="hint">Dead letters hold whatever was sent, so only a key with the scope <code>admin</code> may read them. Log in with one, or use <code>tidegate dead-letters list</code>.</p>;
  }
  const failure = error && <Trouble error={error} retry={() => void mutate()} />;
  if (!data) return failure || <Skeleton lines={3} />;
  const letters = withOpened(data.dead_letters, open);
  const isEmpty = open === null && data.dead_letters.length === 0 && pages.number === 1 && !data.next;
  return (
    <>
      {failure}
      {openError !== undefined && (isGone(openError) ? <p className="hint" role="status">Dead letter {place} is not kept any more.</p> : <Trouble error={openError} of={`Dead letter ${place}`} />)}
      {!(isEmpty && code === "") && (
        <div className="filters">
          <label>Code <input value={code} placeholder="any, for example no_key" spellCheck={false} onChange={(event) => setCode(event.target.value.trim())} /></label>
        </div>
      )}
      {isEmpty ? !isLoading && !error && (
        <p className="hint">{code ? `No kept dead letter has the code “${code}”.` : "None is kept. A record that cannot be understood is put here whole, with the reason, and nothing waits for it."}</p>
      ) : (
        <div className="scroll-x" tabIndex={0} role="region" aria-label="Dead letters">
          <table className="plain letters">
            <thead><tr><th scope="col">When</th><th scope="col">Code</th><th scope="col">What is wrong</th><th scope="col">Key</th><th scope="col">Source</th><th><span className="unseen">Show</span></th></tr></thead>
            <tbody>{letters.map((letter) => {
              const at = placeOf(letter);
              const isOpen = at === place;
              return (
                <Fragment key={at}>
                  <tr>
                    <td title={instant(letter.at)}>{age(letter.at, now)}</td>
                    <td><code>{letter.code}</code></td>
                    <td>{letter.message}</td>
                    <td className="key"><code>{shownKey(letter)}</code></td>
                    <td className="muted">{letter.source.topic} {letter.source.partition}, offset {count(letter.source.offset)}</td>
                    <td><button type="button" className="quiet" aria-expanded={isOpen} aria-label={`${isOpen ? "Hide" : "Show"} dead letter ${at}`} onClick={() => setPlace(isOpen ? "" : at)}>{isOpen ? "Hide" : "Show"}</button></td>
                  </tr>
                  {isOpen && <tr className="opened"><td colSpan={6}><Opened letter={letter} onReplayed={() => void mutate()} /></td></tr>}
                </Fragment>
              );
            })}</tbody>
          </table>
        </div>
      )}
      {data.dead_letters.length === 0 && data.next && !isLoading && <p className="hint">None on this page; older ones may fit.</p>}
      <Pager pages={pages} next={data.next} of="dead letters" />
    </>
  );
}

function placeOf({ partition, offset }: Pick<DeadLetter, "partition" | "offset">): string {
  return `${partition}/${offset}`;
}

/** The letter at the place that is open, also while it is on no page that is read; `listed` is undefined until a page is. */
function useLetter(place: string, listed: readonly DeadLetter[] | undefined): { open: DeadLetter | null; error: unknown } {
  const last = useRef<DeadLetter>(undefined);
  const isKnown = (letter: DeadLetter | undefined) => letter !== undefined && placeOf(letter) === place;
  const found = listed?.find(isKnown) ?? (isKnown(last.current) ? last.current : undefined);
  const { data, error } = useSWR<DeadLetter>(listed && !found && PLACE.test(place) ? `/dead-letters/${place}` : null, { keepPreviousData: false });
  last.current = found ?? data;
  return { open: last.current ?? null, error: last.current ? undefined : error as unknown };
}

/** The listed letters, and the opened one also when newer ones or a filter have put it off the page: it may be edited. */
export function withOpened<T extends Pick<DeadLetter, "partition" | "offset">>(listed: readonly T[], opened: T | null): readonly T[] {
  return opened === null || listed.some((each) => placeOf(each) === placeOf(opened)) ? listed : [...listed, opened];
}

function shownKey(letter: DeadLetter): string {
  if (letter.key === null) return "no key";
  return letter.key_is_base64 ? `base64 ${letter.key}` : letter.key;
}

/** One dead letter with its value, which can be repaired before it is sent again. */
function Opened({ letter, onReplayed }: { letter: DeadLetter; onReplayed: () => void }) {
  const path = `/dead-letters/${letter.partition}/${letter.offset}`;
  const { data: whole, error, mutate } = useSWR<DeadLetter>(letter.value_is_cut ? path : null);
  const value = (whole ?? letter).value;
  const isText = value !== null && !letter.value_is_base64;
  const [edited, setEdited] = useState<string | null>(null);
  const [said, setSaid] = useState("");
  const [trouble, setTrouble] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const isRepaired = edited !== null && edited !== value;
  useUnsaved(isRepaired && !busy && said === "" ? "The repaired record has not been sent, and would be lost." : "");

  async function replay() {
    setBusy(true);
    setTrouble(null);
    try {
      const repaired = isRepaired ? { value: parsed(edited) } : {};
      const receipt = await ask<{ partition: number; offset: number }>(`${path}/replay`, { method: "POST", json: repaired });
      setSaid(`Sent again: it stands in partition ${receipt.partition} at offset ${receipt.offset}. The dead letter itself stays until its time is over.`);
      onReplayed();
    } catch (error) {
      setTrouble(error);
    }
    setBusy(false);
  }

  return (
    <div className="letter">
      <label className="stacked" htmlFor={`value ${path}`}>What it held ({count(letter.value_bytes)} bytes{letter.value_is_base64 && ", shown as base64"}{value === null && ", a null value, which erases the contact"})</label>
      {isText ? (
        <textarea id={`value ${path}`} rows={Math.min(12, Math.max(3, value.split("\n").length + 1))} spellCheck={false} readOnly={letter.value_is_cut && !whole}
          value={edited ?? (letter.value_is_cut && !whole ? value.slice(0, VALUE_SHOWN_CHARACTERS) : value)} onChange={(event) => setEdited(event.target.value)} />
      ) : <pre id={`value ${path}`}>{value === null ? "null" : value.slice(0, VALUE_SHOWN_CHARACTERS)}</pre>}
      {letter.value_is_cut && !whole && (error ? <Trouble error={error} retry={() => void mutate()} /> : <p className="hint" role="status">Only its beginning is shown; the rest is being read.</p>)}
      {trouble !== null && <Trouble error={trouble} />}
      {said && <p className="notice" role="status">{said}</p>}
      <p className="steps">
        <button type="button" className="main" disabled={busy || said !== ""} onClick={() => void replay()}>{isRepaired ? "Send the repaired record" : "Send it again as it is"}</button>
        <span className="hint">Repair the producer first, or the value above. The record is evaluated as a new one.</span>
      </p>
    </div>
  );
}

/** A repaired value as the API takes it. Errors: raises a Problem that says where the text ceases to be JSON. */
function parsed(text: string): unknown {
  try {
    return parseExactly(text);
  } catch (error) {
    throw new Problem(0, "not_json", "The value is not JSON", `${(error as Error).message}. Write an object such as {"attributes": {"plan": "pro"}}`, []);
  }
}
