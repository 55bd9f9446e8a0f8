// The graph of trials around one of them: parents on the left, what started from them on the right.

import { coordSimplex, decrossTwoLayer, graph, layeringLongestPath, layeringSimplex, sugiyama } from "d3-dag";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { at, useData, useLast } from "../api";
import { Badge, Icon, TrialLink, Wait, shape } from "../parts";
import { go, study as address, usePlace } from "../route";
import type { Graph, Node, Study } from "../shapes";
import { MARKS, count, number, plain, signed } from "../words";

interface Spot {
  node: Node;
  x: number;
  y: number;
}

interface Way {
  from: string;
  to: string;
  path: string;
  chain: boolean;
  merge: boolean;
}

interface Laid {
  spots: Spot[];
  ways: Way[];
  wide: number;
  tall: number;
}

const WIDE = 96;
const TALL = 26;

/** Pixels from a mark's middle to the end of its words. */
function said(node: Node): number {
  return 16 + 7.4 * node.trial.length + (node.hidden ? 12 + 6.6 * String(node.hidden).length : 0);
}

function lay(told: Graph): Laid {
  const made = graph<Node, { chain: boolean; merge: boolean }>();
  const places = new Map(told.nodes.map((node) => [node.trial, made.node(node)]));
  for (const node of told.nodes) {
    const child = places.get(node.trial);
    for (const [place, name] of node.parents.entries()) {
      const parent = places.get(name);
      if (parent && child) made.link(parent, child, { chain: parent.data.chain && node.chain && place === 0, merge: place > 0 });
    }
  }
  const layering = told.nodes.length > 150 ? layeringLongestPath().topDown(true) : layeringSimplex();
  const layout = sugiyama()
    .layering(layering)
    .decross(decrossTwoLayer())
    .coord(coordSimplex())
    .nodeSize(() => [TALL, WIDE])
    .gap([4, 26]);
  const size = layout(made);
  const spots = [...made.nodes()].map((node) => ({ node: node.data, x: node.y, y: node.x }));
  const ways = [...made.links()].map((link) => {
    const [first, ...rest] = link.points.map(([x, y]) => [y, x] as const);
    // Lines begin behind the words.
    const begin = (first?.[0] ?? 0) + said(link.source.data);
    let path = `M${begin} ${first?.[1] ?? 0}`;
    let before = [begin, first?.[1] ?? 0];
    for (const [place, point] of rest.entries()) {
      const to = [point[0] - (place === rest.length - 1 ? 9 : 0), point[1]];
      const middle = ((before[0] ?? 0) + (to[0] ?? 0)) / 2;
      path += `C${middle} ${before[1]} ${middle} ${to[1]} ${to[0]} ${to[1]}`;
      before = to;
    }
    return { from: link.source.data.trial, to: link.target.data.trial, path, chain: link.data.chain, merge: link.data.merge };
  });
  return { spots, ways, wide: size.height, tall: size.width };
}

type View = [number, number, number, number];

export function Lineage({ study, tick }: { study: Study; tick: number }) {
  const place = usePlace();
  const around = place.query.get("around") ?? "";
  const depth = place.query.get("depth") ?? "2";
  const limit = place.query.get("limit") ?? "90";
  const data = useData<Graph>(at(study.id, "/graph", { around, depth, limit }), tick);
  const told = useLast(data.value);
  const set = (words: Record<string, string>) => {
    const query = new URLSearchParams({ around, depth, limit, ...words });
    if (!query.get("around")) query.delete("around");
    go(address(study.id, `/lineage?${query}`), true);
  };
  return (
    <>
      <h1>Lineage</h1>
      <div class="filters">
        <Around key={told?.around} value={told?.around ?? around} set={(trial) => set({ around: trial })} />
        <label class="choice">
          Steps
          <select value={depth} onChange={(event) => set({ depth: event.currentTarget.value })}>
            {["1", "2", "3", "4", "6", "8"].map((steps) => (
              <option key={steps}>{steps}</option>
            ))}
          </select>
        </label>
        <label class="choice">
          Trials at most
          <select value={limit} onChange={(event) => set({ limit: event.currentTarget.value })}>
            {["40", "90", "180", "400"].map((most) => (
              <option key={most}>{most}</option>
            ))}
          </select>
        </label>
        {study.champion && <button onClick={() => set({ around: "champion" })}>To the champion</button>}
        <button onClick={() => set({ around: "baseline" })}>To the baseline</button>
      </div>
      <p class="legend">
        {MARKS.map((mark) => (
          <span key={mark}>
            <Icon mark={mark} /> {mark === "open" ? "under way" : mark}
          </span>
        ))}
        <span>
          <svg class="icon way-chain" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M0 7H14" />
          </svg>
          to the champion
        </span>
        <span>
          <svg class="icon way-merge" viewBox="0 0 14 14" aria-hidden="true">
            <path d="M0 7H14" />
          </svg>
          second parent of a merge
        </span>
      </p>
      {told ? <Drawn study={study} told={told} set={(trial) => set({ around: trial })} /> : <Wait data={data} what="The lineage" />}
      {data.problem && told && <Wait data={data} what="The lineage" />}
    </>
  );
}

