// The API reference, /docs: complete, usable, and loaded from the service alone. Its other steps are in docs-*.test.mjs, because they take long and run
// at the same time.
import assert from 'node:assert/strict';
import { devices, inBrowser } from './browser.mjs';
import { expectStatus, get, openReference, operation, tabTo, unfold } from './reference.mjs';

// documented returns the statuses of each operation in the service's openapi.json, by "method path operationId".
async function documented() {
  const { paths } = await get('/openapi.json');
  return new Map(Object.entries(paths).flatMap(([path, item]) => Object.entries(item).map(
    ([method, { operationId, responses }]) => [`${method} ${path} ${operationId}`, Object.keys(responses).sort()],
  )));
}

for (const device of Object.keys(devices)) {
  inBrowser('every operation is shown, with every status', { device }, async ({ page, width }) => {
    const expected = await documented();
    assert.ok(expected.size > 0, 'the document has operations');
    await openReference(page);
    const shown = new Map();
    for (const part of await page.locator('.opblock').all()) {
      const method = (await part.locator('.opblock-summary-method').innerText()).toLowerCase();
      const path = await part.locator('.opblock-summary-path').getAttribute('data-path');
      const id = (await part.getAttribute('id')).replace(/^operations-[^-]+-/, '');
      await unfold(page, id);
      const name = `${method} ${path} ${id}`;
      const rows = part.locator('.response[data-code]');
      // Swagger UI unfolds an operation first and resolves its references, such as the statuses, later.
      await rows.nth((expected.get(name) ?? []).length - 1).waitFor();
      shown.set(name, (await rows.evaluateAll((all) => all.map((row) => row.dataset.code))).sort());
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${id} makes the page scroll sideways`);
      await part.locator('.opblock-summary-control').click(); // fold it again: many unfolded operations are slow
    }
    assert.deepEqual(shown, expected);
  });

  inBrowser('get_version can be tried out', { device }, async ({ page }) => {
    await openReference(page);
    assert.deepEqual(await expectStatus(page, 200, 'get_version'), await get('/v1/version'));
  });
}

inBrowser('get_version can be tried out by keyboard alone', {}, async ({ page }) => {
  await openReference(page);
  const part = operation(page, 'get_version');
  await tabTo(page, part.locator('.opblock-summary-control'));
  await page.keyboard.press('Enter');
  await part.getByPlaceholder('request-id').waitFor(); // unfolding takes a moment: Tab would pass by
  await tabTo(page, part.getByPlaceholder('request-id'));
  await page.keyboard.type('by-keyboard');
  await tabTo(page, part.getByRole('button', { name: 'Execute' }));
  await page.keyboard.press('Enter');
  const response = part.locator('.live-responses-table .response').filter({ hasText: 'request-id: by-keyboard' });
  assert.equal(await response.locator('.response-col_status').innerText(), '200');
});
