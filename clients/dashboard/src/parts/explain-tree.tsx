/** Why a contact is in a segment or not: the truth of every condition with the value it read, and what would flip it. */
import type { Explanation, TruthNode } from "../api";
import { instant } from "../format";

export function ExplainTree({ explanation, segment }: { explanation: Explanation; segment: string }) {
  const { member, holds, since_ms: since, state } = explanation;
  return (
    <div className="explain">
      <p className="verdict" data-holds={member}>
        <strong>{member ? "In" : "Not in"} {segment}</strong>{since !== null && <> since {instant(since)}</>}.{" "}
        <Until explanation={explanation} />
        {member !== holds && (state === "paused" ? " Its condition says otherwise." : " The segment is still settling: membership is not yet what the condition says.")}
      </p>
      <ul className="tree" aria-label="Conditions"><Node node={explanation.tree} /></ul>
    </div>
  );
}

/** What `until_ms` is of: the condition. The membership follows it, but in a paused segment. */
function Until({ explanation: { state, until_ms: until } }: { explanation: Explanation }) {
  if (state === "paused") return <>The segment is paused: nothing changes that until it is resumed.</>;
  return until === null ? <>Time alone will not change that.</> : <>If nothing is written, that changes at <strong>{instant(until)}</strong>.</>;
}

const JOINS = { all: "all of these", any: "at least one of these", not: "not this" };

function Node({ node }: { node: TruthNode }) {
  return (
    <li data-holds={node.holds}>
      <span className="truth" role="img" aria-label={node.holds ? "holds" : "does not hold"}>{node.holds ? "✓" : "✗"}</span>
      {node.kind === "condition" ? <Condition node={node} /> : node.kind === "segment" ? <code>in segment {node.segment_id}</code> : (
        <div>
          <span className="join">{JOINS[node.kind]}</span>
          <ul>{node.children.map((child, at) => <Node key={at} node={child} />)}</ul>
        </div>
      )}
    </li>
  );
}

function Condition({ node }: { node: Extract<TruthNode, { kind: "condition" }> }) {
  const value = node.state === "missing" ? "missing" : <bdi>{JSON.stringify(node.value)}</bdi>;
  return (
    <div>
      <code>{node.condition}</code>
      <small>
        it is {value}{node.state === "unreadable" && <strong className="warn">, which cannot be read as {node.reading}</strong>}
        {node.until_ms !== null && <>; changes {instant(node.until_ms)}</>}
      </small>
      {node.flips.length > 0 && <small className="flip">To make it {node.holds ? "hold no longer" : "hold"}: <bdi>{node.flips.map((flip) => flip.says).join(", or ")}</bdi></small>}
    </div>
  );
}
