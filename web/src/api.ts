// Asking the server, and staying up to date with it. The page uses nothing but the interface of docs/openapi.json.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Answered, Happened, Posted, Problem } from "./shapes";

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.error);
  }
}

async function reply<T>(response: Response): Promise<T> {
  const text = await response.text();
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.slice(0, 300) || response.statusText };
  }
  if (!response.ok) throw new Refused(response.status, body as Problem);
  return body as T;
}

export type Words = Record<string, string | number | boolean | null | undefined>;

/** The address of something in a study. */
export function at(study: string, path: string, words: Words = {}): string {
  const query = Object.entries(words)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .join("&");
  return `/api/studies/${encodeURIComponent(study)}${path}${query ? `?${query}` : ""}`;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return reply<T>(await fetch(path, { signal, headers: { accept: "application/json" } }));
}

export async function ask(study: string, by: string, what: Record<string, unknown>): Promise<Posted> {
  const response = await fetch(at(study, "/requests"), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ by: by || undefined, ask: what }),
  });
  return reply<Posted>(response);
}

/** Waits until a request is answered, for some seconds; null when it waits still. */
export async function answered(study: string, request: string): Promise<Answered | null> {
  for (let look = 0; look < 40; look += 1) {
    const found = await get<Answered>(at(study, `/requests/${request}`));
    if (found.answered) return found;
    await new Promise((done) => setTimeout(done, 150));
  }
  return null;
}

export interface Data<T> {
  value: T | null;
  problem: Refused | Error | null;
  again: () => void;
}

/** What lies at `path`, read again whenever `tick` changes; what was there stays until the new is. */
export function useData<T>(path: string | null, tick: unknown = 0): Data<T> {
  const [state, set] = useState<{ path: string | null; value: T | null; problem: Error | null }>({
    path: null,
    value: null,
    problem: null,
  });
  const [turn, next] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const aborting = new AbortController();
    get<T>(path, aborting.signal).then(
      (value) => set({ path, value, problem: null }),
      (problem: Error) => {
        if (!aborting.signal.aborted) set((before) => ({ path, value: before.path === path ? before.value : null, problem }));
      },
    );
    return () => aborting.abort();
  }, [path, tick, turn]);
  const again = useCallback(() => next((before) => before + 1), []);
  const current = state.path === path;
  return { value: current ? state.value : null, problem: current ? state.problem : null, again };
}

/** A value that is kept while the next one is on its way. */
export function useLast<T>(value: T | null): T | null {
  const last = useRef<T | null>(null);
  if (value !== null) last.current = value;
  return last.current;
}

export type Line = "live" | "waiting" | "off";

export interface Live {
  /** Grows with what happens, at most once a second. */
  tick: number;
  line: Line;
  /** The newest first. */
  feed: Happened[];
}

const FEED = 200;

/** Events of a study as they happen. The browser takes up a broken connection by itself, after the last event it saw. */
export function useLive(study: string | null, from: number | null): Live {
  const [live, set] = useState<Live>({ tick: 0, line: "off", feed: [] });
  useEffect(() => {
    if (study === null || from === null) return;
    const source = new EventSource(at(study, "/live", { after: from }));
    let waiting: Happened[] = [];
    let timer: ReturnType<typeof setTimeout> | null = null;
    const flush = () => {
      timer = null;
      const fresh = waiting.reverse();
      waiting = [];
      set((before) => ({ ...before, tick: before.tick + 1, feed: [...fresh, ...before.feed].slice(0, FEED) }));
    };
    source.onopen = () => set((before) => ({ ...before, line: "live" }));
    source.onerror = () => set((before) => ({ ...before, line: "waiting" }));
    source.onmessage = (message) => {
      waiting.push(JSON.parse(message.data as string) as Happened);
      timer ??= setTimeout(flush, 700);
    };
    return () => {
      source.close();
      if (timer) clearTimeout(timer);
      set({ tick: 0, line: "off", feed: [] });
    };
  }, [study, from]);
  return live;
}
