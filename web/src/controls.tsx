// What can be asked of a study. Each is confirmed, and recorded in the ledger with a name.

import { useEffect, useState } from "preact/hooks";
import { Refused, answered, ask } from "./api";
import { Dialog } from "./parts";
import type { Study, Trial } from "./shapes";

type Kind = "pause" | "resume" | "stop" | "note" | "budget" | "pin" | "unpin" | "requeue";

const WORDS: Record<Kind, { title: string; what: string; button: string }> = {
  pause: { title: "Pause the study", what: "What runs is finished; no new trials until it is resumed.", button: "Pause" },
  resume: { title: "Resume the study", what: "Trials go on.", button: "Resume" },
  stop: {
    title: "Stop the session",
    what: "What runs is finished and recorded, then the process that is at work ends. The same command goes on later.",
    button: "Stop",
  },
  note: { title: "Write a note", what: "It is kept in the ledger.", button: "Write" },
  budget: { title: "Set the budget", what: "Caps that are left empty stay as they are.", button: "Set" },
  pin: {
    title: "Start new trials from it",
    what: "Every new trial of its arm starts from this one, whatever the policy would choose, until the arm keeps a trial or the pin is taken away. It has no say in what is kept.",
    button: "Pin",
  },
  unpin: { title: "Take the pin away", what: "The policy chooses again where new trials start.", button: "Unpin" },
  requeue: {
    title: "Measure it once more",
    what: "It ended undecided. The same edit is measured again, as a trial of its own, and judged like any other.",
    button: "Measure again",
  },
};

export function Controls({ study, wanted, done }: { study: Study; wanted: string | null; done: () => void }) {
  const [kind, setKind] = useState<Kind | null>(null);
  const [said, say] = useState<string | null>(null);
  const open = (kind: Kind | null) => {
    if (kind) say(null);
    setKind(kind);
  };
  const paused = study.state === "paused";
  useEffect(() => {
    if (wanted && wanted in WORDS) open(wanted as Kind);
    if (wanted) done();
  }, [wanted]);
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => say(null), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <div class="controls">
      <button onClick={() => open(paused ? "resume" : "pause")}>{paused ? "Resume" : "Pause"}</button>
      <button onClick={() => open("stop")} disabled={!study.at_work}>
        Stop
      </button>
      <button onClick={() => open("budget")}>Budget</button>
      <button onClick={() => open("note")}>Note</button>
      {kind && <Confirm study={study} kind={kind} close={() => open(null)} say={say} />}
      <Said text={said} />
    </div>
  );
}

function Said({ text }: { text: string | null }) {
  return (
    <div class="said" role="status">
      {text && <span>{text}</span>}
    </div>
  );
}

/** What can be asked about one trial; why not is told where it is pointed at. */
export function TrialControls({ study, told }: { study: Study; told: Trial }) {
  const [kind, setKind] = useState<Kind | null>(null);
  const [said, say] = useState<string | null>(null);
  const pinned = told.pinned.length > 0;
  const requeue = told.no_requeue ?? null;
  const open = (kind: Kind) => {
    say(null);
    setKind(kind);
  };
  return (
    <div class="controls of-trial">
      <button onClick={() => open(pinned ? "unpin" : "pin")} disabled={!pinned && !!told.no_pin} title={pinned ? undefined : (told.no_pin ?? undefined)}>
        {pinned ? "Unpin" : "Pin"}
      </button>
      <button onClick={() => open("requeue")} disabled={requeue !== null} title={requeue ?? undefined}>
        Measure again
      </button>
      {kind && <Confirm study={study} kind={kind} trial={told.line.trial} close={() => setKind(null)} say={say} />}
      <Said text={said} />
    </div>
  );
}

interface Asking {
  study: Study;
  kind: Kind;
  trial?: string;
  close: () => void;
  say: (text: string) => void;
}

function Confirm({ study, kind, trial, close, say }: Asking) {
  const [by, setBy] = useState(() => localStorage.getItem("empiric-name") ?? "");
  const [text, setText] = useState("");
  const [caps, setCaps] = useState<Caps>({ trials: "", hours: "", cpu: "", usd: "", tokens: "" });
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const words = WORDS[kind];

  const send = async () => {
    setBusy(true);
    setProblem(null);
    localStorage.setItem("empiric-name", by);
    try {
      const posted = await ask(study.id, by.trim(), what(kind, trial, text, caps));
      close();
      if (!posted.at_work) {
        say("Noted; the next session of this study takes it up.");
        return;
      }
      const answer = await answered(study.id, posted.request);
      const done = answer?.trial ? `Done, as ${answer.trial}.` : "Done.";
      say(answer === null ? "It waits in the inbox." : answer.refusal ? `Refused: ${answer.refusal}` : done);
    } catch (error) {
      const refused = error instanceof Refused && error.problem.hint ? ` (${error.problem.hint})` : "";
      setProblem(`${(error as Error).message}${refused}`);
      setBusy(false);
    }
  };

  return (
    <Dialog title={words.title} close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <p>{words.what}</p>
        {kind === "note" && (
          <label>
            Note
            <textarea rows={4} value={text} required onInput={(event) => setText(event.currentTarget.value)} />
          </label>
        )}
        {kind === "budget" && (
          <div class="caps">
            <Cap name="Trials" now={study.budget.trials} value={caps.trials} set={(trials) => setCaps({ ...caps, trials })} />
            <Cap
              name="Wall time, hours"
              now={hours(study.budget.wall_s)}
              value={caps.hours}
              set={(wall) => setCaps({ ...caps, hours: wall })}
            />
            <Cap name="CPU time, hours" now={hours(study.budget.cpu_s)} value={caps.cpu} set={(cpu) => setCaps({ ...caps, cpu })} />
            {study.meters.some((meter) => ["usd", "tokens", "calls"].includes(meter.name)) && (
              <>
                <Cap name="For models, US dollars" now={study.budget.usd} value={caps.usd} set={(usd) => setCaps({ ...caps, usd })} />
                <Cap name="For models, tokens" now={study.budget.tokens} value={caps.tokens} set={(tokens) => setCaps({ ...caps, tokens })} />
              </>
            )}
          </div>
        )}
        <label>
          Your name, as the ledger will have it
          <input
            value={by}
            maxLength={100}
            autoComplete="off"
            placeholder="the user that the server runs as"
            onInput={(event) => setBy(event.currentTarget.value)}
          />
        </label>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="main" disabled={busy}>
            {words.button}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Cap({
  name,
  now,
  value,
  set,
}: {
  name: string;
  now: number | null | undefined;
  value: string;
  set: (value: string) => void;
}) {
  return (
    <label>
      {name}
      <input
        type="number"
        min="0"
        step="any"
        value={value}
        placeholder={now === null || now === undefined ? "no cap" : String(now)}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
  );
}

function hours(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.round(value / 36) / 100;
}

type Caps = Record<"trials" | "hours" | "cpu" | "usd" | "tokens", string>;

function what(kind: Kind, trial: string | undefined, text: string, caps: Caps): Record<string, unknown> {
  if (trial !== undefined) return { kind, trial };
  if (kind === "note") return { kind, text };
  if (kind !== "budget") return { kind };
  const cap = (value: string, times: number) => (value === "" ? undefined : Number(value) * times);
  const [trials, usd, tokens] = [cap(caps.trials, 1), cap(caps.usd, 1), cap(caps.tokens, 1)];
  return { kind, trials, usd, tokens, wall_s: cap(caps.hours, 3600), cpu_s: cap(caps.cpu, 3600) };
}
