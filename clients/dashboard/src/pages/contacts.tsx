/** Finding a contact by the beginning of its id. */
import { useDeferredValue, type FormEvent } from "react";
import useSWR from "swr";
import { Link, useLocation } from "wouter";
import { useTyped } from "../parts/asked";
import { ContactLink, stepSays } from "../parts/contact-link";
import { Pager, usePages } from "../parts/pager";
import { Empty, Skeleton, Trouble } from "../parts/states";
import { isStep } from "../places";

const PAGE = 100;

export function Contacts() {
  const [prefix, setPrefix] = useTyped("prefix");
  const wanted = useDeferredValue(prefix);
  const pages = usePages("contacts", wanted);
  const [, go] = useLocation();
  const asked = new URLSearchParams({ prefix: wanted, limit: String(PAGE), ...(pages.after ? { after: pages.after } : {}) });
  const { data, error, isLoading, mutate } = useSWR<{ contacts: { id: string }[]; next: string | null }>(`/contacts?${asked.toString()}`);

  function open(event: FormEvent) {
    event.preventDefault();
    if (prefix.trim() && !isStep(prefix.trim())) go(`/contacts/${encodeURIComponent(prefix.trim())}`);
  }

  return (
    <>
      <form className="head" onSubmit={open}>
        <h1>Contacts</h1>
        <p className="facts">by id; Enter opens the one that is typed</p>
        <input type="search" autoFocus aria-label="Contact id" placeholder="Id, or how it begins" value={prefix}
          onChange={(event) => setPrefix(event.target.value)} />
      </form>
      {isStep(prefix.trim()) && <p className="notice" role="status">{stepSays(prefix.trim())}</p>}
      {error && <Trouble error={error} retry={() => void mutate()} />}
      {!data && !error && <Skeleton lines={8} />}
      {data && data.contacts.length > 0 && (
        <ul className="ids">{data.contacts.map(({ id }) => <li key={id}><ContactLink id={id} /></li>)}</ul>
      )}
      <Pager pages={pages} next={data?.next ?? null} of="contacts" names={["Earlier", "Later"]} />
      {data && data.contacts.length === 0 && !isLoading && !error && (
        <Empty title={wanted ? `No id begins with “${wanted}”` : "No contacts yet"}>
          <p>Contacts appear with their first write. Send one with <code>tidegate contacts set u_17 plan=pro</code>, or upload a file under <Link href="/imports">Imports</Link>.</p>
        </Empty>
      )}
    </>
  );
}
