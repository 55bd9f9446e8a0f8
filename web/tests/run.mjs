// A study is watched in a browser from beginning to end: every control is used, the connection is cut and goes on, every
// page is checked for accessibility and pictured, and nothing that the recipe printed becomes more than text.
//
// node web/tests/run.mjs EMPIRIC [DIRECTORY FOR PICTURES]

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { HOSTILE, browser, home, start, wire } from "./world.mjs";

const exe = resolve(process.argv[2]);
const shots = resolve(process.argv[3] ?? mkdtempSync(join(tmpdir(), "empiric-shots-")));
mkdirSync(shots, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const barriers = [];
const began = Date.now();
const say = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

const dir = home();
const cable = await wire();
const server = start(exe, dir, ["serve", "studies", "--port", "0", "--behind-proxy", `http://127.0.0.1:${cable.port}`, "--json"]);
const told = JSON.parse(await server.line(/"url"/));
cable.lead(Number(told.address.split(":").pop()));
const origin = new URL(told.url).origin;
const token = new URL(told.url).searchParams.get("token");
const api = async (path, init = {}) => {
  const headers = { authorization: `Bearer ${token}`, ...init.headers };
  return fetch(origin + path, { ...init, headers });
};
const run = ["run", "valley", "--study", "studies/live", "--slots", "2", "--no-check", "--json"];
let session = null;
const chrome = await browser();
try {
  await all();
  say(`all is well; pictures are in ${shots}`);
} catch (error) {
  console.error(error);
  for (const page of chrome.contexts().flatMap((context) => context.pages())) {
    await page.screenshot({ path: join(shots, "failed.png") }).catch(() => {});
  }
  process.exitCode = 1;
} finally {
  await chrome.close();
  for (const child of [server.child, session?.child]) child?.kill("SIGTERM");
  await Promise.all([server.ended, session?.ended]);
  cable.close();
}

async function all() {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  const wrong = [];
  await context.addInitScript(() => {
    // What every connection for live events was told, by its study's address.
    const Real = window.EventSource;
    window.seen = [];
    window.broken = [];
    window.EventSource = class extends Real {
      constructor(...words) {
        super(...words);
        this.addEventListener("message", (message) => window.seen.push(Number(message.lastEventId)));
        this.addEventListener("error", () => window.broken.push(Date.now()));
      }
    };
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  let cut = false;
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => wrong.push(`dialog: ${dialog.message()}`));
  page.on("console", (message) => {
    // A connection that was cut is told of by the browser itself.
    if (message.type() === "error" && !(cut && /net::ERR/.test(message.text()))) wrong.push(message.text());
  });

  await refusals();
  say("wrong tokens, foreign hosts and origins, and paths astray are refused");

  await page.goto(told.url);
  await page.getByRole("heading", { name: "Studies" }).waitFor();
  assert.equal(page.url(), `${origin}/`, "the token is gone from the address");
  await page.getByText("There is none here yet").waitFor();
  await look(page, "studies-none");

  // More than there is time for, however fast the machine; the second session is given what it can end with.
  session = start(exe, dir, [...run, "--trials", "9000"]);
  await session.line(/"event":"leased"/);
  await page.reload();
  await page.getByRole("link", { name: /live/ }).click();
  await page.locator(".state-running").waitFor();
  await page.locator(".line-live").waitFor();
  say("a study is watched");

  await ask(page, "Pause");
  await page.locator(".state-paused").waitFor();
  await ask(page, "Note", async (dialog) => dialog.getByLabel("Note").fill(`look at t3 ${HOSTILE}`));
  await ask(page, "Budget", async (dialog) => {
    await dialog.getByLabel("Trials").fill("6000");
    await dialog.getByLabel("CPU time, hours").fill("2");
  });
  await page.getByText(/of 6[,\u202f\s]?000/).waitFor();
  await pinning(page);
  await ask(page, "Resume");
  await page.locator(".state-running").waitFor();
  say("paused, noted, budgeted, pinned and let go, resumed");

  cut = true;
  const before = await page.evaluate(() => window.seen.length);
  cable.cut();
  await page.locator(".line-waiting").waitFor();
  await new Promise((done) => setTimeout(done, 1200));
  cable.mend();
  await page.locator(".line-live").waitFor();
  await page.waitForFunction((n) => window.seen.length > n, before);
  cut = false;
  say("the connection was cut and goes on");

  await ask(page, "Stop");
  assert.equal(await session.ended, 130);
  await page.locator(".state-stopped").waitFor();
  const stopped = await (await api("/api/studies/live")).json();
  session = start(exe, dir, [...run, "--trials", `${stopped.trials + 60}`]);
  await page.locator(".state-running").waitFor();
  say("stopped, and taken up again");
  await session.ended;
  await page.locator(".state-finished").waitFor();
  const study = await (await api("/api/studies/live")).json();
  await page.waitForFunction((seq) => window.seen.at(-1) === seq, study.seq);
  const seen = await page.evaluate(() => window.seen);
  const first = seen[0];
  assert.deepEqual(seen, Array.from({ length: study.seq - first + 1 }, (_, n) => first + n), "no event is lost and none told twice");
  assert.ok((await page.evaluate(() => window.broken.length)) > 0, "the cut was felt");
  say(`watched to the end: events ${first} to ${study.seq}, each once`);

  const events = [];
  for (let after = 0; after !== undefined && after !== null; ) {
    const found = await (await api(`/api/studies/live/events?limit=500&after=${after}`)).json();
    events.push(...found.events);
    after = found.next;
  }
  for (const [name, by] of [["paused", "eve"], ["resumed", "eve"], ["noted", "eve"], ["budget_set", "eve"], ["pinned", "eve"], ["unpinned", "eve"]]) {
    assert.ok(events.some((event) => event.name === name && event.body.by === by), `${name} by ${by} is in the ledger`);
  }
  assert.ok(events.some((event) => event.name === "stopped" && event.text.includes("eve")), "who stopped it is in the ledger");
  assert.ok(events.some((event) => event.name === "budget_set" && event.body.budget.trials === 6000), "the budget is in the ledger");

  await pages(page, study);
  await conversation(page);
  await theme(page);
  await phone(page);
  await keys(page);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.deepEqual(wrong, []);
  assert.deepEqual(barriers, [], "every page can be used by everybody");
}

/** What must be refused. */
async function refusals() {
  const status = async (path, init) => (await fetch(origin + path, init)).status;
  assert.equal(await status("/api/studies"), 401);
  assert.equal(await status("/", { headers: { cookie: `empiric=${token}` } }), 401);
  assert.equal(await status(`/?token=${"0".repeat(64)}`), 401);
  assert.equal(await status("/api/studies", { headers: { authorization: `Bearer ${token}`, origin: "http://evil.example" } }), 403);
  assert.equal(await status("/api/studies/..%2f..%2fetc", { headers: { authorization: `Bearer ${token}` } }), 404);
  const direct = await fetch(`http://${told.address}/api/studies`, { headers: { authorization: `Bearer ${token}`, host: "evil.example" } });
  assert.ok([200, 403].includes(direct.status));
}

/** Has new trials start from one that was chosen by hand, and lets policies choose again; nothing is kept while the study is paused. */
async function pinning(page) {
  const ask = async (name) => {
    await page.locator(".of-trial").getByRole("button", { name, exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(/Your name/).fill("eve");
    await dialog.locator("button.main").click();
    await page.locator(".of-trial .said").getByText("Done.").waitFor();
  };
  const pins = async () => (await (await api("/api/studies/live")).json()).pins;
  await page.goto(`${origin}/s/live/trials/baseline`);
  await page.getByRole("heading", { name: /^t0/ }).waitFor();
  assert.ok(await page.getByRole("button", { name: "Measure again" }).isDisabled(), "what was decided is not measured again");
  await ask("Pin");
  await page.locator(".crown.pinned").waitFor();
  assert.deepEqual(await pins(), [{ arm: "tuner", trial: "t0" }]);
  await page.goto(`${origin}/s/live`);
  await page.locator(".pins").getByText("chosen by hand").waitFor();
  await page.goto(`${origin}/s/live/trials/baseline`);
  await ask("Unpin");
  await page.locator(".crown.pinned").waitFor({ state: "detached" });
  assert.deepEqual(await pins(), []);
  await page.goto(`${origin}/s/live`);
  await page.locator(".line-live").waitFor();
}

/** Uses a control: presses its button, gives a name, confirms, and waits for the answer. */
async function ask(page, name, fill = async () => {}) {
  await page.locator(".controls:not(.of-trial)").getByRole("button", { name, exact: true }).click();
  const dialog = page.getByRole("dialog");
  await fill(dialog);
  await dialog.getByLabel(/Your name/).fill("eve");
  if (name === "Note") await look(page, "note");
  await dialog.locator("button.main").click();
  await page.locator(".said").getByText("Done.").waitFor();
}

/** Checks a page for accessibility, and takes its picture. */
async function look(page, name) {
  await page.waitForFunction(() => !document.querySelector("[aria-busy]"));
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const broken = found.violations.map((one) => `${one.id} (${one.impact}): ${one.help}\n  ${one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 4).join("\n  ")}`);
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  barriers.push(...broken.map((one) => `${name}: ${one}`));
}

async function pages(page, study) {
  const at = `${origin}/s/live`;
  const shown = async (path, wait, name) => {
    await page.goto(at + path);
    await wait();
    await look(page, name);
  };
  const heading = (name) => () => page.getByRole("heading", { name, level: 1 }).first().waitFor();
  await shown("", () => page.locator(".chart canvas").waitFor(), "study");
  await shown("/trials", heading("Trials"), "trials");
  await page.getByLabel("Outcome").selectOption("keep");
  await page.waitForURL(/mark=keep/);
  await shown("/failures", heading("Failures"), "failures");
  await shown("/ideas", heading("Ideas"), "ideas");
  await page.getByText("look at t3").waitFor();
  assert.ok((await page.locator(".notes").textContent()).includes(HOSTILE), "a note is told as it was written");
  await shown("/lineage", () => page.locator(".node.chosen").waitFor(), "lineage");
  const champion = study.champion?.trial ?? "t1";
  await shown(`/compare?a=baseline&b=${champion}`, () => page.locator(".pairs, .patch").first().waitFor(), "compare");
  await shown(`/trials/${champion}`, () => page.locator(".patch").waitFor(), "trial");
  await page.getByRole("button", { name: /^More about/ }).first().click();
  await page.locator(".unit-of .log").first().waitFor();
  assert.ok((await page.locator(".unit-of .log").first().textContent()).includes(HOSTILE), "output is told as it was printed");
  await look(page, "trial-open");
  const named = await (await api("/api/studies/live/trials?limit=500")).json();
  for (const line of named.trials.slice(0, 40)) {
    const found = await (await api(`/api/studies/live/trials/${line.trial}`)).json();
    if (!found.files.some((file) => file.path.includes("onerror"))) continue;
    await page.goto(`${at}/trials/${line.trial}`);
    await page.locator(".patch summary").getByText("onerror=window.pwned=1").waitFor();
    break;
  }
  const failed = named.trials.find((line) => line.mark === "failed");
  if (failed) await shown(`/trials/${failed.trial}`, heading(new RegExp(failed.trial)), "trial-failed");
  await page.goto(`${origin}/`);
  await page.getByRole("link", { name: /live/ }).waitFor();
  await look(page, "studies");
  say("every page can be used by everybody, and runs nothing of what it shows");
}

/** A model proposes, and what was said is on its trial's page, as it was said and as nothing more. */
async function conversation(page) {
  const knobs = "# turned by a model\nrate = 0.06\nwidth = 24\n";
  const call = (name, args) => ({ reply: { text: `I call ${name} ${HOSTILE}`, calls: [{ name, arguments: args }] } });
  const rules = [
    { when: { results: 0 }, say: [call("write_file", { path: "knobs.toml", text: knobs })] },
    { say: [call("submit", { hypothesis: `less of the rate ${HOSTILE}`, direction: "decrease", reach: "parameter" })] },
  ];
  writeFileSync(join(dir, "rules.json"), JSON.stringify(rules));
  const models = start(join(dirname(exe), "empiric-models"), dir, ["rules.json"]);
  try {
    const url = await models.line(/^http/);
    const words = ["run", "valley", "--study", "studies/asked", "--arm", "generalist", "--no-check", "--trials", "1"];
    const asked = start(exe, dir, [...words, "--model", "test/one", "--base-url", url]);
    assert.equal(await asked.ended, 0, asked.said.join("\n"));
  } finally {
    models.child.kill("SIGTERM");
    await models.ended;
  }
  await page.goto(`${origin}/s/asked/trials/t1`);
  await page.getByText("Conversation with models").click();
  const said = page.locator(".said-by .log");
  await said.getByText("I call submit").first().waitFor();
  const all = (await said.allTextContents()).join("\n");
  for (const what of [HOSTILE, "turned by a model", "valley"]) assert.ok(all.includes(what), `${what} is told`);
  await look(page, "conversation");
  say("what a model and its harness said is told as it was said");
}

async function theme(page) {
  await page.goto(`${origin}/s/live`);
  await page.locator(".chart canvas").waitFor();
  await page.keyboard.press("d");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await look(page, "study-dark");
  for (const [path, name] of [["/trials/champion", "trial-dark"], ["/lineage", "lineage-dark"], ["/failures", "failures-dark"]]) {
    await page.goto(`${origin}/s/live${path}`);
    await page.locator("main h1").waitFor();
    await look(page, name);
  }
  await page.keyboard.press("d");
}

async function phone(page) {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const [path, name] of [["", "study-phone"], ["/trials", "trials-phone"], ["/trials/champion", "trial-phone"], ["/lineage", "lineage-phone"]]) {
    await page.goto(`${origin}/s/live${path}`);
    await page.locator("main h1").waitFor();
    await look(page, name);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 391, `${name} is not wider than the phone: ${wide}`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

async function keys(page) {
  await page.goto(`${origin}/s/live`);
  await page.locator(".chart canvas").waitFor();
  await page.keyboard.press("2");
  await page.waitForURL(/\/trials$/);
  await page.locator("table.trials a").first().waitFor();
  await page.keyboard.press("j");
  const focused = await page.evaluate(() => document.activeElement?.textContent);
  assert.match(focused ?? "", /^t\d+$/);
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`/trials/${focused}$`));
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("light or dark").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("l");
  await page.waitForURL(/\/lineage/);
  await page.locator(".node.chosen").waitFor();
  await page.keyboard.press("u");
  await page.getByRole("heading", { name: "Studies" }).waitFor();
  say("the keys do what they say");
}
