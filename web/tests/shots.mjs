// Pictures of a study's pages, for the book.
//
// node web/tests/shots.mjs EMPIRIC STUDY DIRECTORY

import { join, resolve } from "node:path";
import { browser, start } from "./world.mjs";

const [exe, study, dir] = process.argv.slice(2).map((word) => resolve(word));
const server = start(exe, dir, ["serve", study, "--port", "0", "--json"]);
const told = JSON.parse(await server.line(/"url"/));
const origin = new URL(told.url).origin;
const chrome = await browser();
try {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light" });
  const page = await context.newPage();
  await page.goto(told.url);
  const { studies } = await (await context.request.get(`${origin}/api/studies`)).json();
  const at = `${origin}/s/${studies[0].id}`;
  for (const [path, there, name] of [
    ["", ".chart canvas", "study"],
    ["/trials/champion", ".patch", "trial"],
    ["/lineage", ".node.chosen", "lineage"],
  ]) {
    await page.goto(at + path);
    await page.locator(there).first().waitFor();
    await page.waitForFunction(() => !document.querySelector("[aria-busy]"));
    await page.screenshot({ path: join(dir, `${name}.png`) });
  }
} finally {
  await chrome.close();
  server.child.kill("SIGTERM");
  await server.ended;
}
