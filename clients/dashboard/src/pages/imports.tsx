/** Importing a CSV file: upload, say what the columns are, see what would happen, write it, and get back what was refused. */
import { useEffect, useRef, useState } from "react";
import useSWR from "swr";
import { API, ask } from "../api";
import { age, count, counted, duration } from "../format";
import { inTurn } from "../in-turn";
import { useOpened } from "../parts/asked";
import { useNow } from "../parts/now";
import { Pager, usePages } from "../parts/pager";
import { Empty, Skeleton, Trouble } from "../parts/states";
import { useUnsaved } from "../unsaved";
import { taken, upload, useUpload } from "../upload";

export interface Column { name: string; position: number; samples: string[]; attribute: string | null; attribute_reason: string; type: string; type_reason: string }
interface ColumnMapping { attribute: string | null; type: string; separator?: string; unreadable?: string }
export interface Mapping { id_column: string; columns: Record<string, ColumnMapping>; blank: "keep" | "remove" }
interface ErrorGroup { code: string; column: string; expected: string; fix: string; count: number; rows: number[]; found: string[] }
interface DryRun {
  rows_total: number; would_create: number | null; would_update: number | null; would_leave: number | null; would_write: number;
  would_reject: number; blank_rows: number; errors: ErrorGroup[]; note: string | null;
}
interface PreviewRow { row: number; cells: string[]; problems?: { column: string; expected: string; found: string; fix: string }[] }
interface Import {
  id: string; name: string; state: string; created_at: string; rows_total: number | null; rows_read: number; accepted: number; rejected: number;
  bytes_total: number; bytes_read: number; rate_rows_per_s: number | null; eta_s: number | null; repeat_of: string | null; mapping_source: string | null; waiting: string | null;
  problem: { message: string; fix: string } | null; columns: Column[]; suggested_id_column: string | null; mapping: Mapping | null;
  dry_run: DryRun | null; errors: ErrorGroup[]; preview?: PreviewRow[]; format: { encoding: string; delimiter: string; header: boolean };
}

const TYPES = ["text", "number", "boolean", "instant", "version", "list"];
const SEPARATOR = ";";
const SEPARATOR_CHARACTERS_MAX = 8;
const AT_WORK = new Set(["checking", "running"]);
const MAPPED_AFTER_MS = 300;

export default function Imports() {
  const [open, setOpen] = useOpened("import");
  const pages = usePages("imports");
  const { data, error, mutate } = useSWR<{ imports: Import[]; next: string | null }>(
    `/imports${pages.after ? `?cursor=${encodeURIComponent(pages.after)}` : ""}`, { refreshInterval: pages.number === 1 ? 3_000 : 0 });
  const uploaded = useUpload();
  const file = useRef<HTMLInputElement>(null);
  const now = useNow(5_000);
  useEffect(() => {
    if (uploaded.made === null) return;
    setOpen(uploaded.made);
    taken();
    void mutate();
  }, [uploaded.made, setOpen, mutate]);

  function choose(input: HTMLInputElement) {
    const chosen = input.files?.[0];
    if (chosen) void upload(chosen);
    // So that the same file can be chosen again.
    input.value = "";
  }

  return (
    <>
      <div className="head">
        <h1>Imports</h1>
        <p className="facts">{uploaded.isUnderWay ? `${uploaded.name} is being uploaded, also while you look at other pages` : "CSV files of contacts; nothing is written before you say so"}</p>
        <input ref={file} id="file" className="unseen" aria-label="CSV file" tabIndex={-1} type="file" accept=".csv,.tsv,.txt,.gz,text/csv" onChange={(event) => choose(event.currentTarget)} />
        <button type="button" className="main" disabled={uploaded.isUnderWay} onClick={() => file.current?.click()}>{uploaded.isUnderWay ? "Uploading…" : "Upload a CSV file"}</button>
      </div>
      {uploaded.trouble !== null && <Trouble error={uploaded.trouble} of={uploaded.name} />}
      {open && <Flow key={open} id={open} onClose={() => setOpen("")} />}
      {error && <Trouble error={error} retry={() => void mutate()} />}
      {!data && !error && <Skeleton lines={5} />}
      {data && data.imports.length === 0 && pages.number === 1 && !open && (
        <Empty title="No imports yet">
          <p>Take any CSV file with a header and one column that tells contacts apart. You map its columns, see what would be created and changed, and only then write.
            Rows that cannot be taken come back as a file with the reason beside each.</p>
        </Empty>
      )}
      {data && data.imports.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="region" aria-label="All imports">
          <table className="plain">
            <thead><tr><th scope="col">File</th><th scope="col">State</th><th scope="col" className="number">Accepted</th><th scope="col" className="number">Rejected</th><th scope="col">Uploaded</th><th /></tr></thead>
            <tbody>{data.imports.map((each) => (
              <tr key={each.id}>
                <th scope="row">{each.name || each.id}</th><td>{each.state}</td><td className="number">{count(each.accepted)}</td><td className="number">{count(each.rejected)}</td>
                <td>{age(each.created_at, now)}</td>
                <td><button type="button" className="quiet" aria-label={`Open ${each.name || each.id}`} onClick={() => setOpen(each.id)}>Open</button></td>
              </tr>))}</tbody>
          </table>
        </div>
      )}
      <Pager pages={pages} next={data?.next ?? null} of="imports" />
    </>
  );
}

