/**
 * A contact's attributes, each editable in place. Rule: what is typed is never lost by what is read meanwhile: its row
 * stays when somebody else removes the attribute, and when the list is narrowed to others.
 */
import { useCallback, useEffect, useMemo, useRef, useState, type FormEvent } from "react";
import { ask, contactPath, type Value } from "../api";
import { count, kindOf, readValue, writeValue } from "../format";
import { holdTab, useUnsaved } from "../unsaved";
import { useTyped } from "./asked";
import { Trouble } from "./states";

/** How many rows are drawn at first, and with each further press: of thousands, each key typed would take long. */
const SHOWN = 200;
/** How long what was written may take to be read. */
const READ_BACK_MS = 3_000;

type Write = (name: string, value: Value | null) => Promise<boolean>;

export function Attributes({ id, attributes, onWritten }: { id: string; attributes: Record<string, Value>; onWritten: () => Promise<void> }) {
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

  const [edited, setEdited] = useState<ReadonlySet<string>>(new Set());
  const onEdit = useCallback((name: string, isEdited: boolean) => setEdited((before) => {
    if (before.has(name) === isEdited) return before;
    const after = new Set(before);
    if (isEdited) after.add(name);
    else after.delete(name);
    return after;
  }), []);
  const [wanted, setWanted] = useTyped("find");
  const [most, setMost] = useState(SHOWN);
  const names = useMemo(() => [...new Set([...Object.keys(attributes), ...edited])].sort(), [attributes, edited]);
  const { shown, fitting } = useMemo(() => narrowed(names, wanted, most, edited), [names, wanted, most, edited]);
  return (
    <>
      {trouble !== null && <Trouble error={trouble} />}
      {(names.length > SHOWN || wanted !== "") && (
        <div className="filters">
          <label>Find <input type="search" value={wanted} placeholder="any part of a name" spellCheck={false} onChange={(event) => { setWanted(event.target.value); setMost(SHOWN); }} /></label>
          <span role="status">{count(shown.length)} of {count(names.length)} attributes are shown</span>
        </div>
      )}
      <table className="plain attributes">
        <thead><tr><th scope="col">Name</th><th scope="col">Value</th><th scope="col">Type</th><th scope="col"><span className="unseen">Remove</span></th></tr></thead>
        <tbody>
          {shown.map((name) => <AttributeRow key={name} name={name} value={attributes[name]} onWrite={write} onEdit={onEdit} />)}
          <NewAttribute onWrite={write} known={names} />
        </tbody>
      </table>
      {fitting > most && <p className="pager"><button type="button" onClick={() => setMost(most + SHOWN)}>Show {count(Math.min(SHOWN, fitting - most))} more</button></p>}
      <p className="hint" role="status">{said || "Enter writes a value. A number or true is read as such; put it in quotes to keep it text."}</p>
    </>
  );
}

/** The names to draw, in their order: the first that fit, and each in which something is typed. `fitting`: how many fit. */
export function narrowed(names: readonly string[], wanted: string, most: number, edited: ReadonlySet<string>): { shown: string[]; fitting: number } {
  const part = wanted.trim().toLowerCase();
  const fitting = names.filter((name) => name.toLowerCase().includes(part));
  const first = new Set(fitting.slice(0, most));
  return { shown: names.filter((name) => first.has(name) || edited.has(name)), fitting: fitting.length };
}

/** `value` is undefined when it was removed while something else was typed here. */
function AttributeRow({ name, value, onWrite, onEdit }: { name: string; value: Value | undefined; onWrite: Write; onEdit: (name: string, isEdited: boolean) => void }) {
  // An object of its own for each keystroke: the same text typed again is another edit than the one that was written.
  const [edit, setEdit] = useState<{ text: string } | null>(null);
  const written = value === undefined ? null : writeValue(value);
  const text = edit === null ? (written ?? "") : edit.text;
  const meant = edit === null && value !== undefined ? value : readValue(text);
  const said = JSON.stringify(meant);
  // What was last sent from here: the value shown may be older than that, and what equals it still has to be written.
  const sent = useRef<string | null>(null);
  // What was sent stands in the input until it is read back, which is a moment after the answer, wherever the focus goes.
  const [underWay, setUnderWay] = useState<{ edit: typeof edit; isWritten: boolean } | null>(null);
  const isUnderWay = edit !== null && edit === underWay?.edit;
  useUnsaved(edit === null || isUnderWay || edit.text === written ? "" : lossOfTyped(name));
  const isEdited = edit !== null;
  useEffect(() => onEdit(name, isEdited), [name, isEdited, onEdit]);
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
  const isSame = () => (text === written || said === known) && (sent.current === null || sent.current === said);
  const commit = () => {
    if (isUnderWay) return;
    if (isSame()) {
      setEdit(null);
      return;
    }
    const mine = edit ?? { text };
    sent.current = said;
    setEdit(mine);
    setUnderWay({ edit: mine, isWritten: false });
    void onWrite(name, meant).then((isWritten) => {
      if (!isWritten && sent.current === said) sent.current = null;
      setUnderWay((now) => (now?.edit !== mine ? now : isWritten ? { edit: mine, isWritten } : null));
    });
  };
  const remove = () => void onWrite(name, null).then((isWritten) => { if (isWritten) setEdit((now) => (now === edit ? null : now)); });
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
      <td className="kind">{kindOf(text === written ? value : meant)}</td>
      <td>{written === null ? <span className="warn">was removed</span> : <button type="button" className="quiet" aria-label={`Remove ${name}`} onClick={remove}>Remove</button>}</td>
    </tr>
  );
}

/** What is lost, in words, of a value that was typed and not written; a new attribute may have no name yet. */
function lossOfTyped(name: string): string {
  return name === "" ? "The value you typed for a new attribute has not been written, and would be lost."
    : `The value you typed for “${name}” has not been written, and would be lost.`;
}

function NewAttribute({ onWrite, known }: { onWrite: Write; known: string[] }) {
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
