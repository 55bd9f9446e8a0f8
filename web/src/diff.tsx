// A patch with the colours of its language. Everything is text: nothing here makes markup of what it is given.

import type { JSX } from "preact";
import { useState } from "preact/hooks";

interface FilePatch {
  path: string;
  note: string | null;
  hunks: { head: string; lines: Row[] }[];
}

interface Row {
  kind: "same" | "added" | "removed" | "note";
  text: string;
  old: number | null;
  new: number | null;
}

/** Lines of a patch that are drawn before anybody asks for more. */
const LINES = 1200;

export function parse(unified: string): FilePatch[] {
  const files: FilePatch[] = [];
  let [old, fresh] = [0, 0];
  let within = false;
  const lines = unified.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    const file = files.at(-1);
    if (line.startsWith("diff --git ")) {
      const name = /"?b\/(.*?)"?$/.exec(line.slice(11).split(' "b/').length > 1 ? `"b/${line.split(' "b/')[1]}` : line.slice(line.lastIndexOf(" b/") + 1));
      files.push({ path: name?.[1] ?? line.slice(11), note: null, hunks: [] });
      within = false;
    } else if (file && line.startsWith("@@ ")) {
      const found = /^@@ -(\d+)(?:,\d+)? \+(\d+)/.exec(line);
      [old, fresh] = [Number(found?.[1] ?? 0), Number(found?.[2] ?? 0)];
      file.hunks.push({ head: line, lines: [] });
      within = true;
    } else if (file && within) {
      const rows = file.hunks.at(-1)?.lines;
      const text = line.slice(1);
      if (line.startsWith("+")) rows?.push({ kind: "added", text, old: null, new: fresh++ });
      else if (line.startsWith("-")) rows?.push({ kind: "removed", text, old: old++, new: null });
      else if (line.startsWith("\\")) rows?.push({ kind: "note", text: line.slice(2), old: null, new: null });
      else rows?.push({ kind: "same", text, old: old++, new: fresh++ });
    } else if (file) {
      if (line.startsWith("new file")) file.note = "new";
      else if (line.startsWith("deleted file")) file.note = "deleted";
      else if (line.startsWith("Binary")) file.note = "binary";
    }
  }
  return files;
}

const WORDS = new Set(
  (
    "and as assert async await break case class const continue def del do elif else enum except export extends false False finally fn for " +
    "from function global if impl import in is lambda let loop match mod mut new None nonlocal not null or pass pub raise return self " +
    "static struct super switch then this throw trait true True try type use var void while with yield done fi esac echo local"
  ).split(" "),
);
const TOKEN = /(#[^\n]*|\/\/[^\n]*)|("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|`(?:\\.|[^`\\])*`?)|(\b\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|([A-Za-z_]\w*)/g;

function coloured(text: string): (string | JSX.Element)[] {
  const parts: (string | JSX.Element)[] = [];
  let last = 0;
  for (const found of text.slice(0, 2000).matchAll(TOKEN)) {
    const [whole, comment, string, figure, word] = found;
    const at = found.index;
    const call = word && text[at + whole.length] === "(";
    const name = comment ? "c" : string ? "s" : figure ? "n" : word && WORDS.has(word) ? "k" : call ? "f" : null;
    if (!name) continue;
    if (at > last) parts.push(text.slice(last, at));
    parts.push(<span class={`t-${name}`}>{whole}</span>);
    last = at + whole.length;
  }
  parts.push(text.slice(last));
  return parts;
}

const SIGN = { same: " ", added: "+", removed: "−", note: " " };

export function Patch({ unified, cut }: { unified: string; cut: boolean }) {
  const [all, setAll] = useState(false);
  const files = parse(unified);
  if (files.length === 0) return <p class="quiet">Nothing differs.</p>;
  let left = all ? Infinity : LINES;
  const total = files.reduce((sum, file) => sum + file.hunks.reduce((lines, hunk) => lines + hunk.lines.length, 0), 0);
  return (
    <div class="patch">
      {files.map((file) => (
        <details key={file.path} open>
          <summary>
            <code>{file.path}</code>
            {file.note && <span class="tag">{file.note}</span>}
            <span class="counts">
              <span class="added">+{lines(file, "added")}</span> <span class="removed">−{lines(file, "removed")}</span>
            </span>
          </summary>
          <div class="scroll" tabIndex={0} role="region" aria-label={`Changes of ${file.path}`}>
            <table class="code">
              {file.hunks.map((hunk) => {
                const shown = hunk.lines.slice(0, Math.max(0, left));
                left -= shown.length;
                return shown.length === 0 ? null : (
                  <tbody key={hunk.head}>
                    <tr class="head">
                      <td colSpan={4}>{hunk.head}</td>
                    </tr>
                    {shown.map((row, place) => (
                      <tr key={place} class={row.kind}>
                        <td class="no">{row.old ?? ""}</td>
                        <td class="no">{row.new ?? ""}</td>
                        <td class="sign">{SIGN[row.kind]}</td>
                        <td class="text">{row.kind === "note" ? row.text : coloured(row.text)}</td>
                      </tr>
                    ))}
                  </tbody>
                );
              })}
            </table>
          </div>
        </details>
      ))}
      {!all && total > LINES && <button onClick={() => setAll(true)}>Show all {total} lines</button>}
      {cut && <p class="quiet">The patch is cut here; `empiric diff` prints all of it.</p>}
    </div>
  );
}

function lines(file: FilePatch, kind: Row["kind"]): number {
  return file.hunks.reduce((sum, hunk) => sum + hunk.lines.filter((row) => row.kind === kind).length, 0);
}
