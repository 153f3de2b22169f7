/** What the address in the browser names. Rule: pure; an id is decoded once, here, and what is no address names nothing. */

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
