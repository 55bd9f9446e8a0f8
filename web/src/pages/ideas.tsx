// Ideas and insights: what has worked, what nearly did, what was written down.

import { at, useData, useLast } from "../api";
import { Bar, Panel, Trials, Wait } from "../parts";
import { Link, study as address } from "../route";
import type { Family, Insights, Notes, Study } from "../shapes";
import { count, plain, seconds, signed, when } from "../words";

export function Ideas({ study, tick }: { study: Study; tick: number }) {
  const data = useData<Insights>(at(study.id, "/insights"), tick);
  const notes = useLast(useData<Notes>(at(study.id, "/notes"), tick).value);
  const told = useLast(data.value);
  if (!told) return <Wait data={data} what="Ideas" />;
  return (
    <>
      <h1>Ideas and insights</h1>
      <Panel title="Largest confirmed gains">
        <Trials id={study.id} name="Largest confirmed gains" lines={told.gains} metric={study.metric.name} empty="Nothing has been kept yet." />
      </Panel>
      <div class="beside">
        <Families study={study} title="By operator" by="operator" families={told.operators} />
        {told.surfaces.some((family) => family.name) && <Families study={study} title="By surface" by="surface" families={told.surfaces} />}
        {told.proposers.length > 1 && <Families study={study} title="By proposer" by="proposer" families={told.proposers} />}
        {told.arms.length > 1 && <Families study={study} title="By arm" by="arm" families={told.arms} />}
      </div>
      <Panel title="Undecided, and close">
        <Trials id={study.id} name="Undecided trials" lines={told.undecided} metric={study.metric.name} empty="Nothing is undecided." />
      </Panel>
      <Panel title="Notes">
        {notes && notes.notes.length > 0 ? (
          <ol class="notes">
            {notes.notes.map((note) => (
              <li key={note.seq}>
                <p>{note.text}</p>
                <p class="quiet small">
                  {note.by}, {when(note.at)}
                </p>
              </li>
            ))}
          </ol>
        ) : (
          <p class="quiet">Nobody has written anything down. Press n.</p>
        )}
      </Panel>
      <Panel title="Asked for last">
        <Trials id={study.id} name="Trials asked for last" lines={told.latest} metric={study.metric.name} />
      </Panel>
    </>
  );
}

function Families({ study, title, by, families }: { study: Study; title: string; by: string; families: Family[] }) {
  const most = Math.max(1, ...families.map((family) => family.trials));
  return (
    <Panel title={title}>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}>
        <table class="bars">
          <thead>
            <tr>
              <th scope="col">{by}</th>
              <th scope="col">
                <span class="hidden">Share</span>
              </th>
              <th scope="col" class="num">
                Trials
              </th>
              <th scope="col" class="num">
                Kept
              </th>
              <th scope="col" class="num">
                Failed
              </th>
              <th scope="col" class="num">
                Gained
              </th>
              <th scope="col" class="num">
                CPU
              </th>
            </tr>
          </thead>
          <tbody>
            {families.map((family) => (
              <tr key={family.name ?? ""}>
                <th scope="row">{family.name ? <Link to={address(study.id, `/trials?${by}=${encodeURIComponent(family.name)}`)}>{plain(family.name)}</Link> : <span class="quiet">none</span>}</th>
                <td class="draw">
                  <Bar share={family.trials / most} />
                </td>
                <td class="num">{count(family.trials)}</td>
                <td class="num">{count(family.keeps)}</td>
                <td class="num">{count(family.failed)}</td>
                <td class="num">{family.keeps ? signed(family.gained) : ""}</td>
                <td class="num quiet">{seconds(family.cpu_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
