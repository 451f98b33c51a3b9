// The pages that a link opens.
import assert from 'node:assert/strict';
import { auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { words } from './words.mjs';

for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    inBrowser('every page', { device, language }, async ({ page, watch, language, width }) => {
      for (const [name, { Title }] of Object.entries(words[language].page)) {
        const address = `${service.pagesURL}/${language}/${name}`;
        watch.allowFailure(address);
        await page.goto(address);
        assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), Title);
        assert.equal(await page.title(), `${Title} – Financelime`);
        assert.equal(await page.getByText('request-1').count(), name === '500' ? 1 : 0, 'the request ID');
        await auditPage(page, { language, width });
      }
    });

    inBrowser('an unknown link', { device, language }, async ({ page, watch, language, width }) => {
      for (const path of [`/u/${'A'.repeat(43)}?rid=never-was`, `/u/${'A'.repeat(43)}`, '/u/short?rid=never-was']) {
        watch.allowFailure(service.publicURL + path);
        const response = await page.goto(service.publicURL + path);
        assert.equal(response.status(), 404);
        assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), words[language].page[404].Title);
        await auditPage(page, { language, width });
      }
    });

    inBrowser('a form that posts to a link', { device, language }, async ({ page, watch, language, width }) => {
      const address = `${service.publicURL}/u/${'A'.repeat(43)}?rid=never-was`;
      watch.allowFailure(address);
      await page.setContent(`<form method="post" action="${address}"><button>Send</button></form>`);
      const [response] = await Promise.all([page.waitForResponse(address), page.getByRole('button').click()]);
      assert.equal(response.status(), 405);
      await page.getByRole('heading', { level: 1, name: words[language].page[405].Title }).waitFor();
      await auditPage(page, { language, width });
    });
  }
}
