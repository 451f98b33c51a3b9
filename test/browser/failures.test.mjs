// The failures of a link that a browser can meet, as the running service shows them. (A browser cannot cause 400 and 413: it sends no
// body with a link. pages.test.mjs has all of them.)
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { words } from './words.mjs';

const unknown = () => ({ rid: randomUUID(), get address() { return `${service.publicURL}/u/${'A'.repeat(43)}?rid=${this.rid}`; } });

async function setFault(fault) {
  const response = await fetch(`${service.faultsURL}/${fault}`, { method: 'POST' });
  assert.equal(response.status, 204, await response.text());
}

// show opens an unknown link and checks the page about a failure.
async function show(page, watch, status, { language, width }) {
  const { rid, address } = unknown();
  watch.allowFailure(address);
  const response = await page.goto(address);
  assert.equal(response.status(), status);
  const { Title, Hint } = words[language].page[status];
  await page.getByRole('heading', { level: 1, name: Title }).waitFor();
  await page.getByRole('heading', { level: 2, name: Hint }).waitFor();
  assert.equal(await page.getByText(rid).count(), status === 500 ? 1 : 0, 'the request ID on the page');
  await auditPage(page, { language, width });
}

for (const [fault, status] of [['broken', 500], ['locked', 503]]) {
  for (const device of Object.keys(devices)) {
    for (const language of Object.keys(languages)) {
      inBrowser(`${status}: the database is ${fault}`, { device, language }, async ({ page, watch, width, t }) => {
        t.after(() => setFault('none'));
        await setFault(fault);
        await show(page, watch, status, { language, width });
      });
    }
  }
}

// Last, because the limit then holds for an hour.
for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    inBrowser('404 and then 429: too many unknown links', { device, language }, async ({ page, watch, width }) => {
      const open = async () => (await fetch(unknown().address.replace(service.publicURL, `http://${service.httpAddr}`))).status;
      let status;
      for (let i = 0; i < 50 && status !== 429; i++) status = await open();
      assert.equal(status, 429);
      await show(page, watch, 429, { language, width });
      await page.getByText(/\d+\u00a0/).first().waitFor(); // how long to wait
    });
  }
}
