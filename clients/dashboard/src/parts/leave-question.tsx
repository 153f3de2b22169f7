/** The question before something unsaved is lost. Rule: staying is what Escape does and what the focus begins on. */
import { useLayoutEffect, useRef } from "react";
import { answer, useQuestion, type Question } from "../unsaved";

export function LeaveQuestion() {
  const question = useQuestion();
  return question && <Asked question={question} />;
}

function Asked({ question }: { question: Question }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    // While it still stands in the page, so that the focus goes back to where it was.
    return () => shown.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="leave-title" aria-describedby="leave-says"
      onClose={(event) => { if (!event.currentTarget.open) answer(question, false); }}>
      <h2 id="leave-title">Leave without saving?</h2>
      <p id="leave-says">{question.says}</p>
      <div className="steps">
        <button type="button" className="main" autoFocus onClick={() => answer(question, false)}>Stay</button>
        <button type="button" onClick={() => answer(question, true)}>Leave without saving</button>
      </div>
    </dialog>
  );
}
