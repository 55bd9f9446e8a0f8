// All trials, filtered and paged.

import { useEffect, useState } from "preact/hooks";
import { at, get, useData } from "../api";
import { Trials, Wait } from "../parts";
import { go, study as address, usePlace } from "../route";
import type { Line, Study, Trials as Page } from "../shapes";
import { MARKS, count, plain } from "../words";

const FILTERS = ["mark", "operator", "surface", "proposer", "arm", "cause", "blame", "phase", "signature", "parent"] as const;

export function List({ study, tick }: { study: Study; tick: number }) {
  const place = usePlace();
  const words: Record<string, string> = {};
  for (const name of [...FILTERS, "order"]) {
    const value = place.query.get(name);
    if (value) words[name] = value;
  }
  const path = at(study.id, "/trials", { ...words, limit: 50 });
  const data = useData<Page>(path, tick);
  const [more, setMore] = useState<{ path: string; lines: Line[]; next: string | null }>({ path, lines: [], next: null });
  useEffect(() => setMore({ path, lines: [], next: null }), [path]);

  const set = (name: string, value: string) => {
    const query = new URLSearchParams(words);
    if (value) query.set(name, value);
    else query.delete(name);
    const text = query.toString();
    go(address(study.id, `/trials${text ? `?${text}` : ""}`), true);
  };
  if (!data.value) return <Wait data={data} what="Trials" />;
  const page = data.value;
  const next = more.lines.length ? more.next : (page.next ?? null);
  const read = async () => {
    const found = await get<Page>(at(study.id, "/trials", { ...words, limit: 100, after: next }));
    setMore({ path, lines: [...more.lines, ...found.trials], next: found.next ?? null });
  };
  // What came in since is on the first page; a line is shown once.
  const seen = new Set(page.trials.map((line) => line.trial));
  const lines = [...page.trials, ...more.lines.filter((line) => !seen.has(line.trial))];
  const others = (["blame", "phase", "signature", "parent"] as const).filter((name) => words[name]);
  return (
    <>
      <h1>Trials</h1>
      <div class="filters">
        <Choice name="Order" value={words["order"] ?? ""} set={(value) => set("order", value)} all="newest first">
          {[
            ["oldest", "oldest first"],
            ["score", "best score first"],
            ["gain", "largest gain first"],
          ]}
        </Choice>
        <Choice name="Outcome" value={words["mark"] ?? ""} set={(value) => set("mark", value)}>
          {MARKS.map((mark) => [mark, `${mark} (${count(study.marks[mark] ?? 0)})`])}
        </Choice>
        <Named name="operator" names={study.names.operators} words={words} set={set} />
        <Named name="surface" names={study.names.surfaces} words={words} set={set} />
        <Named name="proposer" names={study.names.proposers} words={words} set={set} />
        <Named name="cause" names={study.names.causes} words={words} set={set} />
        {study.arms.length > 1 && <Named name="arm" names={study.arms.map((arm) => arm.name)} words={words} set={set} />}
        {others.map((name) => (
          <button key={name} class="chip" onClick={() => set(name, "")}>
            {name}: {words[name]} ✕
          </button>
        ))}
      </div>
      <p class="quiet" role="status">
        {count(page.matching)} of {count(study.trials + 1)} trials
      </p>
      <Trials id={study.id} name="Trials" lines={lines} metric={study.metric.name} empty="No trial is like that." />
      {next && (
        <p class="more">
          <button onClick={() => void read()}>More</button>
        </p>
      )}
    </>
  );
}

function Named({
  name,
  names,
  words,
  set,
}: {
  name: string;
  names: string[];
  words: Record<string, string>;
  set: (name: string, value: string) => void;
}) {
  if (names.length < 2 && !words[name]) return null;
  return (
    <Choice name={name[0]?.toUpperCase() + name.slice(1)} value={words[name] ?? ""} set={(value) => set(name, value)}>
      {names.map((one) => [one, plain(one)])}
    </Choice>
  );
}

function Choice({
  name,
  value,
  set,
  children,
  all,
}: {
  name: string;
  value: string;
  set: (value: string) => void;
  children: string[][];
  all?: string;
}) {
  return (
    <label class="choice">
      {name}
      <select value={value} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">{all ?? "any"}</option>
        {children.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
