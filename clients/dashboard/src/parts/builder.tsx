/** The visual form: react-querybuilder with this language's tests and inputs. Rule: shows the tree, decides nothing. */
import { QueryBuilder, type ActionProps, type CombinatorSelectorProps, type FieldSelectorProps, type NotToggleProps, type OperatorSelectorProps, type RuleGroupType, type ValueEditorProps } from "react-querybuilder";
import { createContext, useContext, useState } from "react";
import type { AttributeSeen, Value } from "../api";
import { readElements, readText, readValue, writeElements, writeText, writeValue } from "../format";
import { carried, durationParts, hasMissingPolicy, missingPolicy, operatorOf, OPERATORS, replaced, SEGMENT_FIELD, SEGMENT_OPERATORS, withPolicy, type ConditionRule, type Group } from "../query";

interface Known { attributes: readonly AttributeSeen[]; segments: readonly string[] }
const KnownNames = createContext<Known>({ attributes: [], segments: [] });

const UNITS: readonly [string, string][] = [["s", "seconds"], ["m", "minutes"], ["h", "hours"], ["d", "days"], ["w", "weeks"]];
/** A new condition: the library would name an attribute `~`, which is not one. */
const EMPTY_RULE = { field: "", operator: "is", value: "" };
const GROUPS = [...new Set(OPERATORS.map((operator) => operator.group))];

export default function Builder({ tree, known, onTree }: { tree: Group; known: Known; onTree: (tree: Group) => void }) {
  return (
    <KnownNames.Provider value={known}>
      <datalist id="attribute-names">{known.attributes.map(({ name, types }) => <option key={name} value={name}>{types.join(", ")}</option>)}</datalist>
      <QueryBuilder
        query={tree as unknown as RuleGroupType}
        onQueryChange={(next) => onTree(next as unknown as Group)}
        fields={[{ name: "", label: "" }]}
        getDefaultField={() => ""}
        getDefaultOperator={() => "is"}
        getDefaultValue={() => ""}
        getValueEditorType={() => "text"}
        resetOnFieldChange={false}
        resetOnOperatorChange={false}
        autoSelectField={false}
        enableMountQueryChange={false}
        showNotToggle
        onAddRule={() => EMPTY_RULE}
        onAddGroup={(group) => ({ ...group, rules: [EMPTY_RULE] })}
        controlElements={{
          fieldSelector: Field,
          operatorSelector: Test,
          valueEditor: Tested,
          combinatorSelector: Combinator,
          notToggle: Not,
          addRuleAction: (props) => <Act {...props} text="Add condition" />,
          addGroupAction: (props) => <Act {...props} text="Add group" />,
          removeRuleAction: (props) => <Act {...props} text="✕" name="Remove condition" quiet />,
          removeGroupAction: (props) => <Act {...props} text="Remove group" quiet />,
        }}
      />
    </KnownNames.Provider>
  );
}

function Act({ handleOnClick, disabled, text, name, quiet }: ActionProps & { text: string; name?: string; quiet?: boolean }) {
  return <button type="button" className={quiet ? "quiet" : ""} aria-label={name} disabled={disabled ?? false} onClick={(event) => handleOnClick(event)}>{text}</button>;
}

function Combinator({ value, handleOnChange }: CombinatorSelectorProps) {
  return (
    <select aria-label="How the conditions are joined" value={value ?? "and"} onChange={(event) => handleOnChange(event.target.value)}>
      <option value="and">All of</option>
      <option value="or">At least one of</option>
    </select>
  );
}

function Not({ checked, handleOnChange }: NotToggleProps) {
  return <label className="not"><input type="checkbox" checked={checked ?? false} onChange={(event) => handleOnChange(event.target.checked)} /> not</label>;
}

function Field({ value, handleOnChange }: FieldSelectorProps) {
  if (value === SEGMENT_FIELD) return <span className="field-name">The contact</span>;
  return <input className="field-name" list="attribute-names" aria-label="Attribute" placeholder="attribute" spellCheck={false} value={value ?? ""}
    data-empty={value === "" || undefined} onChange={(event) => handleOnChange(event.target.value)} />;
}

function Test({ value, field, rule, path, schema, handleOnChange }: OperatorSelectorProps) {
  const { segments } = useContext(KnownNames);
  function choose(name: string) {
    const operator = operatorOf(name);
    const { dispatchQuery, getQuery } = schema as unknown as { dispatchQuery?: (query: unknown) => void; getQuery: () => RuleGroupType };
    const next = { ...rule, operator: name, field: operator.input === "segment" ? SEGMENT_FIELD : field === SEGMENT_FIELD ? "" : rule.field,
      value: operator.input === "segment" ? (rule.field === SEGMENT_FIELD ? rule.value : (segments[0] ?? "")) : carried(operatorOf(rule.operator).input === "none" ? "" : rule.value, operator) };
    if (dispatchQuery) dispatchQuery(replaced(getQuery(), path, next));
    else handleOnChange(name);
  }
  return (
    <select aria-label="Test" value={value ?? "is"} onChange={(event) => choose(event.target.value)}>
      {GROUPS.map((group) => (
        <optgroup key={group} label={group}>
          {OPERATORS.filter((operator) => operator.group === group).map(({ name, label }) => <option key={name} value={name}>{label}</option>)}
        </optgroup>
      ))}
      <optgroup label="Segment">{SEGMENT_OPERATORS.map(({ name, label }) => <option key={name} value={name}>{label}</option>)}</optgroup>
    </select>
  );
}

