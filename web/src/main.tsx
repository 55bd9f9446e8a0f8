// The frame around every page: where one is, the tabs of a study, the keys, light and dark.

import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { at, useData, useLive } from "./api";
import { Controls } from "./controls";
import { Compare } from "./pages/compare";
import { Failures } from "./pages/failures";
import { Ideas } from "./pages/ideas";
import { Lineage } from "./pages/lineage";
import { Studies } from "./pages/studies";
import { Overview } from "./pages/study";
import { Trial } from "./pages/trial";
import { List } from "./pages/trials";
import { Dialog, Wait } from "./parts";
import { Link, go, study as address, usePlace } from "./route";
import type { Study } from "./shapes";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { plain } from "./words";

const TABS = [
  ["", "Overview"],
  ["/trials", "Trials"],
  ["/lineage", "Lineage"],
  ["/failures", "Failures"],
  ["/ideas", "Ideas"],
  ["/compare", "Compare"],
] as const;

const KEYS: [string, string][] = [
  ["1 – 6", "go to a tab of the study"],
  ["j, k", "next and previous line"],
  ["g, G", "newest and oldest trials"],
  ["Enter", "open the line"],
  ["c", "the champion"],
  ["l", "the lineage"],
  ["/", "filter"],
  ["Esc", "back, or drop the filter"],
  ["p, r, s", "pause, resume, stop"],
  ["n", "write a note"],
  ["u", "back to the studies"],
  ["d", "light or dark"],
  ["?", "this list"],
];

const ASKS: Record<string, string> = { p: "pause", r: "resume", s: "stop", n: "note" };

type Theme = "light" | "dark";

function useTheme(): [Theme, () => void] {
  const [theme, set] = useState<Theme>(() => {
    const kept = localStorage.getItem("empiric-theme");
    if (kept === "light" || kept === "dark") return kept;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  });
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  const turn = () =>
    set((before) => {
      const after = before === "dark" ? "light" : "dark";
      localStorage.setItem("empiric-theme", after);
      return after;
    });
  return [theme, turn];
}

/** Moves the focus to another line of the table in view. */
function step(by: number): void {
  const links = [...document.querySelectorAll<HTMLAnchorElement>("main table a.trial, main .entries a.entry")];
  const from = links.indexOf(document.activeElement as HTMLAnchorElement);
  links[Math.min(links.length - 1, Math.max(0, from + by))]?.focus();
}

function App() {
  const place = usePlace();
  const [theme, turn] = useTheme();
  const [help, setHelp] = useState(false);
  const [wanted, setWanted] = useState<string | null>(null);
  const id = place.path[0] === "s" ? (place.path[1] ?? null) : null;
  const page = id ? (place.path[2] ?? "") : "";
  const named = id ? place.path[3] : undefined;

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) {
        if (event.key === "Escape") target.blur();
        return;
      }
      const tab = TABS[Number(event.key) - 1];
      const asked = id ? ASKS[event.key] : undefined;
      if (id && tab) go(address(id, tab[0]));
      else if (event.key === "j") step(1);
      else if (event.key === "k") step(-1);
      else if (event.key === "u") go("/");
      else if (event.key === "d") turn();
      else if (event.key === "?") setHelp(true);
      else if (id && event.key === "g") go(address(id, "/trials"));
      else if (id && event.key === "G") go(address(id, "/trials?order=oldest"));
      else if (id && event.key === "c") go(address(id, "/trials/champion"));
      else if (id && event.key === "l") go(address(id, `/lineage${named ? `?around=${named}` : ""}`));
      else if (id && event.key === "/") {
        if (page !== "trials" || named) go(address(id, "/trials"));
        setTimeout(() => document.querySelector<HTMLElement>("main .filters select")?.focus(), 50);
      } else if (id && event.key === "Escape") {
        if (location.search) go(location.pathname);
        else if (named) history.back();
        else return;
      } else if (asked) setWanted(asked);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [id, page, named]);

  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="top">
        <Link class="brand" to="/">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M5 12H12V18H19V24H27" />
            <circle cx="19" cy="11" r="2.6" />
          </svg>
          Empiric
        </Link>
        {id && <span class="crumb">{id}</span>}
        <span class="grow" />
        <button class="plain" onClick={turn} aria-label={theme === "dark" ? "Use light colours" : "Use dark colours"}>
          {theme === "dark" ? "☀" : "☾"}
        </button>
        <button class="plain" onClick={() => setHelp(true)} aria-label="Keys">
          ?
        </button>
      </header>
      {id ? <Within key={id} id={id} page={page} wanted={wanted} done={() => setWanted(null)} /> : <Main><Studies /></Main>}
      {help && (
        <Dialog title="Keys" close={() => setHelp(false)}>
          <dl class="keys">
            {KEYS.map(([key, what]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
          <div class="buttons">
            <button class="main" onClick={() => setHelp(false)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Main({ children }: { children: preact.ComponentChildren }) {
  return (
    <main id="main" tabIndex={-1}>
      {children}
    </main>
  );
}

function Within({ id, page, wanted, done }: { id: string; page: string; wanted: string | null; done: () => void }) {
  const place = usePlace();
  const first = useData<Study>(at(id, ""));
  const from = first.value ? first.value.seq : null;
  const [start, setStart] = useState<number | null>(null);
  useEffect(() => {
    if (start === null && from !== null) setStart(from);
  }, [from]);
  const live = useLive(id, start);
  const fresh = useData<Study>(start === null ? null : at(id, ""), live.tick);
  const told = fresh.value ?? first.value;
  const tabs = useMemo(
    () =>
      TABS.map(([path, name]) => (
        <Link key={path} to={address(id, path)} current={`/${page}` === (path || "/")}>
          {name}
        </Link>
      )),
    [id, page],
  );
  useEffect(() => {
    document.title = told ? `${told.task} – Empiric` : "Empiric";
  }, [told?.task]);
  if (!told) {
    return (
      <Main>
        <Wait data={first} what="The study" />
      </Main>
    );
  }
  const named = place.path[3];
  return (
    <>
      <section class="under" aria-label="The study and what can be asked of it">
        <nav class="tabs" aria-label="Pages of the study">
          {tabs}
        </nav>
        <span class={`state state-${told.state}`}>
          <i aria-hidden="true" /> {plain(told.state)}
        </span>
        <span class={`line line-${live.line}`} role="status">
          {live.line === "live" ? "live" : live.line === "waiting" ? "connection lost, trying again" : ""}
        </span>
        <Controls study={told} wanted={wanted} done={done} />
      </section>
      <Main>
        {page === "" && <Overview study={told} live={live} />}
        {page === "trials" && !named && <List study={told} tick={live.tick} />}
        {page === "trials" && named && <Trial key={named} study={told} trial={named} tick={live.tick} />}
        {page === "lineage" && <Lineage study={told} tick={live.tick} />}
        {page === "failures" && <Failures study={told} tick={live.tick} />}
        {page === "ideas" && <Ideas study={told} tick={live.tick} />}
        {page === "compare" && <Compare study={told} />}
      </Main>
    </>
  );
}

const root = document.getElementById("root");
if (root) render(<App />, root);
