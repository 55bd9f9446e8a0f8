// What can be asked of a study. Each is confirmed, and recorded in the ledger with a name.

import { useEffect, useState } from "preact/hooks";
import { Refused, answered, ask } from "./api";
import { Dialog } from "./parts";
import type { Study } from "./shapes";

type Kind = "pause" | "resume" | "stop" | "note" | "budget";

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
      <div class="said" role="status">
        {said && <span>{said}</span>}
      </div>
    </div>
  );
}

function Confirm({ study, kind, close, say }: { study: Study; kind: Kind; close: () => void; say: (text: string) => void }) {
  const [by, setBy] = useState(() => localStorage.getItem("empiric-name") ?? "");
  const [text, setText] = useState("");
  const [caps, setCaps] = useState({ trials: "", hours: "", cpu: "" });
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const words = WORDS[kind];

  const send = async () => {
    setBusy(true);
    setProblem(null);
    localStorage.setItem("empiric-name", by);
    try {
      const posted = await ask(study.id, by.trim(), what(kind, text, caps));
      close();
      if (!posted.at_work) {
        say("Noted; the next session of this study takes it up.");
        return;
      }
      const answer = await answered(study.id, posted.request);
      say(answer === null ? "It waits in the inbox." : answer.refusal ? `Refused: ${answer.refusal}` : "Done.");
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

function what(kind: Kind, text: string, caps: { trials: string; hours: string; cpu: string }): Record<string, unknown> {
  if (kind === "note") return { kind, text };
  if (kind !== "budget") return { kind };
  const cap = (value: string, times: number) => (value === "" ? undefined : Number(value) * times);
  const trials = cap(caps.trials, 1);
  return { kind, trials, wall_s: cap(caps.hours, 3600), cpu_s: cap(caps.cpu, 3600) };
}
