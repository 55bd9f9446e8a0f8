// Why trials failed: who is to blame, where, of what, and what is recognised as the same.

import { at, useData, useLast } from "../api";
import { Bar, Panel, TrialLink, Wait } from "../parts";
import { Link, study as address } from "../route";
import type { Failures as Told, Study } from "../shapes";
import { count, plain, seconds } from "../words";

const BLAMES: Record<string, string> = {
  edit: "the edit does not apply, or may not be made",
  recipe: "the recipe's code as it ran",
  gate: "a declared constraint",
  budget: "a declared limit on a resource",
  evaluator: "the evaluator; no idea is held to it",
  validity: "the measurement cannot be believed",
  infra: "the machine; no idea is held to it",
};

export function Failures({ study, tick }: { study: Study; tick: number }) {
  const data = useData<Told>(at(study.id, "/failures"), tick);
  const told = useLast(data.value);
  if (!told) return <Wait data={data} what="Failures" />;
  const blames = [...new Set(told.groups.map((group) => group.blame))]
    .map((blame) => {
      const groups = told.groups.filter((group) => group.blame === blame);
      return { blame, groups, trials: groups.reduce((sum, group) => sum + group.trials, 0) };
    })
    .sort((a, b) => b.trials - a.trials);
  return (
    <>
      <h1>Failures</h1>
      <p class="quiet">
        {count(told.failed)} of {count(told.ended)} ended trials failed.
      </p>
      {blames.length > 0 && (
        <Panel title="Who is to blame, where, of what">
          {blames.map(({ blame, groups, trials }) => (
            <div class="blame" key={blame}>
              <h3>
                <Link to={address(study.id, `/trials?blame=${blame}`)}>{blame}</Link> <b>{count(trials)}</b> <span class="quiet">{BLAMES[blame]}</span>
              </h3>
              <div class="scroll" tabIndex={0} role="region" aria-label={`Failures blamed on ${blame}`}>
                <table class="bars">
                  <tbody>
                    {groups.map((group) => (
                      <tr key={group.phase + group.cause}>
                        <th scope="row">
                          <Link to={address(study.id, `/trials?blame=${blame}&cause=${group.cause}&phase=${group.phase}`)}>{plain(group.cause)}</Link>
                        </th>
                        <td class="quiet">in {group.phase}</td>
                        <td class="draw">
                          <Bar share={group.trials / Math.max(1, told.failed)} mark="failed" />
                        </td>
                        <td class="num">{count(group.trials)}</td>
                        <td class="num quiet">{seconds(group.cpu_s)}</td>
                        <td>
                          <TrialLink id={study.id} trial={group.last} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </div>
          ))}
        </Panel>
      )}
      {told.signatures.length > 0 && (
        <Panel title={`Recognised as the same (${count(told.signatures_total)})`}>
          <div class="scroll" tabIndex={0} role="region" aria-label="Signatures of failures">
            <table>
              <thead>
                <tr>
                  <th scope="col" class="num">
                    Trials
                  </th>
                  <th scope="col">Blame, phase</th>
                  <th scope="col">What it is recognised by</th>
                  <th scope="col">Last ones</th>
                </tr>
              </thead>
              <tbody>
                {told.signatures.map((one) => (
                  <tr key={one.hash}>
                    <td class="num">
                      <Link to={address(study.id, `/trials?signature=${one.hash}`)}>{count(one.trials)}</Link>
                    </td>
                    <td class="nowrap">
                      {one.blame}, {one.phase}
                    </td>
                    <td>
                      <code class="wrap">{one.text}</code>
                    </td>
                    <td class="nowrap">
                      {one.examples.map((trial) => (
                        <TrialLink key={trial} id={study.id} trial={trial} />
                      ))}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
      )}
    </>
  );
}
