// When a browser has something to show: milliseconds to the first paint and to the curve, of a server that was just started
// and of one that has been looked at. Printed as JSON.
//
// node web/tests/paint.mjs URL PATH

import { browser } from "./world.mjs";

const url = new URL(process.argv[2]);
const chrome = await browser();
try {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 900 } });
  // The token becomes a cookie; nothing is asked of a study by that.
  const enter = await context.newPage();
  await enter.goto(url.href, { waitUntil: "commit" });
  await enter.close();
  const look = async () => {
    const page = await context.newPage();
    await page.goto(`${url.origin}${process.argv[3]}`, { waitUntil: "commit" });
    await page.locator(".chart canvas").waitFor();
    const told = await page.evaluate(() => ({
      first: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
      curve: performance.now(),
    }));
    await page.close();
    return told;
  };
  console.log(JSON.stringify({ cold: await look(), warm: await look() }));
} finally {
  await chrome.close();
}