function Flow({ id, onClose }: { id: string; onClose: () => void }) {
  const path = `/imports/${encodeURIComponent(id)}`;
  const { data, error, mutate } = useSWR<Import>(path, { refreshInterval: (latest) => (latest && AT_WORK.has(latest.state) ? 500 : 0) });
  const [edited, setEdited] = useState<Mapping | null>(null);
  const [trouble, setTrouble] = useState<unknown>(null);
  const [isStepping, setStepping] = useState(false);
  const isBusy = useRef(false);
  const isMappable = data !== undefined && edited !== null && edited.id_column !== "" && isOpenIn(data.state);
  const unsent = useRef<() => void>(undefined);
  const newest = useRef<Mapping>(undefined);
  useEffect(() => () => unsent.current?.(), []);  // before the timer below is cleared: who leaves has it sent all the same
  useEffect(() => {
    // The mapping is sent as it is made, so that the first rows are always shown as it takes them.
    if (!isMappable || isStepping) return undefined;
    const send = () => {
      unsent.current = undefined;
      newest.current = edited;
      void inTurn(path, async () => {
        if (newest.current !== edited) return;
        const mapped = await ask<Import>(`${path}/mapping`, { method: "PUT", json: edited });
        setTrouble(null);
        setEdited((now) => (now === edited ? null : now));
        await mutate(mapped, { revalidate: false });
      }).catch(setTrouble);
    };
    unsent.current = send;
    const timer = setTimeout(send, MAPPED_AFTER_MS);
    return () => { clearTimeout(timer); unsent.current = undefined; };
  }, [edited, isMappable, isStepping, path, mutate]);
  useUnsaved(isMappable && trouble !== null ? `Your mapping of the columns of “${data.name || data.id}” has not been saved, and would be lost.` : "");
  const failure = error && <Trouble error={error} retry={() => void mutate()} />;
  if (!data) return failure || <Skeleton lines={6} />;
  const mapping = edited ?? data.mapping ?? suggested(data);

  async function step(what: "dry-run" | "commit" | "cancel", query = "") {
    // A second click comes before the answer to the first, and would be told that it is not its turn.
    if (isBusy.current) return;
    isBusy.current = true;
    setStepping(true);
    setTrouble(null);
    newest.current = mapping;
    try {
      await inTurn(path, async () => {
        if (what !== "cancel" && (edited !== null || data!.mapping === null) && isOpenIn(data!.state)) {
          await ask(`${path}/mapping`, { method: "PUT", json: mapping });
          setEdited((now) => (now === edited ? null : now));
        }
        await mutate(await ask<Import>(`${path}/${what}${query}`, { method: "POST", json: {} }));
      });
    } catch (problem) {
      setTrouble(problem);
      void mutate();
    }
    isBusy.current = false;
    setStepping(false);
  }

  const isOpen = isOpenIn(data.state);
  return (
    <section className="flow" aria-label={`Import of ${data.name || data.id}`}>
      <div className="head">
        <h2>{data.name || data.id}</h2>
        <p className="facts">{data.format.encoding}, separated by {JSON.stringify(data.format.delimiter)}, {counted(data.columns.length, "column")}</p>
        <button type="button" className="quiet" onClick={onClose}>Close</button>
      </div>
      {failure}
      {data.problem && <p className="trouble" role="alert">{data.problem.message}. {data.problem.fix}</p>}
      {isOpen && <MappingTable columns={data.columns} mapping={mapping} origin={edited !== null ? "given" : data.mapping === null ? "suggested" : data.mapping_source} onMapping={setEdited} />}
      {isOpen && data.preview && data.preview.length > 0 && <FirstRows rows={data.preview} columns={data.columns} mapping={mapping} />}
      {AT_WORK.has(data.state) && <Progress import_={data} />}
      {data.state === "checked" && data.dry_run && edited === null && <Outcome run={data.dry_run} />}
      {["completed", "failed", "cancelled"].includes(data.state) && (
        <p className="verdict" data-testid="import-done"><strong>{data.state === "completed" ? "Done" : data.state}</strong>: {counted(data.accepted, "row")} written, {counted(data.rejected, "row")} rejected.</p>
      )}
      {!isOpen && data.rejected > 0 && <Errors groups={data.errors} />}
      {trouble !== null && <Trouble error={trouble} />}
      {data.repeat_of && <p className="notice">The same file was imported with the same mapping within the last day, so nothing was written. <button type="button" onClick={() => void step("commit", "?again=true")}>Write it again</button></p>}
      <p className="steps">
        {isOpen && <button type="button" disabled={mapping.id_column === ""} onClick={() => void step("dry-run")}>Dry run</button>}
        {isOpen && <button type="button" className="main" disabled={mapping.id_column === "" || data.state !== "checked" || edited !== null} onClick={() => void step("commit")}>Write the rows</button>}
        {isOpen && data.state !== "checked" && <span className="hint">The dry run reads the whole file and says what writing it would do.</span>}
        {data.state === "failed" && <button type="button" className="main" onClick={() => void step("commit")}>Go on from where it stopped</button>}
        {(isOpen || AT_WORK.has(data.state)) && <button type="button" className="quiet" onClick={() => void step("cancel")}>Cancel</button>}
        {(data.rejected > 0 || (data.dry_run?.would_reject ?? 0) > 0) && <a className="button" href={`${API}${path}/errors.csv`} download>Rejected rows as CSV</a>}
      </p>
    </section>
  );
}

