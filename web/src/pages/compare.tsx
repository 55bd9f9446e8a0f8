// Two trials beside one another.

import { useEffect, useState } from "preact/hooks";
import { at, useData } from "../api";
import { Patch } from "../diff";
import { Badge, Panel, TrialLink, Wait, about } from "../parts";
import { go, study as address, usePlace } from "../route";
import type { Comparison, Paired, Study } from "../shapes";
import { count, interval, number, plain, signed } from "../words";
import { Why } from "./trial";

export function Compare({ study }: { study: Study }) {
  const place = usePlace();
  const a = place.query.get("a") ?? "baseline";
  const b = place.query.get("b") ?? study.champion?.trial ?? `t${Math.min(1, study.trials)}`;
  const [one, setOne] = useState(a);
  const [other, setOther] = useState(b);
  useEffect(() => {
    setOne(a);
    setOther(b);
  }, [a, b]);
  const data = useData<Comparison>(at(study.id, "/compare", { a, b }));
  return (
    <>
      <h1>Compare</h1>
      <form
        class="filters"
        onSubmit={(event) => {
          event.preventDefault();
          go(address(study.id, `/compare?a=${encodeURIComponent(one.trim())}&b=${encodeURIComponent(other.trim())}`), true);
        }}
      >
        <label class="choice">
          With
          <input value={one} size={10} onInput={(event) => setOne(event.currentTarget.value)} />
        </label>
        <label class="choice">
          Compare
          <input value={other} size={10} onInput={(event) => setOther(event.currentTarget.value)} />
        </label>
        <button class="main">Compare</button>
        <button type="button" onClick={() => go(address(study.id, `/compare?a=${encodeURIComponent(b)}&b=${encodeURIComponent(a)}`), true)}>
          Swap
        </button>
        <span class="quiet small">t17, champion, baseline</span>
      </form>
      {data.value ? <Both study={study} told={data.value} /> : <Wait data={data} what="The comparison" />}
    </>
  );
}

function Both({ study, told }: { study: Study; told: Comparison }) {
  const sides = [told.a, told.b];
  const metrics = [...new Set(sides.flatMap((side) => side.means.map((mean) => `${mean.metric}\u0000${mean.split}`)))];
  const mean = (side: (typeof sides)[number], key: string) => side.means.find((one) => `${one.metric}\u0000${one.split}` === key);
  return (
    <>
      <div class="beside even">
        {sides.map((side, place) => (
          <Panel key={place} title={side.line.trial} aside={<Badge mark={side.line.mark} text={side.line.cause ? plain(side.line.cause) : side.line.mark} />}>
            <p>
              <TrialLink id={study.id} trial={side.line.trial} /> {about(side.line)}
            </p>
            {side.outcome && <Why study={study} ended={side.outcome} />}
          </Panel>
        ))}
      </div>
      <Panel title="Under the same seeds">
        {told.pairs.length === 0 ? (
          <p class="quiet">They were never measured under the same seed.</p>
        ) : (
          <>
            <p>
              {told.b.line.trial} against {told.a.line.trial}, mean gain over {count(told.pairs_total)} {told.pairs_total === 1 ? "pair" : "pairs"}: <b>{signed(told.gain)}</b>{" "}
              {told.gain_interval && <>95 % {interval(told.gain_interval)}</>}
              <span class="quiet"> positive is better. A description of these pairs, not a verdict.</span>
            </p>
            <Pairs pairs={told.pairs} a={told.a.line.trial} b={told.b.line.trial} />
          </>
        )}
      </Panel>
      {metrics.length > 0 && (
        <Panel title="Means of everything measured">
          <div class="scroll" tabIndex={0} role="region" aria-label="Means">
            <table>
              <thead>
                <tr>
                  <th scope="col">Metric</th>
                  <th scope="col">Split</th>
                  <th scope="col" class="num">
                    {told.a.line.trial}
                  </th>
                  <th scope="col" class="num">
                    {told.b.line.trial}
                  </th>
                  <th scope="col" class="num">
                    Difference
                  </th>
                </tr>
              </thead>
              <tbody>
                {metrics.map((key) => {
                  const [name, split] = key.split("\u0000");
                  const [left, right] = [mean(told.a, key), mean(told.b, key)];
                  return (
                    <tr key={key}>
                      <th scope="row">{name}</th>
                      <td>{split}</td>
                      <td class="num">
                        {number(left?.mean)} <span class="quiet">{left ? `n=${left.replicates}` : ""}</span>
                      </td>
                      <td class="num">
                        {number(right?.mean)} <span class="quiet">{right ? `n=${right.replicates}` : ""}</span>
                      </td>
                      <td class="num">{left && right ? signed(right.mean - left.mean) : ""}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
      <Panel title={`What changed from ${told.a.line.trial} to ${told.b.line.trial}`}>
        {told.diff ? <Patch unified={told.diff.unified} cut={told.diff.cut} /> : <p class="quiet">One of them has no edit.</p>}
      </Panel>
    </>
  );
}

function Pairs({ pairs, a, b }: { pairs: Paired[]; a: string; b: string }) {
  const shown = pairs.slice(-40);
  const values = shown.flatMap((pair) => [pair.a, pair.b]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (value: number) => 110 + (670 * (value - low)) / (high - low || 1);
  const tall = shown.length * 16 + 30;
  return (
    <svg class="pairs" viewBox={`0 0 800 ${tall}`} role="img" aria-label={`${shown.length} pairs of values between ${number(low)} and ${number(high)}`}>
      <text x="110" y="12">
        {number(low)}
      </text>
      <text x="780" y="12" class="end">
        {number(high)}
      </text>
      {shown.map((pair, row) => (
        <g key={row}>
          <title>{`seed ${pair.seed}: ${a} ${number(pair.a)}, ${b} ${number(pair.b)}`}</title>
          <text class="quiet" x="0" y={row * 16 + 34}>
            {pair.purpose} {pair.seed % 100000}
          </text>
          <line x1={x(pair.a)} x2={x(pair.b)} y1={row * 16 + 30} y2={row * 16 + 30} />
          <rect class="a" x={x(pair.a) - 4} y={row * 16 + 26} width="8" height="8" />
          <circle class="b" cx={x(pair.b)} cy={row * 16 + 30} r="4.6" />
        </g>
      ))}
    </svg>
  );
}
