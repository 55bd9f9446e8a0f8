// Which studies there are.

import { useEffect } from "preact/hooks";
import { useData } from "../api";
import { Wait } from "../parts";
import { Link, study } from "../route";
import type { Studies as Told } from "../shapes";
import { ago, count, plain } from "../words";

export function Studies() {
  const data = useData<Told>("/api/studies");
  useEffect(() => {
    document.title = "Empiric";
  }, []);
  if (!data.value) return <Wait data={data} what="The studies" />;
  const { studies } = data.value;
  return (
    <>
      <h1>Studies</h1>
      {studies.length === 0 && (
        <p class="quiet">
          There is none here yet. <code>empiric run TASK</code> begins one.
        </p>
      )}
      <div class="entries">
        {studies.map((entry) => (
          <Link key={entry.id} class="entry" to={study(entry.id)}>
            <span class="name">{entry.id}</span>
            {entry.problem ? (
              <span class="problem">{entry.problem}</span>
            ) : (
              <>
                <span class="quiet">
                  {entry.task}: {entry.metric?.goal} {entry.metric?.name}
                </span>
                <span class={`state state-${entry.state}`}>
                  <i aria-hidden="true" /> {plain(entry.state)}
                </span>
                <span class="figures">
                  <b>{count(entry.trials ?? 0)}</b> trials <b>{count(entry.keeps ?? 0)}</b> kept
                </span>
                <span class="gain">
                  {entry.gain_percent === null || entry.gain_percent === undefined
                    ? "no gain yet"
                    : `${entry.gain_percent > 0 ? "+" : ""}${entry.gain_percent.toFixed(2)} %`}
                </span>
                <span class="quiet">{ago(entry.last_at)}</span>
              </>
            )}
          </Link>
        ))}
      </div>
    </>
  );
}