/** Whether the mapping of an import in this state may still be changed. */
function isOpenIn(state: string): boolean {
  return state === "uploaded" || state === "checked";
}

/** Suggestions taken as the start of a mapping. */
function suggested(data: Import): Mapping {
  const columns = Object.fromEntries(data.columns.map((column) => [column.name, { attribute: column.name === data.suggested_id_column ? null : column.attribute, type: column.type }]));
  return { id_column: data.suggested_id_column ?? "", columns, blank: "keep" };
}

export function MappingTable({ columns, mapping, origin, onMapping }: { columns: Column[]; mapping: Mapping; origin: string | null; onMapping: (mapping: Mapping) => void }) {
  const change = (name: string, part: Partial<ColumnMapping>) =>
    onMapping({ ...mapping, columns: { ...mapping.columns, [name]: { ...(mapping.columns[name] ?? { attribute: null, type: "text" }), ...part } } });
  return (
    <>
      {origin === "suggested" && <p className="hint">Everything below is a suggestion made from the first rows. Change what is wrong; nothing is written before the dry run.</p>}
      {origin === "remembered" && <p className="hint">A file with the same header was imported before, and everything below is as it was mapped then. Change what is wrong.</p>}
      <div className="filters">
        <label>Contact id is in <select value={mapping.id_column} onChange={(event) => onMapping({ ...mapping, id_column: event.target.value })}>
          <option value="">choose a column</option>{columns.map(({ name }) => <option key={name}>{name}</option>)}</select></label>
        <label>A blank cell <select value={mapping.blank} onChange={(event) => onMapping({ ...mapping, blank: event.target.value as "keep" | "remove" })}>
          <option value="keep">keeps the value</option><option value="remove">removes the value</option></select></label>
      </div>
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Columns">
        <table className="plain mapping">
          <thead><tr><th scope="col">Column</th><th scope="col">Samples</th><th scope="col">Attribute</th><th scope="col">Type</th><th scope="col">Where that comes from</th></tr></thead>
          <tbody>{columns.map((column) => {
            const chosen = mapping.columns[column.name];
            return (
              <tr key={column.name}>
                <th scope="row">{column.name}</th>
                <td className="samples">{column.samples.join(" · ")}</td>
                <td><input aria-label={`Attribute of ${column.name}`} placeholder="left out" value={chosen?.attribute ?? ""} onChange={(event) => change(column.name, { attribute: event.target.value || null })} /></td>
                <td><select aria-label={`Type of ${column.name}`} value={chosen?.type ?? "text"} onChange={(event) => change(column.name, { type: event.target.value, unreadable: "reject" })}>
                  {TYPES.map((type) => <option key={type}>{type}</option>)}</select>
                  {chosen?.type === "list" && <Separator column={column.name} value={chosen.separator ?? SEPARATOR} onValue={(separator) => change(column.name, { separator })} />}</td>
                <td className="muted origin"><Origin column={column} chosen={chosen} isId={mapping.id_column === column.name} /></td>
              </tr>
            );
          })}</tbody>
        </table>
      </div>
    </>
  );
}

