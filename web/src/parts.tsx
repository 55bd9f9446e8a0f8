// Small parts that pages share.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Line, Mark } from "./shapes";
import type { Data } from "./api";
import { Link, study } from "./route";
import { number, plain, signed } from "./words";

/** The shape of a mark, around the middle of a 14 by 14 box: never told by colour alone. */
export function shape(mark: Mark, r = 4.4): JSX.Element {
  switch (mark) {
    case "baseline":
      return <rect x={7 - r} y={7 - r} width={2 * r} height={2 * r} rx={0.8} />;
    case "keep":
      return <circle cx={7} cy={7} r={r * 1.15} />;
    case "inconclusive":
      return <path d={`M7 ${7 - r * 1.3}l${r * 1.3} ${r * 1.3}l${-r * 1.3} ${r * 1.3}l${-r * 1.3} ${-r * 1.3}z`} />;
    case "discard":
      return <circle cx={7} cy={7} r={r * 0.5} />;
    case "failed":
      return <path d={`M${7 - r * 0.85} ${7 - r * 0.85}l${r * 1.7} ${r * 1.7}m${-r * 1.7} 0l${r * 1.7} ${-r * 1.7}`} />;
    case "open":
      return <circle cx={7} cy={7} r={r * 0.95} />;
  }
}

export function Icon({ mark }: { mark: Mark }) {
  return (
    <svg class={`icon mark-${mark}`} viewBox="0 0 14 14" aria-hidden="true">
      {shape(mark)}
    </svg>
  );
}

export function Badge({ mark, text }: { mark: Mark; text?: string }) {
  return (
    <span class={`badge badge-${mark}`}>
      <Icon mark={mark} />
      {text ?? mark}
    </span>
  );
}

export function TrialLink({ id, trial, children }: { id: string; trial: string; children?: ComponentChildren }) {
  return (
    <Link class="trial" to={study(id, `/trials/${trial}`)}>
      {children ?? trial}
    </Link>
  );
}

/** What a trial is about: which failure, or its hypothesis. */
export function about(line: Line): string {
  return line.hypothesis ?? (line.cause ? `${plain(line.cause)} in ${plain(line.phase)}` : "no edit yet");
}

export function Trials({ id, lines, metric, empty, name }: { id: string; lines: Line[]; metric: string; empty?: string; name: string }) {
  if (lines.length === 0) return <p class="quiet">{empty ?? "None."}</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
      <table class="trials">
        <thead>
          <tr>
            <th scope="col">Trial</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="num">
              {metric}
            </th>
            <th scope="col" class="num">
              Gain
            </th>
            <th scope="col">Idea</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.trial}>
              <td>
                <TrialLink id={id} trial={line.trial} />
              </td>
              <td>
                <Badge mark={line.mark} text={line.cause ? plain(line.cause) : line.mark} />
              </td>
              <td class="num">{number(line.score)}</td>
              <td class="num">{line.gain === null || line.gain === undefined ? "" : signed(line.gain)}</td>
              <td class="idea">
                <span class="tag">{plain(line.operator)}</span> {about(line)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What is shown while something is on its way, or did not come. */
export function Wait<T>({ data, what }: { data: Data<T>; what: string }) {
  if (data.problem) {
    return (
      <p class="problem" role="alert">
        {what}: {data.problem.message} <button onClick={data.again}>Try again</button>
      </p>
    );
  }
  return <p class="quiet" aria-busy="true">{`Reading ${what.toLowerCase()} …`}</p>;
}

export function Panel({
  title,
  aside,
  children,
  class: name,
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}) {
  return (
    <section class={`panel ${name ?? ""}`}>
      <header>
        <h2>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

export function Bar({ share, mark }: { share: number; mark?: Mark }) {
  return (
    <svg class={`bar ${mark ? `mark-${mark}` : ""}`} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width="100" height="8" rx="2" />
      <rect class="fill" width={Math.max(0, Math.min(100, 100 * share))} height="8" rx="2" />
    </svg>
  );
}

/** A dialog that is open as long as it is there. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div class="dialog">
        <h2 id="dialog-title">{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
