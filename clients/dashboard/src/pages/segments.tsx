/** All segments with their live counts: searched, sorted, and shown by window so that ten thousand stay quick. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import useSWR from "swr";
import { Link, useLocation } from "wouter";
import { segmentPath, type Cost, type Segment, type Status } from "../api";
import { age, count, counted, microseconds } from "../format";
import { newestCount, useCount } from "../live";
import { useTop, useTyped } from "../parts/asked";
import { useNow } from "../parts/now";
import { Sparkline } from "../parts/sparkline";
import { Empty, Skeleton, Trouble } from "../parts/states";
import { NEW_SEGMENT } from "../places";

type Order = "name" | "members" | "entered" | "exited" | "saved_at";
const ROW_PX = 58;
const READ_EVERY_MS = 10_000;
/** A row that stays in sight this long asks what its condition costs; one that is scrolled past does not. */
const COST_AFTER_MS = 400;
const COST_KEPT_MS = 300_000;
const COLUMNS: readonly [Order, string][] = [
  ["name", "Segment"], ["members", "Members"], ["entered", "Entered, 1 h"], ["exited", "Left, 1 h"],
];

export function Segments() {
  const { data, error, mutate } = useSWR<{ segments: Segment[] }>("/segments?brief=true", { refreshInterval: READ_EVERY_MS });
  const { data: status } = useSWR<Status>("/status", { refreshInterval: READ_EVERY_MS });
  const [search, setSearch] = useTyped("search");
  const [written, setWritten] = useTyped("order");
  const order = useMemo(() => orderOf(written), [written]);
  const wanted = useDeferredValue(search.trim().toLowerCase());
  const shown = useMemo(() => arranged(data?.segments ?? [], wanted, order), [data, wanted, order]);

  return (
    <>
      <div className="head">
        <h1>Segments</h1>
        <p className="facts">
          {data ? counted(data.segments.length, "segment") : " "}
          {status && <> over {counted(status.contacts, "contact")}</>}
        </p>
        <input type="search" aria-label="Search segments" placeholder="Search name or condition" value={search}
          onChange={(event) => setSearch(event.target.value)} />
        <Link href={NEW_SEGMENT} className="button main">New segment</Link>
      </div>
      {error && <Trouble error={error} retry={() => void mutate()} />}
      {!data && !error && <Skeleton lines={8} />}
      {data && data.segments.length === 0 && (
        <Empty title="No segments yet">
          <p>A segment is a condition that every contact is held to at every moment, for example</p>
          <p><code>plan is Pro AND last_active within last 7 days</code></p>
          <p>Contacts enter when it becomes true and leave when it ceases to be, also by time alone.</p>
          <Link href={NEW_SEGMENT} className="button main">Write the first one</Link>
        </Empty>
      )}
      {data && data.segments.length > 0 && (
        <List segments={shown} order={order} since={data.segments[0]!.last_hour.since}
          onOrder={(by) => setWritten((order.by === by ? !order.down : by !== "name") ? `${by}-down` : by)} />
      )}
      {data && data.segments.length > 0 && shown.length === 0 && (
        <Empty title="Nothing matches"><p>No segment has “{search}” in its name, id or condition.</p>
          <button type="button" onClick={() => setSearch("")}>Show all</button></Empty>
      )}
    </>
  );
}

/** The order that an address asks for: `members-down`; by name where it asks for none that there is. */
export function orderOf(written: string): { by: Order; down: boolean } {
  const by = written.replace(/-down$/, "");
  return isOrder(by) ? { by, down: by !== written } : { by: "name", down: false };
}

function isOrder(text: string): text is Order {
  return text === "saved_at" || COLUMNS.some(([by]) => by === text);
}

export function arranged(segments: readonly Segment[], wanted: string, order: { by: Order; down: boolean }): Segment[] {
  const found = wanted === "" ? [...segments] : segments.filter((segment) =>
    `${segment.name}\n${segment.id}\n${segment.text}`.toLowerCase().includes(wanted));
  const value = (segment: Segment): string | number => {
    if (order.by === "name") return (segment.name || segment.id).toLowerCase();
    if (order.by === "members") return newestCount(segment.id, segment.members) ?? -1;
    return order.by === "saved_at" ? segment.saved_at : segment.last_hour[order.by];
  };
  const keyed = found.map((segment) => [value(segment), segment] as const);
  keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (order.down ? -1 : 1));
  return keyed.map(([, segment]) => segment);
}

