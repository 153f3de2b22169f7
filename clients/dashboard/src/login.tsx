/** Logging in with an API key, which the server then keeps in a cookie that no script can read. */
import { useEffect, useState, type FormEvent } from "react";
import { ask, Problem, type Session } from "./api";
import { leaving } from "./unsaved";

/** `other`: the session that there is, with another key than that of the page behind. */
export function Login({ onOpen, notice, other = null }: { onOpen: (session: Session) => void; notice: string; other?: Session | null }) {
  const [key, setKey] = useState("");
  const [trouble, setTrouble] = useState(notice);
  const [busy, setBusy] = useState(false);
  useEffect(() => { document.title = "Log in – Tidegate"; }, []);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    try {
      onOpen(await ask<Session>("/session", { method: "POST", json: { key: key.trim() } }));
    } catch (error) {
      setTrouble(error instanceof Problem ? `${error.message} ${error.detail}` : String(error));
      setBusy(false);
    }
  }

  return (
    <main className="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Tidegate</h1>
        <p>Segments that are right at every moment. Log in with an API key.</p>
        <label htmlFor="key">API key</label>
        <input id="key" type="password" autoComplete="current-password" spellCheck={false} autoFocus required
          placeholder="tg_…" value={key} onChange={(event) => setKey(event.target.value)} />
        {other && (
          <p className="notice" role="status">
            Another key, “{other.name || other.key_id}”, has logged in in this browser. Log in with yours again to go on where you were, or{" "}
            <button type="button" onClick={() => leaving(() => location.reload())}>Go on with “{other.name || other.key_id}”</button>
          </p>
        )}
        {trouble && <p className="trouble" role="alert">{trouble}</p>}
        <button type="submit" className="main" disabled={busy || key.trim() === ""}>{busy ? "Logging in…" : "Log in"}</button>
        <p className="hint">
          The local stack prints a key when it starts. Make another with <code>tidegate keys create</code>. The dashboard can
          do what the key's scopes allow, and no more.
        </p>
      </form>
    </main>
  );
}