/** What stands between the elements of a list; while it is being exchanged there is none, and the last one stays. */
function Separator({ column, value, onValue }: { column: string; value: string; onValue: (value: string) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  return <label className="separator">separated by <input aria-label={`Separator of ${column}`} size={3} maxLength={SEPARATOR_CHARACTERS_MAX} spellCheck={false} value={draft ?? value}
    onChange={(event) => { setDraft(event.target.value); if (event.target.value !== "") onValue(event.target.value); }} onBlur={() => setDraft(null)} /></label>;
}

/** Whether a column's mapping is still what was suggested, and why that was. */
function Origin({ column, chosen, isId }: { column: Column; chosen: ColumnMapping | undefined; isId: boolean }) {
  const isSame = chosen === undefined || ((chosen.attribute ?? "") === ((isId ? chosen.attribute : column.attribute) ?? "") && chosen.type === column.type);
  if (!isSame) return <><span className="badge good">chosen</span> suggested was {column.attribute ? <code>{column.attribute}</code> : "to leave it out"} as {column.type}</>;
  return <><span className="badge">suggested</span> {column.attribute_reason}; {column.type_reason}</>;
}

/** The first rows of the file as the mapping takes them: a cell that it cannot take says what was expected. */
function FirstRows({ rows, columns, mapping }: { rows: PreviewRow[]; columns: Column[]; mapping: Mapping }) {
  return (
    <>
      <h3>The first {counted(rows.length, "row")}</h3>
      <div className="scroll-x rows" tabIndex={0} role="region" aria-label="First rows">
        <table className="plain first-rows">
          <thead><tr><th scope="col" className="number">Row</th>{columns.map(({ name }) => {
            const { attribute, type } = mapping.columns[name] ?? { attribute: null, type: "text" };
            return <th scope="col" key={name} data-left-out={(!attribute && mapping.id_column !== name) || undefined}>{name}<small>{mapping.id_column === name ? `contact id${attribute ? `, ${type}` : ""}` : attribute ? type : "left out"}</small></th>;
          })}</tr></thead>
          <tbody>{rows.map((row) => (
            <tr key={row.row}>
              <td className="number muted">{row.row}</td>
              {columns.map(({ name, position }) => {
                const problem = row.problems?.find((each) => each.column === name);
                return <td key={name} className={problem ? "refused" : ""} title={problem ? `Expected ${problem.expected}. ${problem.fix}` : undefined}>
                  {row.cells[position - 1] ?? ""}{problem && <small>expected {problem.expected}</small>}</td>;
              })}
            </tr>))}</tbody>
        </table>
      </div>
    </>
  );
}

export function Progress({ import_: data }: { import_: Pick<Import, "state" | "bytes_total" | "bytes_read" | "rows_read" | "rate_rows_per_s" | "eta_s" | "waiting"> }) {
  const part = data.bytes_total ? data.bytes_read / data.bytes_total : 0;
  return (
    <div role="status">
      <progress value={part} max={1} aria-label="How much of the file is read" />
      <p className="hint">{data.state === "checking" ? "Checking" : "Writing"}: {counted(data.rows_read, "row")} read{data.rate_rows_per_s && <>, {count(data.rate_rows_per_s)} a second</>}{data.eta_s !== null && <>, about {duration(data.eta_s * 1_000)} left</>}{data.waiting && <>; waiting {data.waiting}</>}</p>
    </div>
  );
}

function Outcome({ run }: { run: DryRun }) {
  return (
    <>
      <dl className="figures" data-testid="dry-run">
        {run.would_create === null ? <div><dt>Would write</dt><dd>{count(run.would_write)} <small>rows</small></dd></div> : (
          <>
            <div><dt>Would create</dt><dd>{count(run.would_create)}</dd></div>
            <div><dt>Would update</dt><dd>{count(run.would_update)}</dd></div>
            <div><dt>Would leave as is</dt><dd>{count(run.would_leave)}</dd></div>
          </>
        )}
        <div><dt>Would reject</dt><dd className={run.would_reject ? "exited" : ""}>{count(run.would_reject)}</dd></div>
      </dl>
      {run.note && <p className="hint">{run.note}</p>}
      <Errors groups={run.errors} />
    </>
  );
}

/** Which problems are about what a cell says; the others describe, and a description is not quoted. */
const QUOTED = new Set(["unreadable", "id_too_long"]);

export function foundIn({ code, found }: Pick<ErrorGroup, "code" | "found">): string {
  return (QUOTED.has(code) ? found.map((each) => JSON.stringify(each)) : found).join(", ");
}

function Errors({ groups }: { groups: ErrorGroup[] }) {
  if (groups.length === 0) return null;
  const repairs = new Map<string, ErrorGroup[]>();
  for (const group of groups) repairs.set(group.fix, [...(repairs.get(group.fix) ?? []), group]);
  const byCount = [...repairs].map(([fix, parts]) => ({ fix, parts, rows: parts.reduce((sum, each) => sum + each.count, 0) })).sort((a, b) => b.rows - a.rows);
  return (
    <ul className="faults repairs" aria-label="Errors by repair">{byCount.map(({ fix, parts, rows }) => (
      <li key={fix}>
        <strong>{fix[0]?.toUpperCase()}{fix.slice(1)}</strong>: repairs {counted(rows, "row")}
        {parts.map((group) => (
          <small key={`${group.code} ${group.column}`}>{group.column && <><code>{group.column}</code>: </>}expected {group.expected}, found <bdi>{foundIn(group)}</bdi> in {counted(group.count, "row")} ({group.rows.length < group.count ? "the first are " : ""}row {group.rows.join(", ")})</small>
        ))}
      </li>))}
    </ul>
  );
}
