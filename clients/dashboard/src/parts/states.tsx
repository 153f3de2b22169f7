/** What stands where content is not there: loading, empty, failed. Rule: an error says what to do next. */
import { Component, useContext, useEffect, useRef, type ReactNode } from "react";
import { isPassing } from "../again";
import { isLoggedOut, Problem } from "../api";
import { SessionContext } from "../session";

export function Skeleton({ lines }: { lines: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => <div key={line} data-line={line % 4} />)}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="empty">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/**
 * What went wrong, `of` what where the page does not say. `retry` is for what is only read, which is also asked again by
 * itself; nobody writes twice unasked.
 */
export function Trouble({ error, retry, of }: { error: unknown; retry?: () => void; of?: string | undefined }) {
  const problem = error instanceof Problem ? error : null;
  if (problem && isLoggedOut(problem)) return <Ended error={problem} retry={retry} />;
  return (
    <div className="trouble" role="alert">
      {of && `${of}: `}
      <strong>{problem ? sentence(problem.message) : "Something failed in this page."}</strong>{" "}
      {problem ? sentence(problem.detail) : String(error)}
      {problem && problem.errors.length > 0 && (
        <ul>{problem.errors.map((fault, at) => <li key={at}>{sentence(fault.message)} {fault.hint && <>Try: {fault.hint}</>}</li>)}</ul>
      )}
      {retry && isPassing(error) && " It is tried again by itself. "}
      {retry && <button type="button" onClick={retry}>Try again</button>}
    </div>
  );
}

/** An answer that there is no session. Once there is another one it says nothing any more, and what was read is read again. */
function Ended({ error, retry }: { error: Problem; retry: (() => void) | undefined }) {
  const { session, logIn } = useContext(SessionContext);
  const first = useRef({ error, session });
  if (first.current.error !== error) first.current = { error, session };
  const isOver = first.current.session !== session;
  useEffect(() => { if (isOver) retry?.(); }, [isOver]);
  if (isOver) return null;
  return (
    <div className="trouble" role="alert"><strong>The session has ended.</strong> What stands on this page stays.
      <button type="button" onClick={logIn}>Log in again</button></div>
  );
}

function sentence(text: string): string {
  if (text === "") return "";
  const first = text[0]!.toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** Keeps the rest of the page usable when one part of it fails, `of` what: a part that is loaded later may never come. */
export class ErrorBoundary extends Component<{ children: ReactNode; of?: string }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return <Trouble error={this.state.error} of={this.props.of} retry={() => location.reload()} />;
  }
}
