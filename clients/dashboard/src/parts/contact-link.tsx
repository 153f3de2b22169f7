/** The way to a contact's page, wherever its id is shown. */
import { Link } from "wouter";
import { isStep } from "../places";

export function ContactLink({ id, className }: { id: string; className?: string }) {
  if (isStep(id)) return <span className={className} title={stepSays(id)}>{id}</span>;
  return <Link href={`/contacts/${encodeURIComponent(id)}`} className={className}>{id}</Link>;
}

/** Why such a contact has no page, and what shows it. */
export function stepSays(id: string): string {
  return `No browser can open “${id}”: in an address that is a step, not a name. The command line can: tidegate contacts get ${id}`;
}
