// What the tests of the page need around it: a task whose recipe is hostile to whoever looks at it, the program, a wire
// that can be cut, a browser.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

/** What must never be more than text. */
export const HOSTILE = "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 1\">";

const TASK = `schema = 1
name = "valley"
summary = "a noisy valley over a few knobs, some milliseconds a replicate"
[recipe]
root = "recipe"
edit = ["**"]
[[stage]]
name = "train"
run = ["sh", "train.sh"]
limits = { wall = "5s", memory = "64MiB" }
[evaluator]
run = ["sh", "evaluate.sh"]
limits = { wall = "10s" }
[metric]
name = "loss"
goal = "minimize"
unit = "nats"
`;

const TRAIN = `echo 'training ${HOSTILE}'
echo "seed $EMPIRIC_SEED"
cat ./*.toml > "$EMPIRIC_OUT/model.toml"
# a knob that was turned too far ends the training
awk '$1 == "rate" && $3 > 0.5 { print "diverged at " $3 > "/dev/stderr"; exit 3 }' "$EMPIRIC_OUT/model.toml"
`;

const EVALUATE = `[ -f "$EMPIRIC_ARTIFACTS/model.toml" ] || exit 3
awk -v seed="$EMPIRIC_SEED" '
  $2 == "=" { knob[$1] = $3 }
  function off(name, best) { return log(knob[name] / best) ^ 2 }
  END {
    loss = 1 + 0.2 * off("rate", 0.05) + 0.1 * off("width", 32) + 0.05 * off("decay", 0.1)
    srand(seed + int(1000000 * loss)); rand()
    for (i = 0; i < 12; i++) noise += rand() - 0.5
    printf "{\\"metrics\\": {\\"loss\\": %.6f}}\\n", loss + 0.01 * noise
  }' "$EMPIRIC_ARTIFACTS/model.toml" > "$EMPIRIC_RESULT"
`;

/** A home with the task in it. */
export function home() {
  const dir = mkdtempSync(join(tmpdir(), "empiric-page-"));
  const task = join(dir, "valley");
  mkdirSync(join(task, "recipe"), { recursive: true });
  mkdirSync(join(dir, "studies"));
  writeFileSync(join(task, "task.toml"), TASK);
  writeFileSync(join(task, "evaluate.sh"), EVALUATE);
  writeFileSync(join(task, "recipe/train.sh"), TRAIN);
  writeFileSync(join(task, "recipe/knobs.toml"), "# how fast, how wide\nrate = 0.2\nwidth = 12\n");
  writeFileSync(join(task, "recipe/<img src=x onerror=window.pwned=1>.toml"), "decay = 0.5\nwarmup = 30\n");
  return dir;
}

/** The program in that home; `lines` are what it says on either stream. */
export function start(exe, dir, words) {
  const env = { PATH: process.env.PATH, HOME: dir, EMPIRIC_CACHE: join(dir, "cache"), NO_COLOR: "1", USER: "tester" };
  const child = spawn(exe, words, { cwd: dir, env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((done) => child.on("exit", (code, signal) => done(code ?? signal)));
  const said = [];
  const waiting = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      said.push(line);
      for (const one of [...waiting]) one(line);
    });
  }
  const line = (test) =>
    new Promise((found, failed) => {
      const old = said.find((text) => test.test(text));
      if (old) return found(old);
      waiting.push((text) => test.test(text) && found(text));
      void ended.then((code) => failed(new Error(`${words.join(" ")} ended with ${code}:\n${said.join("\n")}`)));
    });
  return { child, ended, said, line };
}

/** A wire from a port of its own to another, which can be cut. */
export async function wire() {
  let to = null;
  let whole = true;
  const sockets = new Set();
  const server = createServer((socket) => {
    if (!whole || to === null) return socket.destroy();
    const other = connect(to, "127.0.0.1");
    for (const one of [socket, other]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        socket.destroy();
        other.destroy();
      });
    }
    socket.pipe(other).pipe(socket);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: server.address().port,
    lead: (port) => (to = port),
    cut: () => {
      whole = false;
      for (const socket of sockets) socket.destroy();
    },
    mend: () => (whole = true),
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

export function browser() {
  const args =
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: args.split(" ") });
}
