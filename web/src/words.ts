// Numbers, times and names as people read them.

export function number(value: number | null | undefined, digits = 5): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4 || size >= 9) return value.toExponential(Math.max(0, digits - 2)).replace("-", "−");
  return value.toFixed(Math.min(8, Math.max(0, digits - 1 - size))).replace("-", "−");
}

export function signed(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return "–";
  return `${value < 0 ? "−" : "+"}${number(Math.abs(value), digits)}`;
}

export function interval(ends: readonly number[] | null | undefined, digits = 4): string {
  if (!ends) return "";
  return `[${signed(ends[0], digits)}, ${signed(ends[1], digits)}]`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function seconds(value: number): string {
  if (value < 0.1) return `${Math.round(1000 * value)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

export function bytes(value: number): string {
  if (value === 0) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const place = Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${(value / 2 ** (10 * place)).toFixed(place ? 1 : 0)} ${units[place]}`;
}

export function clock(at: string): string {
  const date = new Date(at);
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

export function when(at: string | null | undefined): string {
  if (!at) return "–";
  const date = new Date(at);
  return `${date.toLocaleDateString("en", { month: "short", day: "numeric" })}, ${clock(at)}`;
}

export function ago(at: string | null | undefined): string {
  if (!at) return "–";
  const passed = (Date.now() - new Date(at).getTime()) / 1000;
  return passed < 5 ? "just now" : `${seconds(Math.max(0, passed))} ago`;
}

export function plain(name: string | null | undefined): string {
  return (name ?? "–").replaceAll("_", " ");
}

export const MARKS = ["baseline", "keep", "inconclusive", "discard", "failed", "open"] as const;

export function no(trial: string): number {
  return Number(trial.slice(1));
}