function List({ segments, order, since, onOrder }: {
  segments: Segment[]; order: { by: Order; down: boolean }; since: string; onOrder: (by: Order) => void;
}) {
  const now = useNow(5_000);
  const scroller = useRef<HTMLDivElement>(null);
  const { top, onScroll } = useTop();
  const rows = useVirtualizer({ count: segments.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_PX, overscan: 8, initialOffset: top });
  return (
    <div className="table segments" role="table" aria-label="Segments" aria-rowcount={segments.length + 1}>
      <div role="row" className="row titles" aria-rowindex={1}>
        {COLUMNS.map(([by, name]) => (
          <div key={by} role="columnheader" className={by} aria-sort={order.by === by ? (order.down ? "descending" : "ascending") : "none"}>
            <button type="button" onClick={() => onOrder(by)}
              title={by === "entered" || by === "exited" ? `In the last hour, counted since ${since.slice(11, 16)} UTC` : undefined}>
              {name}
              <span aria-hidden="true">{order.by === by ? (order.down ? " ↓" : " ↑") : ""}</span>
            </button>
          </div>
        ))}
        <div role="columnheader" className="trend">Members, 1 h</div>
        <div role="columnheader" className="cost" title="How long the whole condition takes for one contact, measured now">Cost</div>
        <div role="columnheader" className="as_of" title="How old the count is">Count of</div>
        <div role="columnheader" className="saved_at" aria-sort={order.by === "saved_at" ? (order.down ? "descending" : "ascending") : "none"}>
          <button type="button" onClick={() => onOrder("saved_at")}>Saved<span aria-hidden="true">{order.by === "saved_at" ? (order.down ? " ↓" : " ↑") : ""}</span></button>
        </div>
      </div>
      <div ref={scroller} className="scroller" role="rowgroup" tabIndex={0} aria-label="Segment rows" onScroll={(event) => onScroll(event.currentTarget)}>
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => (
            <Row key={segments[item.index]!.id} segment={segments[item.index]!} top={item.start} index={item.index} now={now} />
          ))}
        </div>
      </div>
    </div>
  );
}

function Row({ segment, top, index, now }: { segment: Segment; top: number; index: number; now: number }) {
  const [, go] = useLocation();
  const members = useCount(segment.id, segment.members);
  const href = `/segments/${encodeURIComponent(segment.id)}`;
  return (
    <div role="row" className="row" aria-rowindex={index + 2} style={{ transform: `translateY(${top}px)` }} data-segment={segment.id} onClick={() => go(href)}>
      <div role="cell" className="name">
        <Link href={href} onClick={(event) => event.stopPropagation()}>{segment.name || segment.id}</Link>
        <Badges segment={segment} />
        <code title={segment.text}>{segment.text}</code>
      </div>
      <div role="cell" className="members" title={segment.counted_at ? `counted ${age(segment.counted_at, now)}` : "not every partition has told its part yet"}>
        <span className="live-count" key={members}>{count(members)}</span>
      </div>
      <div role="cell" className="entered" data-none={!segment.last_hour.entered || undefined}>{segment.last_hour.entered ? `+${count(segment.last_hour.entered)}` : "0"}</div>
      <div role="cell" className="exited" data-none={!segment.last_hour.exited || undefined}>{segment.last_hour.exited ? `−${count(segment.last_hour.exited)}` : "0"}</div>
      <div role="cell" className="trend"><Sparkline trend={segment.last_hour.trend} members={members} now={now} /></div>
      <div role="cell" className="cost">{microseconds(useCost(segment))}</div>
      <div role="cell" className="as_of" data-lagging={segment.lag_ms > READ_EVERY_MS || undefined}>{segment.as_of ? age(segment.as_of, now) : "–"}</div>
      <div role="cell" className="saved_at">{age(segment.saved_at, now)}</div>
    </div>
  );
}

function useCost(segment: Segment): number | null | undefined {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSeen(true), COST_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  const { data } = useSWR<Cost>(isSeen ? `${segmentPath(segment.id)}/cost` : null, { dedupingInterval: COST_KEPT_MS, revalidateIfStale: false });
  return data?.evaluation_us;
}

export function Badges({ segment }: { segment: Segment }) {
  return (
    <>
      {segment.state === "paused" && <span className="badge">paused</span>}
      {segment.settling && segment.state !== "paused" && (
        <span className="badge settling" title="Contacts are being brought to this version; the count moves until that is done">
          settling {Math.floor(segment.settled_percent)} %
        </span>
      )}
      {segment.unreadable > 0 && <span className="badge warn">{counted(segment.unreadable, "unreadable value")}</span>}
    </>
  );
}
