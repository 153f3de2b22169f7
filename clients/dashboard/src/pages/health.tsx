/** Whether every partition is served, how far behind evaluation is, and what was set aside. */
import useSWR from "swr";
import type { PartitionStatus, Status } from "../api";
import { age, count, counted, duration } from "../format";
import { DeadLetters } from "../parts/dead-letters";
import { useNow } from "../parts/now";
import { Skeleton, Trouble } from "../parts/states";

const READ_EVERY_MS = 2_000;

export function Health() {
  const { data, error, mutate } = useSWR<Status>("/status?probe=true", { refreshInterval: READ_EVERY_MS, keepPreviousData: true });
  const now = useNow();
  if (!data) return <><h1>Health</h1>{error ? <Trouble error={error} retry={() => void mutate()} /> : <Skeleton lines={8} />}</>;
  const lag = data.partitions.reduce((sum, part) => sum + part.lag_records, 0);
  const lagMs = Math.max(0, ...data.partitions.map((part) => part.lag_ms));
  const late = Math.max(0, ...data.partitions.map((part) => part.deadline_lateness_ms));
  return (
    <>
      <div className="head">
        <h1>Health</h1>
        <p className="facts">read {age(data.as_of, now)}, every {duration(READ_EVERY_MS)}</p>
      </div>
      {error && <Trouble error={error} retry={() => void mutate()} />}
      <Verdict status={data} />
      <dl className="figures">
        <div><dt>Contacts</dt><dd>{count(data.contacts)}</dd></div>
        <div><dt>Waiting to be evaluated</dt><dd>{count(lag)} <small>records, oldest {duration(lagMs)}</small></dd></div>
        <div><dt>Time rules published late by</dt><dd>{duration(late)} <small>at most</small></dd></div>
        <div><dt>Dead letters</dt><dd>{count(data.dead_letters)} <small>since the evaluators started</small></dd></div>
      </dl>
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Partitions">
        <table className="plain">
          <thead>
            <tr><th scope="col">Partition</th><th scope="col">State</th><th scope="col">Served by</th><th scope="col" className="number">Contacts</th>
              <th scope="col" className="number">Lag, records</th><th scope="col" className="number">Lag, time</th>
              <th scope="col" className="number">Time rules late</th><th scope="col" className="number">Dead letters</th><th scope="col">Heard</th></tr>
          </thead>
          <tbody>
            {data.partitions.map((part) => (
              <tr key={part.partition}>
                <th scope="row">{part.partition}</th>
                <td><State part={part} /></td>
                <td><code>{part.owner}</code></td>
                <td className="number">{count(part.contacts)}</td>
                <td className="number">{count(part.lag_records)}</td>
                <td className="number">{duration(part.lag_ms)}</td>
                <td className="number">{duration(part.deadline_lateness_ms)}</td>
                <td className="number">{count(part.dead_letters)}</td>
                <td>{age(part.reported_at, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <section aria-label="Dead letters">
        <h2>Dead letters</h2>
        <DeadLetters />
      </section>
    </>
  );
}

function Verdict({ status }: { status: Status }) {
  if (status.complete) {
    return <p className="verdict good" role="status">All {counted(status.partitions_expected, "partition")} are served. Counts and reads are whole.</p>;
  }
  const recovering = status.partitions.filter((part) => part.state === "recovering").length;
  const silent = status.partitions.filter((part) => part.state === "ready" && part.answers === false).length;
  const unknown = status.partitions_expected - status.partitions.length;
  const parts = [
    silent > 0 && `${counted(silent, "partition")} ${silent === 1 ? "has an owner that does" : "have owners that do"} not answer`,
    recovering > 0 && `${counted(recovering, "partition")} ${recovering === 1 ? "is" : "are"} being recovered`,
    unknown > 0 && `${counted(unknown, "partition")} ${unknown === 1 ? "has" : "have"} never been served`,
  ].filter(Boolean);
  return (
    <p className="verdict bad" role="status">
      {parts.join("; ") || "Not every partition is served"}. Writes are still accepted and wait in the log; nothing is lost. If this
      lasts more than a minute, look at the evaluator's process and log.
    </p>
  );
}

function State({ part }: { part: PartitionStatus }) {
  if (part.state === "ready" && part.answers === false) return <span className="badge bad">does not answer</span>;
  if (part.state === "recovering") return <span className="badge settling">recovering</span>;
  return <span className={part.state === "ready" ? "badge good" : "badge"}>{part.state === "ready" ? "serving" : part.state}</span>;
}
