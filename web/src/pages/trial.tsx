// One trial: why it was made, what was expected and what came, what it changed, how it was measured, why it ended so.

import { useEffect, useState } from "preact/hooks";
import { at, get, useData } from "../api";
import { TrialControls } from "../controls";
import { Patch } from "../diff";
import { Badge, Panel, TrialLink, Trials, Wait, about } from "../parts";
import { Link, study as address } from "../route";
import type { Calls, Difference, Ended, Events, Log, Replicates as Page, Run, Study, Trial as Told } from "../shapes";
import { bytes, clock, count, number, plain, seconds, signed, when } from "../words";

export function Trial({ study, trial, tick }: { study: Study; trial: string; tick: number }) {
  const data = useData<Told>(at(study.id, `/trials/${encodeURIComponent(trial)}`), tick);
  if (!data.value) return <Wait data={data} what={`Trial ${trial}`} />;
  const told = data.value;
  const { line } = told;
  const number_ = Number(line.trial.slice(1));
  return (
    <>
      <div class="title">
        <h1>
          {line.trial} <Badge mark={line.mark} text={line.cause ? plain(line.cause) : line.mark} />
          {told.champion && <span class="crown">champion</span>}
          {told.pinned.length > 0 && <span class="crown pinned">pinned</span>}
        </h1>
        <nav class="turn" aria-label="Other trials">
          {number_ > 0 && <TrialLink id={study.id} trial={`t${number_ - 1}`}>← t{number_ - 1}</TrialLink>}
          {number_ < study.trials && <TrialLink id={study.id} trial={`t${number_ + 1}`}>t{number_ + 1} →</TrialLink>}
          <Link to={address(study.id, `/lineage?around=${line.trial}`)}>in the lineage</Link>
          {line.parents[0] && <Link to={address(study.id, `/compare?a=${line.parents[0]}&b=${line.trial}`)}>beside its parent</Link>}
          {study.champion && study.champion.trial !== line.trial && (
            <Link to={address(study.id, `/compare?a=${study.champion.trial}&b=${line.trial}`)}>beside the champion</Link>
          )}
        </nav>
        <TrialControls study={study} told={told} />
      </div>
      <p class="hypothesis">{about(line)}</p>
      <dl class="facts short">
        <Fact name="From">
          {line.parents.length ? line.parents.map((parent) => <TrialLink key={parent} id={study.id} trial={parent} />) : "nothing"}
        </Fact>
        <Fact name="Operator">{plain(line.operator)}</Fact>
        {line.surface && <Fact name="Surface">{line.surface}</Fact>}
        <Fact name="Made by">{line.proposer ?? "–"}</Fact>
        <Fact name="Arm">{line.arm ?? "–"}</Fact>
        <Fact name={study.metric.name}>
          {number(line.score)} {line.score_replicates > 0 && <span class="quiet">over {line.score_replicates}</span>}
        </Fact>
        <Fact name="Gain">{line.gain === null || line.gain === undefined ? "–" : signed(line.gain)}</Fact>
        <Fact name="Cost">
          {seconds(line.cpu_s)} CPU{line.calls > 0 && `, $${line.usd.toFixed(line.usd < 1 ? 4 : 2)}`}
        </Fact>
        <Fact name="Asked">{when(line.asked_at)}</Fact>
        <Fact name="Ended">{line.ended_at ? when(line.ended_at) : "under way"}</Fact>
      </dl>
      <div class="beside">
        <Panel title="Why this verdict">
          <Verdict study={study} told={told} />
        </Panel>
        <Panel title="Predicted, and what came">
          <Predicted told={told} />
        </Panel>
      </div>
      <Panel title="What it changed">
        {told.tree ? <Changed study={study} trial={line.trial} /> : <p class="quiet">No edit was made.</p>}
      </Panel>
      <Replicates study={study} told={told} />
      {told.calls > 0 && <Conversation study={study} trial={line.trial} calls={told.calls} tick={tick} />}
      {told.children_total > 0 && (
        <Panel title={`What started from it (${count(told.children_total)})`}>
          <Trials id={study.id} name="Trials that started from it" lines={told.children} metric={study.metric.name} />
          {told.children_total > told.children.length && (
            <p class="more">
              <Link to={address(study.id, `/trials?parent=${line.trial}`)}>All of them</Link>
            </p>
          )}
        </Panel>
      )}
      <Ledger study={study} trial={line.trial} tick={tick} />
    </>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Verdict({ study, told }: { study: Study; told: Told }) {
  const { outcome } = told;
  return (
    <>
      {outcome ? <Why study={study} ended={outcome} /> : <p class="quiet">It is under way.</p>}
      {told.quarantine.length > 0 && (
        <>
          <h3>Measured once more before it could be kept</h3>
          <Doubts doubts={told.quarantine} />
        </>
      )}
      {told.concerns.length > 0 && (
        <>
          <h3>Read out of the edit</h3>
          <Doubts doubts={told.concerns} />
        </>
      )}
    </>
  );
}

function Doubts({ doubts }: { doubts: Told["concerns"] }) {
  return (
    <ul class="doubts">
      {doubts.map((doubt, place) => (
        <li key={place}>
          <b>{plain(doubt.line)}</b>: {doubt.why} <span class="quiet">({doubt.rule})</span>
        </li>
      ))}
    </ul>
  );
}

export function Why({ study, ended }: { study: Study; ended: Ended }) {
  const { failure } = ended;
  if (!failure) {
    return (
      <>
        <p>{ended.reason}</p>
        {ended.gain_interval && ended.gain !== null && ended.gain !== undefined && <Interval gain={ended.gain} ends={ended.gain_interval as [number, number]} />}
      </>
    );
  }
  return (
    <>
      <p>
        <b>{failure.what}</b>, in {failure.phase}; to blame: {failure.blame}.
        {failure.margin !== null && failure.margin !== undefined && ` The limit was missed by ${number(Math.abs(failure.margin))}.`}
        {failure.retryable && " The same attempt may succeed."}
      </p>
      {failure.excerpt && <pre class="log">{failure.excerpt}</pre>}
      <p class="small">
        <Link to={address(study.id, `/trials?signature=${failure.signature_hash}`)}>Failures like it</Link>
      </p>
    </>
  );
}

/** A gain with its interval, and zero. */
function Interval({ gain, ends }: { gain: number; ends: [number, number] }) {
  const low = Math.min(0, ends[0]);
  const high = Math.max(0, ends[1]);
  const x = (value: number) => 8 + (384 * (value - low)) / Math.max(high - low, 1e-300);
  return (
    <svg class="interval" viewBox="0 0 400 46" role="img" aria-label={`gain ${signed(gain)}, 95 % from ${signed(ends[0])} to ${signed(ends[1])}`}>
      <line class="zero" x1={x(0)} x2={x(0)} y1="4" y2="30" />
      <line class="ends" x1={x(ends[0])} x2={x(ends[1])} y1="17" y2="17" />
      <circle cx={x(gain)} cy="17" r="5" />
      <text x={Math.max(4, Math.min(396, x(0)))} y="43" class={x(0) < 40 ? "start" : x(0) > 360 ? "end" : "mid"}>
        0
      </text>
      <text x={Math.min(360, Math.max(40, x(gain)))} y="43" class="mid">
        {Math.abs(x(gain) - x(0)) > 60 ? signed(gain) : ""}
      </text>
    </svg>
  );
}

function Predicted({ told }: { told: Told }) {
  const { prediction, came } = told;
  if (!prediction) return <p class="quiet">Nothing was predicted.</p>;
  const words = { increase: "up", decrease: "down", unchanged: "unchanged" }[prediction.direction] ?? prediction.direction;
  return (
    <>
      <p>
        Before it ran: <b>{prediction.metric}</b> {words}
        {prediction.size !== null && prediction.size !== undefined && prediction.direction !== "unchanged" && <> by {number(prediction.size)}</>}.
      </p>
      {came ? (
        <p>
          What came: <b>{signed(came.change)}</b> against its parent over {came.seeds} shared {came.seeds === 1 ? "seed" : "seeds"}
          {came.right !== null && came.right !== undefined && <>; the direction was {came.right ? "right" : "wrong"}</>}.
        </p>
      ) : (
        <p class="quiet">It was not measured beside its parent.</p>
      )}
    </>
  );
}

function Changed({ study, trial }: { study: Study; trial: string }) {
  const [against, set] = useState("parent");
  const data = useData<Difference>(at(study.id, `/trials/${trial}/diff`, { against }));
  return (
    <>
      <label class="choice">
        Against
        <select value={against} onChange={(event) => set(event.currentTarget.value)}>
          <option value="parent">its parent</option>
          <option value="baseline">the baseline</option>
          <option value="champion">the champion</option>
        </select>
      </label>
      {data.value ? <Patch unified={data.value.unified} cut={data.value.cut} /> : <Wait data={data} what="The change" />}
    </>
  );
}

const PURPOSES = ["search", "confirm", "audit", "report"];

function Replicates({ study, told }: { study: Study; told: Told }) {
  const [open, setOpen] = useState<string | null>(null);
  const [older, setOlder] = useState<Page | null>(null);
  const { trial } = told.line;
  useEffect(() => setOlder(null), [trial]);
  // The newest are told with the trial; what is older is asked for by pages, and may overlap as long as the study runs.
  const newest = new Set(told.replicates.map((run) => run.id));
  const before = (older?.replicates ?? []).filter((run) => !newest.has(run.id));
  const runs = [...before.reverse(), ...told.replicates];
  const more = async () => {
    const after = older ? older.next : undefined;
    const page = await get<Page>(at(study.id, `/trials/${trial}/replicates`, { after, limit: 200 }));
    setOlder({ replicates: [...(older?.replicates ?? []), ...page.replicates], next: page.next });
  };
  return (
    <Panel title={`Replicates (${count(told.replicates_total)})`}>
      {runs.length === 0 ? <p class="quiet">None was started.</p> : <Strip study={study} runs={runs} />}
      {runs.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Replicates">
          <table>
            <thead>
              <tr>
                <th scope="col">For</th>
                <th scope="col" class="num">
                  Seed
                </th>
                <th scope="col" class="num">
                  {study.metric.name}
                </th>
                <th scope="col">Slot</th>
                <th scope="col">Stages</th>
                <th scope="col">
                  <span class="hidden">Details</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {runs.map((run) => (
                <Replicate key={run.id} study={study} trial={trial} run={run} open={open === run.id} turn={() => setOpen(open === run.id ? null : run.id)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {runs.length < told.replicates_total && (
        <p class="more">
          <button onClick={() => void more()}>Older ones ({count(told.replicates_total - runs.length)})</button>
        </p>
      )}
    </Panel>
  );
}

function Replicate({ study, trial, run, open, turn }: { study: Study; trial: string; run: Run; open: boolean; turn: () => void }) {
  return (
    <>
      <tr>
        <td>
          {run.purpose}
          {run.of && run.of !== trial && <span class="quiet"> of {run.of}</span>}
        </td>
        <td class="num">{run.seed}</td>
        <td class="num">{run.failure ? <Badge mark="failed" text={plain(run.failure.cause)} /> : run.finished ? number(run.value) : "running"}</td>
        <td>{run.slot}</td>
        <td>
          {run.units.map((unit, place) => (
            <span key={place} class={`unit ${unit.ending === "exit 0" ? "" : "bad"}`}>
              {unit.name} <span class="quiet">{seconds(unit.wall_s)}</span>
            </span>
          ))}
        </td>
        <td>
          <button onClick={turn} aria-expanded={open}>
            {open ? "Less" : "More"}
            <span class="hidden"> about {run.purpose} under seed {run.seed}</span>
          </button>
        </td>
      </tr>
      {open && (
        <tr class="more-of">
          <td colSpan={6}>
            <Details study={study} run={run} />
          </td>
        </tr>
      )}
    </>
  );
}

function Details({ study, run }: { study: Study; run: Run }) {
  return (
    <div class="details">
      {run.failure && (
        <p>
          <b>{run.failure.what}</b> in {run.failure.phase} ({run.failure.blame})
        </p>
      )}
      {run.measurements.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Metric</th>
              <th scope="col">Split</th>
              <th scope="col" class="num">
                Value
              </th>
              <th scope="col">Measured by</th>
            </tr>
          </thead>
          <tbody>
            {run.measurements.map((one, place) => (
              <tr key={place}>
                <td>{one.metric}</td>
                <td>{one.split}</td>
                <td class="num">{number(one.value, 7)}</td>
                <td>{one.provenance}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {run.feedback && (
        <>
          <h3>The evaluator's words</h3>
          <pre class="log">{run.feedback}</pre>
        </>
      )}
      {run.units.map((unit, place) => (
        <div key={place} class="unit-of">
          <h3>
            {unit.name}: {unit.ending}{" "}
            <span class="quiet">
              {seconds(unit.wall_s)} wall, {seconds(unit.cpu_s)} CPU, {bytes(unit.peak_memory_bytes)}, {unit.sandbox}
            </span>
          </h3>
          {unit.log ? <Printed study={study} run={run.id} log={unit.log} /> : <p class="quiet small">It printed nothing.</p>}
        </div>
      ))}
    </div>
  );
}

function Printed({ study, run, log }: { study: Study; run: string; log: string }) {
  const [size, setSize] = useState(8192);
  const data = useData<Log>(at(study.id, `/replicates/${run}/logs/${log}`, { bytes: size }));
  if (!data.value) return <Wait data={data} what="The log" />;
  return (
    <>
      {data.value.cut && (
        <p class="small">
          <span class="quiet">The end of {bytes(data.value.bytes)}. </span>
          {size < 1 << 20 && <button onClick={() => setSize(1 << 20)}>More of it</button>}
        </p>
      )}
      <pre class="log" tabIndex={0}>
        {data.value.text}
      </pre>
    </>
  );
}

/** Values by purpose, along the metric. */
function Strip({ study, runs }: { study: Study; runs: Run[] }) {
  const usable = runs.filter((run) => run.value !== null && run.value !== undefined && !run.failure);
  const values = usable.map((run) => run.value as number);
  if (values.length < 2) return null;
  const purposes = PURPOSES.filter((purpose) => usable.some((run) => run.purpose === purpose));
  const base = study.baseline?.mean;
  let low = Math.min(...values, base ?? Infinity);
  let high = Math.max(...values, base ?? -Infinity);
  const margin = 0.05 * (high - low) || Math.abs(high) * 0.01 || 1;
  [low, high] = [low - margin, high + margin];
  const x = (value: number) => 90 + (700 * (value - low)) / (high - low);
  const tall = purposes.length * 30 + 26;
  return (
    <svg class="strip" viewBox={`0 0 800 ${tall}`} role="img" aria-label={`${values.length} values between ${number(Math.min(...values))} and ${number(Math.max(...values))}`}>
      {base !== undefined && (
        <>
          <line class="zero" x1={x(base)} x2={x(base)} y1="0" y2={tall - 20} />
          <text class={x(base) > 700 ? "end" : "mid"} x={x(base)} y={tall - 5}>
            baseline {number(base)}
          </text>
        </>
      )}
      {purposes.map((purpose, row) => (
        <g key={purpose} class={`purpose-${purpose}`}>
          <text x="0" y={row * 30 + 19}>
            {purpose}
          </text>
          {usable
            .filter((run) => run.purpose === purpose)
            .map((run) => (
              <circle key={run.id} cx={x(run.value as number)} cy={row * 30 + 15} r="5">
                <title>{`${number(run.value)} under seed ${run.seed}`}</title>
              </circle>
            ))}
        </g>
      ))}
    </svg>
  );
}

/** What was said between the proposer and its models: text, whatever it says. */
function Conversation({ study, trial, calls, tick }: { study: Study; trial: string; calls: number; tick: number }) {
  const [open, set] = useState(false);
  const [shown, setShown] = useState(20);
  const data = useData<Calls>(open ? at(study.id, `/trials/${trial}/calls`, { limit: Math.min(50, shown) }) : null, tick);
  const told = data.value;
  return (
    <details class="panel" onToggle={(event) => set(event.currentTarget.open)}>
      <summary>
        <h2>
          Conversation with models <span class="quiet">({calls === 1 ? "1 call" : `${count(calls)} calls`})</span>
        </h2>
      </summary>
      {told ? (
        <ol class="calls">
          {told.calls.map((call) => (
            <li key={call.index}>
              <h3>
                {call.role} <span class="quiet">asks {call.model}</span>
              </h3>
              <p class="small quiet">
                {count(call.input_tokens)} tokens in, {count(call.output_tokens)} out, ${call.usd.toFixed(4)}, {seconds(call.wall_s)}
                {call.attempts > 1 && `, ${call.attempts} attempts`}
                {call.fault && `, gave nothing: ${plain(call.fault)}`}
              </p>
              {call.said.map((one, place) => (
                <div key={place} class={`said-by by-${one.who}`}>
                  <span class="tag">{one.who}</span>
                  <pre class="log" tabIndex={0}>
                    {one.text}
                  </pre>
                </div>
              ))}
            </li>
          ))}
        </ol>
      ) : (
        open && <Wait data={data} what="The conversation" />
      )}
      {told && told.calls.length < told.total && shown < 50 && (
        <p class="more">
          <button onClick={() => setShown(50)}>More of it</button>
        </p>
      )}
      {told && told.calls.length < told.total && shown >= 50 && (
        <p class="quiet small">
          The first {told.calls.length} of {count(told.total)} calls; `empiric show --calls` prints all of them.
        </p>
      )}
    </details>
  );
}

function Ledger({ study, trial, tick }: { study: Study; trial: string; tick: number }) {
  const [open, set] = useState(false);
  const data = useData<Events>(open ? at(study.id, "/events", { trial, limit: 300 }) : null, tick);
  return (
    <details class="panel" onToggle={(event) => set(event.currentTarget.open)}>
      <summary>
        <h2>In the ledger</h2>
      </summary>
      {data.value ? (
        <ol class="feed plain">
          {data.value.events.map((event) => (
            <li key={event.seq}>
              <time dateTime={event.at}>{clock(event.at)}</time>
              <span class="what">
                <span class="tag">{plain(event.name)}</span> <span class="text">{event.text}</span>
              </span>
            </li>
          ))}
        </ol>
      ) : (
        open && <Wait data={data} what="The events" />
      )}
    </details>
  );
}
