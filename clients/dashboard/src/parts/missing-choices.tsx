/** What each condition makes of contacts that lack its attribute: both choices with their counts, to be chosen from. */
import useSWR from "swr";
import { ask, type Preview } from "../api";
import { count, counted } from "../format";
import { conditionsOf, missingPolicy, replaced, whereOf, withPolicy, type Group, type Met } from "../query";

const CONDITIONS_MAX = 6;
const POLICIES = ["exclude", "include"] as const;

export function MissingChoices({ tree, onTree }: { tree: Group; onTree: (tree: Group) => void }) {
  const conditions = conditionsOf(tree);
  if (conditions.length === 0) return null;
  return (
    <div className="missing">
      <h3>Missing values</h3>
      <ul>{conditions.slice(0, CONDITIONS_MAX).map((met) => <Choice key={`${met.way.join(".")} ${met.rule.field}`} met={met} tree={tree} onTree={onTree} />)}</ul>
      {conditions.length > CONDITIONS_MAX && <p className="hint">The first {CONDITIONS_MAX} conditions are shown; each has its choice in the builder.</p>}
    </div>
  );
}

/** The exact count of an expression; asked again only when it is another one. */
function useMatches(where: unknown): Preview | undefined {
  const { data } = useSWR(where === null ? null : ["matches", JSON.stringify(where)], () =>
    ask<Preview>("/segments/preview?sample=0", { method: "POST", json: { where } }), { keepPreviousData: false });
  return data;
}

function Choice({ met: { rule, way, isTurned }, tree, onTree }: { met: Met; tree: Group; onTree: (tree: Group) => void }) {
  const lacking = useMatches({ attribute: rule.field, set: false });
  if (!lacking) return <li><code>{rule.field}</code> …</li>;
  if (lacking.matched === 0) return <li><code>{rule.field}</code> <span className="muted">is never missing</span></li>;
  return (
    <li>
      <code>{rule.field}</code> is missing on {counted(lacking.matched, "contact")} of {count(lacking.total)}
      <span className="choices" role="group" aria-label={`Contacts without ${rule.field}`}>
        {POLICIES.map((policy) => {
          const chosen = replaced(tree, way, withPolicy(rule, policy));
          return <Policy key={policy} passes={(policy === "include") !== isTurned} isOn={missingPolicy(rule) === policy} where={whereOf(chosen)} onChoose={() => onTree(chosen)} />;
        })}
      </span>
    </li>
  );
}

function Policy({ passes, isOn, where, onChoose }: { passes: boolean; isOn: boolean; where: unknown; onChoose: () => void }) {
  const found = useMatches(where);
  return (
    <button type="button" aria-pressed={isOn} onClick={onChoose}>
      {passes ? "they pass" : "they do not pass"}: {found ? count(found.matched) : "…"} match
    </button>
  );
}
