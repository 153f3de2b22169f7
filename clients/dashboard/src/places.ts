/** What the address in the browser names. Rule: pure; an id is decoded once, here, and what is no address names nothing. */

/** The pages, in the order of the bar. */
export const PLACES: readonly (readonly [string, string])[] = [
  ["/", "Segments"],
  ["/contacts", "Contacts"],
  ["/imports", "Imports"],
  ["/activity", "Activity"],
  ["/health", "Health"],
];

/** Where a segment is made. Not below the segments, where `new` is the address of the segment of that id. */
export const NEW_SEGMENT = "/new-segment";

/** The page's place in the bar: that of a segment is all segments. */
export function placeOf(pathname: string): string {
  if (pathname === NEW_SEGMENT) return "/";
  const first = pathname.split("/")[1] ?? "";
  return `/${first === "segments" ? "" : first}`;
}

/** What the browser's tab and history call a page. */
export function titleOf(pathname: string): string {
  if (pathname === NEW_SEGMENT) return "New segment – Tidegate";
  const [, first = "", second] = pathname.split("/");
  const place = PLACES.find(([href]) => href === placeOf(pathname))?.[1];
  const isOfOne = first === "segments" || first === "contacts";
  const id = idIn(pathname);
  if (place === undefined || (second && !(isOfOne && id))) return "No such page – Tidegate";
  return [...(second ? [id] : []), place, "Tidegate"].join(" – ");
}

/** An address with something asked of its page in it, in place of what was asked by that name before; "" asks nothing. */
export function withAsked(address: string, name: string, value: string): string {
  const [pathname = "", query = ""] = address.split("?");
  const asked = new URLSearchParams(query);
  if (value === "") asked.delete(name);
  else asked.set(name, value);
  return asked.size === 0 ? pathname : `${pathname}?${asked.toString()}`;
}

/** Whether an id is a step in an address, which a browser takes before it asks for anything, however it is written. */
export function isStep(id: string): boolean {
  return id === "." || id === "..";
}

/**
 * The id in a page's address: `/contacts/a%2541` is the contact `a%41`. Null when it cannot be decoded.
 * The router's own answer is decoded already, and another time would make another id of it.
 */
export function idIn(pathname: string): string | null {
  try {
    return decodeURIComponent(pathname.split("/")[2] ?? "") || null;
  } catch {
    return null;
  }
}
