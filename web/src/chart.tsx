// The score of every trial. uPlot gives axes, scales and zoom; marks are drawn here, each kind in its own shape.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { Curve, Kept, Mark, Study } from "./shapes";
import { go, study as address } from "./route";
import { number, signed } from "./words";

interface Spot {
  trial: number;
  value: number;
  mark: Mark;
  count: number;
  kept?: Kept;
}

/** Pixels within which a mark is meant. */
const NEAR = 14;

function colours(): Record<string, string> {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "quiet", "line", "baseline", "keep", "inconclusive", "discard", "failed", "open", "band", "level"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function draw(context: CanvasRenderingContext2D, mark: Mark, x: number, y: number, r: number): void {
  context.beginPath();
  switch (mark) {
    case "baseline":
      context.rect(x - r, y - r, 2 * r, 2 * r);
      context.fill();
      break;
    case "keep":
      context.arc(x, y, r * 1.25, 0, 7);
      context.fill();
      break;
    case "inconclusive":
      context.moveTo(x, y - r * 1.3);
      context.lineTo(x + r * 1.3, y);
      context.lineTo(x, y + r * 1.3);
      context.lineTo(x - r * 1.3, y);
      context.closePath();
      context.stroke();
      break;
    case "discard":
      context.arc(x, y, r * 0.62, 0, 7);
      context.fill();
      break;
    case "failed":
      context.moveTo(x - r, y - r);
      context.lineTo(x + r, y + r);
      context.moveTo(x - r, y + r);
      context.lineTo(x + r, y - r);
      context.stroke();
      break;
    case "open":
      context.arc(x, y, r, 0, 7);
      context.stroke();
      break;
  }
}

export function Chart({
  study,
  curve,
  part,
  zoom,
}: {
  study: Study;
  curve: Curve;
  part: [number, number] | null;
  zoom: (part: [number, number] | null) => void;
}) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const held = useRef({ curve, zoom, study });
  held.current = { curve, zoom, study };
  const [under, setUnder] = useState<{ spot: Spot; left: number; top: number } | null>(null);
  const spots = useRef<Spot[]>([]);

  spots.current = curve.series.flatMap((series) =>
    series.trial.map((trial, place) => ({
      trial,
      value: series.score[place] ?? 0,
      mark: series.mark,
      count: series.count[place] ?? 1,
    })),
  );
  for (const kept of curve.keeps) spots.current.push({ trial: kept.trial, value: kept.mean, mark: "keep", count: 1, kept });

  const nearest = (u: uPlot): { spot: Spot; left: number; top: number } | null => {
    const { left, top } = u.cursor;
    if (left === undefined || top === undefined || left < 0) return null;
    let best: { spot: Spot; left: number; top: number } | null = null;
    let distance = NEAR * NEAR;
    for (const spot of spots.current) {
      const x = u.valToPos(spot.trial, "x") - left;
      if (Math.abs(x) > NEAR) continue;
      const y = u.valToPos(spot.value, "y") - top;
      const found = x * x + y * y - (spot.mark === "keep" ? 30 : 0);
      if (found < distance) {
        distance = found;
        best = { spot, left: left + x, top: top + y };
      }
    }
    return best;
  };

  useEffect(() => {
    const box = holder.current;
    if (!box) return;
    const axis = () => colours()["quiet"] ?? "";
    const grid = () => colours()["line"] ?? "";
    const options: uPlot.Options = {
      width: box.clientWidth,
      height: box.clientWidth < 560 ? 280 : 380,
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { show: false }, x: false, y: false },
      scales: {
        x: { time: false, range: () => held.current && bounds(held.current.curve, plotPart.current) },
        y: { range: () => held.current.curve.range as [number, number] | null ?? [0, 1] },
      },
      axes: [
        { stroke: axis, grid: { show: false }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui", values: (_, at) => at.map((v) => (Number.isInteger(v) ? String(v) : "")) },
        { stroke: axis, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px system-ui", size: 66, values: (_, at) => at.map((v) => number(v, 4)) },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        draw: [(u) => paint(u, held.current.curve)],
        setCursor: [(u) => setUnder(nearest(u))],
        setSelect: [
          (u) => {
            if (u.select.width < 6) return;
            const from = Math.max(0, Math.floor(u.posToVal(u.select.left, "x")));
            const to = Math.ceil(u.posToVal(u.select.left + u.select.width, "x"));
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (to - from >= 2) held.current.zoom([from, to]);
          },
        ],
      },
    };
    const made = new uPlot(options, [[0, 1], [null, null]], box);
    plot.current = made;
    const clicked = () => {
      const found = nearest(made);
      if (found) go(address(held.current.study.id, `/trials/t${found.spot.trial}`));
    };
    made.over.addEventListener("click", clicked);
    const resized = new ResizeObserver(() => {
      made.setSize({ width: box.clientWidth, height: box.clientWidth < 560 ? 280 : 380 });
    });
    resized.observe(box);
    const themed = new MutationObserver(() => made.redraw());
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      resized.disconnect();
      themed.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, []);

  const plotPart = useRef(part);
  plotPart.current = part;
  useEffect(() => {
    plot.current?.setData([[0, Math.max(1, curve.last)], [null, null]]);
  }, [curve, part]);

  const words = `${study.metric.name} of ${curve.trials} trials; ${curve.keeps.length} kept, the best confirmed goes from ${number(
    curve.levels[0]?.mean ?? study.baseline?.mean,
  )} to ${number(curve.levels.at(-1)?.mean ?? study.baseline?.mean)}. The page of trials lists them.`;
  return (
    <div class="chart">
      <div ref={holder} role="img" aria-label={words} />
      {under && (
        <div class="tip" ref={(tip) => place(tip, under.left, under.top)}>
          <b>t{under.spot.trial}</b> {under.spot.mark} {number(under.spot.value)}
          {under.spot.count > 1 && <span class="quiet"> and {under.spot.count - 1} like it</span>}
          {under.spot.kept?.interval && (
            <div class="quiet">
              95 % [{number(under.spot.kept.interval[0])}, {number(under.spot.kept.interval[1])}] over {under.spot.kept.replicates}
            </div>
          )}
          {under.spot.kept && <div class="quiet">gain {signed(under.spot.kept.gain)}</div>}
        </div>
      )}
    </div>
  );
}

/** Places the tip through the object model: the content policy allows no style attribute. */
function place(tip: HTMLElement | null, left: number, top: number): void {
  if (!tip) return;
  const wide = tip.parentElement?.clientWidth ?? 0;
  const at = Math.min(left + 78, wide - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(4, at)}px`;
  tip.style.top = `${top - 4}px`;
}

function bounds(curve: Curve, part: [number, number] | null): [number, number] {
  if (part) return [part[0] - 0.5, part[1] + 0.5];
  const margin = Math.max(0.6, 0.012 * curve.last);
  return [-margin, Math.max(1, curve.last) + margin];
}

function paint(u: uPlot, curve: Curve): void {
  const context = u.ctx;
  const colour = colours();
  const ratio = devicePixelRatio || 1;
  const { left, top, width, height } = u.bbox;
  const x = (value: number) => u.valToPos(value, "x", true);
  const y = (value: number) => u.valToPos(value, "y", true);
  const within = (at: number) => Math.max(top, Math.min(top + height, at));
  context.save();
  context.beginPath();
  context.rect(left, top - 4, width, height + 8);
  context.clip();
  context.lineJoin = "round";

  context.fillStyle = colour["band"] ?? "";
  for (const band of curve.bands) {
    const [high, low] = [within(y(band.mean + 2 * band.sd)), within(y(band.mean - 2 * band.sd))];
    const from = band.from === 0 ? left : x(band.from);
    const to = band.to >= curve.last ? left + width : x(band.to);
    context.fillRect(from, Math.min(high, low), to - from, Math.max(1, Math.abs(low - high)));
  }
  context.strokeStyle = colour["quiet"] ?? "";
  context.setLineDash([4 * ratio, 4 * ratio]);
  context.lineWidth = ratio;
  for (const seam of curve.seams) {
    context.beginPath();
    context.moveTo(x(seam.trial - 0.5), top);
    context.lineTo(x(seam.trial - 0.5), top + height);
    context.stroke();
  }
  context.setLineDash([]);

  const most = Math.max(1, ...curve.failed.map((stretch) => stretch.count));
  context.strokeStyle = colour["failed"] ?? "";
  for (const stretch of curve.failed) {
    const long = (4 + 8 * Math.sqrt(stretch.count / most)) * ratio;
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(x(stretch.trial), top + height);
    context.lineTo(x(stretch.trial), top + height - long);
    context.stroke();
  }

  const total = curve.series.reduce((sum, series) => sum + series.trial.length, 0);
  const r = (total > 1500 ? 2 : total > 300 ? 2.8 : 4) * ratio;
  context.lineWidth = (total > 1500 ? 1 : 1.4) * ratio;
  // The many and dull first, so that the few lie on top.
  const order: Mark[] = ["discard", "open", "inconclusive", "baseline"];
  for (const mark of order) {
    const series = curve.series.find((one) => one.mark === mark);
    if (!series) continue;
    context.fillStyle = context.strokeStyle = colour[mark] ?? "";
    context.globalAlpha = mark === "discard" && total > 600 ? 0.65 : 1;
    series.trial.forEach((trial, place) => {
      draw(context, mark, x(trial), within(y(series.score[place] ?? 0)), mark === "baseline" ? Math.max(r, 4 * ratio) : r);
    });
  }
  context.globalAlpha = 1;

  const arms = [...new Set(curve.levels.map((level) => level.arm))];
  arms.forEach((arm, place) => {
    const levels = curve.levels.filter((level) => level.arm === arm);
    context.strokeStyle = colour["level"] ?? "";
    context.lineWidth = 2 * ratio;
    context.setLineDash(place === 0 ? [] : [(3 + 3 * place) * ratio, 3 * ratio]);
    context.beginPath();
    let pen = false;
    levels.forEach((level, at) => {
      if (level.mean === null || level.mean === undefined) {
        pen = false;
        return;
      }
      const next = levels[at + 1];
      const to = next ? x(next.from) : left + width;
      if (pen) context.lineTo(x(level.from), y(level.mean));
      else context.moveTo(x(level.from), y(level.mean));
      context.lineTo(to, y(level.mean));
      pen = true;
    });
    context.stroke();
  });
  context.setLineDash([]);

  const named = curve.keeps.length <= 40;
  context.font = `${11 * ratio}px system-ui`;
  context.textAlign = "center";
  const labels: [number, number][] = [];
  for (const kept of [...curve.keeps].reverse()) {
    const [at, up] = [x(kept.trial), y(kept.mean)];
    context.strokeStyle = context.fillStyle = colour["keep"] ?? "";
    context.lineWidth = 1.4 * ratio;
    if (named && kept.interval) {
      context.beginPath();
      context.moveTo(at, y(kept.interval[0]));
      context.lineTo(at, y(kept.interval[1]));
      context.stroke();
    }
    if (named && kept.score !== null && kept.score !== undefined) {
      context.globalAlpha = 0.55;
      context.setLineDash([2 * ratio, 2 * ratio]);
      context.beginPath();
      context.moveTo(at, y(kept.score));
      context.lineTo(at, up);
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      context.arc(at, y(kept.score), 2.6 * ratio, 0, 7);
      context.stroke();
      context.globalAlpha = 1;
    }
    draw(context, "keep", at, up, (named ? 4.2 : 3) * ratio);
    const ends = named && kept.interval ? [y(kept.interval[0]), y(kept.interval[1])] : [up];
    const below = Math.max(up, ...ends) + 14 * ratio;
    const spot: [number, number] = [at, below < top + height - 2 * ratio ? below : Math.min(up, ...ends) - 9 * ratio];
    if (labels.every(([a, b]) => Math.abs(a - spot[0]) > 26 * ratio || Math.abs(b - spot[1]) > 12 * ratio)) {
      context.fillStyle = colour["ink"] ?? "";
      context.fillText(`t${kept.trial}`, spot[0], spot[1]);
      labels.push(spot);
    }
  }
  context.restore();
}