function Around({ value, set }: { value: string; set: (trial: string) => void }) {
  const [text, setText] = useState(value);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        set(text.trim());
      }}
    >
      <label class="choice">
        Around
        <input size={8} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
    </form>
  );
}

function Drawn({ study, told, set }: { study: Study; told: Graph; set: (trial: string) => void }) {
  const key = useMemo(() => told.nodes.map((node) => `${node.trial}${node.mark}${node.chain}${node.parents}`).join(" "), [told]);
  const laid = useMemo(() => lay(told), [key]);
  const whole: View = [-30, -18, laid.wide + 60, laid.tall + 36];
  const box = useRef<SVGSVGElement>(null);
  const [view, setView] = useState<View>(whole);
  const [chosen, choose] = useState(told.around);
  const drag = useRef<{ x: number; y: number; view: View } | null>(null);

  const centre = (trial: string): View => {
    const spot = laid.spots.find((one) => one.node.trial === trial);
    const shown = box.current?.clientWidth ?? 900;
    const tall = box.current?.clientHeight ?? 560;
    // One unit a pixel, unless the whole is smaller.
    const [w, h] = [Math.max(shown, 300), Math.max(tall, 260)];
    if (whole[2] <= w && whole[3] <= h) return [whole[0] - (w - whole[2]) / 2, whole[1] - (h - whole[3]) / 2, w, h];
    return spot ? [spot.x - w / 2, spot.y - h / 2, w, h] : whole;
  };
  useEffect(() => {
    choose(told.around);
    setView(centre(told.around));
  }, [told.around, laid]);

  const zoom = (by: number, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) =>
    setView(([left, top, w, h]) => {
      const wide = Math.min(Math.max(w * by, 160), Math.max(4 * whole[2], 3000));
      const tall = (wide * h) / w;
      return [x - ((x - left) * wide) / w, y - ((y - top) * tall) / h, wide, tall];
    });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaY) < 1) return;
      event.preventDefault();
      const rect = element.getBoundingClientRect();
      const x = view[0] + ((event.clientX - rect.left) / rect.width) * view[2];
      const y = view[1] + ((event.clientY - rect.top) / rect.height) * view[3];
      zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, x, y);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  });

  const node = told.nodes.find((one) => one.trial === chosen) ?? told.nodes[0];
  const move = (to: string | undefined) => {
    if (!to) return;
    choose(to);
    box.current?.querySelector<SVGGElement>(`[data-trial="${to}"]`)?.focus();
  };
  const pressed = (event: KeyboardEvent, spot: Spot) => {
    const children = told.nodes.filter((one) => one.parents[0] === spot.node.trial);
    const siblings = told.nodes.filter((one) => one.parents[0] === spot.node.parents[0]).sort((a, b) => y(a) - y(b));
    const own = siblings.findIndex((one) => one.trial === spot.node.trial);
    if (event.key === "ArrowLeft") move(spot.node.parents[0]);
    else if (event.key === "ArrowRight") move((children.find((one) => one.chain) ?? children[0])?.trial);
    else if (event.key === "ArrowUp") move(siblings[own - 1]?.trial);
    else if (event.key === "ArrowDown") move(siblings[own + 1]?.trial);
    else if (event.key === "Enter") go(address(study.id, `/trials/${spot.node.trial}`));
    else if (event.key === " ") set(spot.node.trial);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const y = (one: Node) => laid.spots.find((spot) => spot.node.trial === one.trial)?.y ?? 0;

  return (
    <div class="lineage">
      <div class="canvas">
        <svg
          ref={box}
          viewBox={view.join(" ")}
          role="group"
          aria-label={`Graph of ${told.nodes.length} of ${told.total} trials around ${told.around}. Arrow keys go along it, Enter opens a trial, space goes around it.`}
          onPointerDown={(event) => {
            if (event.button !== 0) return;
            drag.current = { x: event.clientX, y: event.clientY, view };
          }}
          onPointerMove={(event) => {
            const from = drag.current;
            const rect = box.current?.getBoundingClientRect();
            if (!from || !rect) return;
            const scale = from.view[2] / rect.width;
            const [dx, dy] = [(event.clientX - from.x) * scale, (event.clientY - from.y) * scale];
            if (Math.abs(dx) + Math.abs(dy) > 3 * scale) setView([from.view[0] - dx, from.view[1] - dy, from.view[2], from.view[3]]);
          }}
          onPointerUp={() => (drag.current = null)}
          onPointerLeave={() => (drag.current = null)}
        >
          {laid.ways.map((way) => (
            <path key={`${way.from} ${way.to}`} class={`way ${way.chain ? "way-chain" : ""} ${way.merge ? "way-merge" : ""}`} d={way.path} />
          ))}
          {laid.spots.map((spot) => (
            <g
              key={spot.node.trial}
              data-trial={spot.node.trial}
              class={`node mark-${spot.node.mark} ${spot.node.trial === chosen ? "chosen" : ""} ${spot.node.champion ? "champion" : ""}`}
              transform={`translate(${spot.x} ${spot.y})`}
              tabIndex={spot.node.trial === chosen ? 0 : -1}
              role="button"
              aria-label={`${spot.node.trial}, ${spot.node.mark}${spot.node.champion ? ", champion" : ""}${spot.node.hidden ? `, ${spot.node.hidden} more start from it` : ""}`}
              onClick={() => choose(spot.node.trial)}
              onDblClick={() => set(spot.node.trial)}
              onKeyDown={(event) => pressed(event, spot)}
              onFocus={() => choose(spot.node.trial)}
            >
              <rect class="hit" x="-12" y="-12" width="84" height="24" rx="12" />
              {spot.node.champion && <circle class="ring" r="10" />}
              <g transform="translate(-7 -7)">{shape(spot.node.mark, 4.8)}</g>
              <text x="12" y="4">
                {spot.node.trial}
              </text>
            </g>
          ))}
          {laid.spots
            .filter((spot) => spot.node.hidden > 0)
            .map((spot) => (
              <text key={spot.node.trial} class="hidden-count" x={spot.x + 20 + 7.2 * spot.node.trial.length} y={spot.y + 4}>
                +{count(spot.node.hidden)}
              </text>
            ))}
        </svg>
        <div class="zoom">
          <button onClick={() => zoom(1 / 1.3)} aria-label="Closer">
            +
          </button>
          <button onClick={() => zoom(1.3)} aria-label="Farther">
            −
          </button>
          <button onClick={() => setView(whole)} aria-label="All of it">
            ⤢
          </button>
        </div>
      </div>
      {node && (
        <aside class="panel" aria-live="polite">
          <h2>
            {node.trial} <Badge mark={node.mark} />
          </h2>
          <dl class="facts short">
            <div>
              <dt>{study.metric.name}</dt>
              <dd>{number(node.score)}</dd>
            </div>
            <div>
              <dt>Gain</dt>
              <dd>{node.gain === null || node.gain === undefined ? "–" : signed(node.gain)}</dd>
            </div>
            <div>
              <dt>Operator</dt>
              <dd>{plain(node.operator)}</dd>
            </div>
            <div>
              <dt>Arm</dt>
              <dd>{node.arm ?? "–"}</dd>
            </div>
          </dl>
          <p>
            <TrialLink id={study.id} trial={node.trial}>
              Open {node.trial}
            </TrialLink>{" "}
            <button onClick={() => set(node.trial)}>Around it</button>
          </p>
          {node.hidden > 0 && <p class="quiet small">{count(node.hidden)} more start from it and are not drawn.</p>}
          <p class="quiet small">
            {count(told.nodes.length)} of {count(told.total)} trials are drawn: kept ones, and the neighbours of {told.around}.
          </p>
        </aside>
      )}
    </div>
  );
}
