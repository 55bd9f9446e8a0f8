// A study at a glance: what was found, what it cost, every score, who is at work, what happens.

import { useEffect, useState } from "preact/hooks";
import { type Live, at, useData, useLast } from "../api";
import { Chart } from "../chart";
import { Badge, Bar, Icon, Panel, TrialLink, Wait } from "../parts";
import { Link, study as address } from "../route";
import type { Curve, Events, Happened, Mark, Occupied, Slots, Study } from "../shapes";
import { MARKS, clock, count, interval, number, plain, seconds, signed, when } from "../words";

export function Overview({ study, live }: { study: Study; live: Live }) {
  return (
    <>
      <Headline study={study} />
      <Scores study={study} tick={live.tick} />
      <div class="beside uneven">
        <Panel title="Slots">
          <Timeline study={study} tick={live.tick} />
        </Panel>
        <Panel title="What happens">
          <Feed study={study} live={live} />
        </Panel>
      </div>
      {study.arms.length > 1 && <Arms study={study} />}
      <Facts study={study} />
    </>
  );
}

function Headline({ study }: { study: Study }) {
  const { champion, baseline, metric } = study;
  const unit = metric.unit ? ` ${metric.unit}` : "";
  return (
    <div class="headline">
      <div class="claim">
        <h1>{study.task}</h1>
        <p class="quiet">
          {study.summary ? `${study.summary} · ` : ""}
          {metric.goal} <b>{metric.name}</b>
          {unit}
        </p>
        {champion ? (
          <p class="gain">
            <strong>{champion.gain_percent === null || champion.gain_percent === undefined ? signed(champion.gain) : `${champion.gain_percent > 0 ? "+" : ""}${champion.gain_percent.toFixed(2)} %`}</strong>{" "}
            <span>
              {number(baseline?.mean)} → <b>{number(champion.mean)}</b>
              {unit} by <TrialLink id={study.id} trial={champion.trial} />
            </span>
            <span class="quiet">
              gain {signed(champion.gain)}, 95 % {interval(champion.gain_interval)}{" "}
              {champion.basis === "report" ? "on seeds and data held back until the end" : "on the confirmation's fresh seeds"}
            </span>
          </p>
        ) : (
          <p class="gain">
            <strong class="none">no confirmed gain yet</strong>{" "}
            <span class="quiet">
              {baseline ? `the baseline is ${number(baseline.mean)}${unit}, from ${baseline.replicates} replicates` : "the baseline is being measured"}
            </span>
          </p>
        )}
        {study.pins.map((pin) => (
          <p key={pin.arm} class="pins">
            New trials of <b>{pin.arm}</b> start from <TrialLink id={study.id} trial={pin.trial} />, chosen by hand, until one is kept.
          </p>
        ))}
        {study.provenance === "recipe" && <p class="warn">The metric is what the recipe prints of itself.</p>}
        {study.sandbox === "none" && <p class="warn">Recipe code runs unconfined: --sandbox none.</p>}
      </div>
      <dl class="meters">
        {study.meters.map((meter) => (
          <div key={meter.name}>
            <dt>{METERS[meter.name] ?? meter.name}</dt>
            <dd>
              {spent(meter.name, meter.used)}
              {meter.cap !== null && meter.cap !== undefined && (
                <>
                  <span class="quiet"> of {spent(meter.name, meter.cap)}</span>
                  <Bar share={meter.used / meter.cap} />
                </>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

const METERS: Record<string, string> = { trials: "Trials", wall: "Wall time", cpu: "CPU time", gpu: "GPU time", tokens: "Tokens", usd: "For models", calls: "Model calls" };

function spent(name: string, value: number): string {
  if (name === "usd") return `$${value.toFixed(2)}`;
  if (["trials", "tokens", "calls"].includes(name)) return count(value);
  return seconds(value);
}

function Scores({ study, tick }: { study: Study; tick: number }) {
  const [part, zoom] = useState<[number, number] | null>(null);
  const [arm, setArm] = useState("");
  const data = useData<Curve>(at(study.id, "/curve", { from: part?.[0], to: part?.[1], arm }), tick);
  const curve = useLast(data.value);
  const arrow = study.metric.goal === "minimize" ? "↓ lower is better" : "↑ higher is better";
  return (
    <Panel
      title="Score of every trial"
      aside={
        <>
          {study.arms.length > 1 && (
            <label class="choice">
              Arm
              <select value={arm} onChange={(event) => setArm(event.currentTarget.value)}>
                <option value="">all</option>
                {study.arms.map((one) => (
                  <option key={one.name}>{one.name}</option>
                ))}
              </select>
            </label>
          )}
          {part ? <button onClick={() => zoom(null)}>Show all</button> : <span class="quiet hint">drag to zoom, click for a trial</span>}
        </>
      }
    >
      <p class="legend">
        {MARKS.map((mark) => (
          <span key={mark}>
            <Icon mark={mark} />
            {mark === "open" ? "under way" : mark} {mark !== "baseline" && <b>{count(study.marks[mark] ?? 0)}</b>}
          </span>
        ))}
        <span>
          <svg class="icon level" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M0 11H7V4H14" />
          </svg>
          best confirmed
        </span>
        <span>
          <svg class="icon band" viewBox="0 0 14 14" aria-hidden="true">
            <rect y="2" width="14" height="10" />
          </svg>
          baseline ± 2 sd
        </span>
        <span class="quiet">{arrow}</span>
      </p>
      {curve ? (
        curve.range ? (
          <Chart study={study} curve={curve} part={part} zoom={zoom} />
        ) : (
          <p class="quiet">Nothing has been measured yet.</p>
        )
      ) : (
        <Wait data={data} what="The scores" />
      )}
      {curve?.thinned && <p class="quiet small">Where marks crowd, the best, the worst and the first of a stretch stand for the rest. Zoom in for all.</p>}
      {curve && curve.seams.length > 0 && <p class="quiet small">Values left and right of a dashed line cannot be compared: {curve.seams.map((seam) => seam.reason).join("; ")}.</p>}
    </Panel>
  );
}

/** The width of an element, pixels, as it changes. */
function useWidth(usual: number): [(element: HTMLDivElement | null) => void, number] {
  const [element, hold] = useState<HTMLDivElement | null>(null);
  const [wide, set] = useState(usual);
  useEffect(() => {
    if (!element) return;
    const resized = new ResizeObserver(() => set(Math.max(240, element.clientWidth)));
    resized.observe(element);
    return () => resized.disconnect();
  }, [element]);
  return [hold, wide];
}

/** Seconds that the timeline shows at least. */
const SPAN = 30;

function Timeline({ study, tick }: { study: Study; tick: number }) {
  const data = useData<Slots>(at(study.id, "/slots", { limit: 200 }), tick);
  const told = useLast(data.value);
  const [box, wide] = useWidth(600);
  if (!told) return <Wait data={data} what="The slots" />;
  if (told.stretches.length === 0) return <p class="quiet">No replicate has run yet.</p>;
  const ms = (text: string) => new Date(text).getTime();
  const end = Math.max(...told.stretches.map((one) => (one.to ? ms(one.to) : study.at_work ? Date.now() : ms(one.from))));
  const shown = told.stretches.filter((one) => (one.to ? ms(one.to) : end) > end - 1000 * 3600);
  const start = Math.min(...shown.map((one) => ms(one.from)), end - 1000 * SPAN);
  const slots = [...new Set([...told.slots, ...shown.map((one) => one.slot)])].sort();
  const left = 9 * Math.max(...slots.map((slot) => slot.length)) + 6;
  const x = (time: number) => left + ((time - start) / Math.max(1, end - start)) * (wide - left);
  const row = 26;
  return (
    <div ref={box}>
      <svg class="timeline" viewBox={`0 0 ${wide} ${slots.length * row + 22}`} role="img" aria-label={`Slots from ${when(new Date(start).toISOString())} on: ${shown.length} replicates`}>
        {slots.map((slot, place) => (
          <g key={slot}>
            <text class="slot" x="0" y={place * row + 17}>
              {slot}
            </text>
            <line class="rail" x1={left} x2={wide} y1={place * row + 13} y2={place * row + 13} />
          </g>
        ))}
        {shown.map((one) => (
          <Stretch key={`${one.slot}${one.from}`} one={one} from={x(ms(one.from))} to={x(one.to ? ms(one.to) : end)} y={slots.indexOf(one.slot) * row + 3} />
        ))}
        <text class="time" x={left} y={slots.length * row + 16}>
          {clock(new Date(start).toISOString())}
        </text>
        <text class="time end" x={wide} y={slots.length * row + 16}>
          {clock(new Date(end).toISOString())}
        </text>
      </svg>
      <p class="legend small">
        {["search", "confirm", "report", "audit"].map((purpose) => (
          <span key={purpose}>
            <svg class={`icon purpose-${purpose}`} viewBox="0 0 14 14" aria-hidden="true">
              <rect class="stretch" x="0" y="2" width="14" height="10" rx="2" />
            </svg>
            {purpose}
          </span>
        ))}
        <span class="quiet">not usable: outlined</span>
      </p>
    </div>
  );
}

function Stretch({ one, from, to, y }: { one: Occupied; from: number; to: number; y: number }) {
  const wide = Math.max(2, to - from - 1);
  const spoilt = one.cause || one.state === "fenced";
  return (
    <g class={`purpose-${one.purpose} ${spoilt ? "spoilt" : ""}`}>
      <title>{`${one.trial} ${one.purpose}${one.cause ? `: ${plain(one.cause)}` : ""} from ${clock(one.from)} to ${one.to ? clock(one.to) : "now"}`}</title>
      <rect class="stretch" x={from} y={y} width={wide} height="20" rx="3" />
      {wide > 8 * one.trial.length && (
        <text class="within" x={from + wide / 2} y={y + 14.5}>
          {one.trial}
        </text>
      )}
    </g>
  );
}

const TOLD: Record<string, string> = {
  asked: "asked",
  proposed: "proposed",
  leased: "started",
  measured: "measured",
  fenced: "void",
  quarantined: "doubted",
  concluded: "concluded",
  noted: "note",
};

function Feed({ study, live }: { study: Study; live: Live }) {
  const [all, setAll] = useState(false);
  // What happened before anybody looked.
  const before = useData<Events>(at(study.id, "/events", { newest: true, limit: 60 })).value;
  const oldest = live.feed.at(-1)?.seq ?? Infinity;
  const earlier = before?.events.filter((one) => one.seq < oldest) ?? [];
  const shown = [...live.feed, ...earlier].filter((one) => all || !["leased", "asked"].includes(one.name)).slice(0, 60);
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} /> every event
      </label>
      {shown.length === 0 ? (
        <p class="quiet">{study.at_work ? "Waiting for something to happen." : "Nobody is at work on this study."}</p>
      ) : (
        <ol class="feed" tabIndex={0} aria-label="Events, newest first">
          {shown.map((one) => (
            <Told key={one.seq} study={study} one={one} />
          ))}
        </ol>
      )}
    </>
  );
}

function Told({ study, one }: { study: Study; one: Happened }) {
  const verdict = one.name === "concluded" ? (MARKS.find((mark) => one.text.startsWith(`${mark}:`)) ?? "failed") : null;
  return (
    <li data-seq={one.seq}>
      <time dateTime={one.at}>{clock(one.at)}</time>
      <span class="what">
        {one.trial && <TrialLink id={study.id} trial={one.trial} />} {verdict ? <Badge mark={verdict as Mark} /> : <span class="tag">{TOLD[one.name] ?? plain(one.name)}</span>}{" "}
        <span class="text">{verdict ? one.text.replace(/^\w+: /, "") : one.text}</span>
      </span>
    </li>
  );
}

function Arms({ study }: { study: Study }) {
  return (
    <Panel title="Arms">
      <div class="scroll" tabIndex={0} role="region" aria-label="Arms">
        <table>
          <thead>
            <tr>
              <th scope="col">Arm</th>
              <th scope="col" class="num">
                Trials
              </th>
              <th scope="col" class="num">
                Kept
              </th>
              <th scope="col" class="num">
                Failed
              </th>
              <th scope="col">Champion</th>
              <th scope="col" class="num">
                Gain over the baseline
              </th>
              <th scope="col" class="num">
                CPU time
              </th>
            </tr>
          </thead>
          <tbody>
            {study.arms.map((arm) => (
              <tr key={arm.name}>
                <th scope="row">
                  <Link to={address(study.id, `/trials?arm=${encodeURIComponent(arm.name)}`)}>{arm.name}</Link>
                </th>
                <td class="num">{count(arm.trials)}</td>
                <td class="num">{count(arm.marks["keep"] ?? 0)}</td>
                <td class="num">{count(arm.marks["failed"] ?? 0)}</td>
                <td>{arm.champion ? <TrialLink id={study.id} trial={arm.champion} /> : "–"}</td>
                <td class="num">
                  {signed(arm.gain)} <span class="quiet">{interval(arm.gain_interval)}</span>
                </td>
                <td class="num">{seconds(arm.cpu_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Facts({ study }: { study: Study }) {
  const facts: [string, string][] = [
    ["Noise", study.deterministic ? "none: the metric is deterministic" : `sd ${number(study.noise_sd)} of one replicate`],
    ["What can be found", study.power],
    ["False keeps", `${study.error_control === "fdr" ? "share" : "probability"} held at ${100 * study.level} % over the whole study`],
    ["Replicates", count(study.replicates)],
    ["Policy", `${study.policy}, seed ${study.seed}`],
    ["Sandbox", study.sandbox],
    ["Metric measured by", study.provenance],
    ["Began", when(study.started_at)],
    ["Last event", `${when(study.last_at)} (${count(study.seq)})`],
    ["Directory", study.directory],
  ];
  return (
    <Panel title="About this study" aside={study.report && <a href={at(study.id, "/report")}>Report</a>}>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
