/** One enter or exit in a list. */
import { Link } from "wouter";
import { clockTime, instant } from "../format";
import { ContactLink } from "./contact-link";

export interface ShownChange { segment_id: string; contact_id: string; change: "enter" | "exit"; at: string | number; cause: string }

const CAUSES: Record<string, string> = {
  write: "a write", time: "time alone", definition: "its definition", delete: "something was deleted",
};

export function ChangeLine({ change, dated, without }: { change: ShownChange; dated?: boolean; without?: "segment" | "contact" }) {
  return (
    <li className="change">
      <time dateTime={new Date(change.at).toISOString()} title={instant(change.at)}>{dated ? instant(change.at) : clockTime(change.at)}</time>
      <span className={change.change}>{change.change === "enter" ? "entered" : "left"}</span>
      {without !== "segment" && <Link href={`/segments/${encodeURIComponent(change.segment_id)}`}>{change.segment_id}</Link>}
      {without !== "contact" && <ContactLink id={change.contact_id} className="contact" />}
      <span className="cause">{CAUSES[change.cause] ?? change.cause}</span>
    </li>
  );
}