/** The value that is tested, then what surrounds the test: letters' case, and missing values. */
function Tested(props: ValueEditorProps) {
  const { rule, operator, path, schema } = props;
  const condition = rule as unknown as ConditionRule;
  const { dispatchQuery, getQuery } = schema as unknown as { dispatchQuery: (query: unknown) => void; getQuery: () => RuleGroupType };
  const exchange = (next: ConditionRule) => dispatchQuery(replaced(getQuery(), path, next));
  return (
    <>
      <TestedValue {...props} />
      {operatorOf(operator).cased && (
        <button type="button" className="quiet case" aria-label="Match case" title="Match upper and lower case exactly" aria-pressed={condition.exact ?? false}
          onClick={() => exchange({ ...condition, exact: !condition.exact })}>Aa</button>
      )}
      {hasMissingPolicy(condition) && (
        <select className="quiet policy" aria-label="When there is no value" value={missingPolicy(condition)} data-chosen={condition.missing ? true : undefined}
          onChange={(event) => exchange(withPolicy(condition, event.target.value as "include" | "exclude"))}>
          <option value="exclude">missing: no</option>
          <option value="include">missing: yes</option>
        </select>
      )}
    </>
  );
}

function TestedValue({ value, rule, operator, handleOnChange }: ValueEditorProps) {
  const { attributes, segments } = useContext(KnownNames);
  const { input } = operatorOf(operator);
  if (input === "none") return null;
  if (input === "segment") {
    return <select aria-label="Segment" value={String(value ?? "")} onChange={(event) => handleOnChange(event.target.value)}>
      <option value="">choose a segment</option>
      {segments.map((id) => <option key={id} value={id}>{id}</option>)}</select>;
  }
  if (input === "duration") return <Duration value={String(value || "7d")} onValue={handleOnChange} />;
  if (input === "range") {
    const [low, high] = Array.isArray(value) ? (value as Value[]) : ["", ""];
    return <span className="range"><Written name="From" value={low ?? ""} onValue={(next) => handleOnChange([next, high ?? ""])} /> and <Written name="To" value={high ?? ""} onValue={(next) => handleOnChange([low ?? "", next])} /></span>;
  }
  if (input === "set") return <SetOf value={Array.isArray(value) ? (value as Value[]) : []} onValue={handleOnChange} />;
  const seen = attributes.find(({ name }) => name === rule.field)?.values ?? [];
  return <Written name="Value" value={(value ?? "") as Value} asText={input === "text" || input === "version"} seen={seen} list={`values-${rule.id}`} onValue={handleOnChange} />;
}

function Written({ name, value, asText, seen, list, onValue }: { name: string; value: Value; asText?: boolean; seen?: readonly Value[]; list?: string; onValue: (value: Value) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  const shown = value === "" ? "" : asText ? writeText(String(value)) : writeValue(value);
  const read = (text: string): Value => (asText ? readText(text) : readValue(text));
  return (
    <>
      <input aria-label={name} placeholder={name.toLowerCase()} spellCheck={false} list={list} data-empty={value === "" || undefined}
        value={draft !== null && JSON.stringify(read(draft)) === JSON.stringify(value) ? draft : shown}
        onChange={(event) => { setDraft(event.target.value); onValue(read(event.target.value)); }} onBlur={() => setDraft(null)} />
      {list && seen && seen.length > 0 && <datalist id={list}>{seen.map((each) => <option key={String(each)} value={writeValue(each)} />)}</datalist>}
    </>
  );
}

function SetOf({ value, onValue }: { value: Value[]; onValue: (value: Value[]) => void }) {
  const [draft, setDraft] = useState<string | null>(null);
  return <input aria-label="Values, separated by commas" placeholder="US, CA, UK" spellCheck={false} data-empty={value.length === 0 || undefined}
    value={draft ?? writeElements(value)} onChange={(event) => { setDraft(event.target.value); onValue(readElements(event.target.value, value)); }} onBlur={() => setDraft(null)} />;
}

function Duration({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  const [number, unit] = durationParts(value);
  return (
    <span className="range">
      <input type="number" min="1" aria-label="How many" value={number} data-empty={number === "" || undefined} onChange={(event) => onValue(`${event.target.value}${unit}`)} />
      <select aria-label="Unit" value={unit} onChange={(event) => onValue(`${number}${event.target.value}`)}>
        {UNITS.map(([short, name]) => <option key={short} value={short}>{name}</option>)}
      </select>
    </span>
  );
}
