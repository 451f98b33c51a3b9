// The API reference, /docs: complete, usable, and loaded from the service alone.
import assert from 'node:assert/strict';
import { auditReference } from './audit.mjs';
import { devices, inBrowser, service } from './browser.mjs';
import { expectStatus, openReference, operation, unfold } from './reference.mjs';

const get = async (path) => (await fetch(`http://${service.httpAddr}${path}`, { headers: { 'request-id': 'docs-test' } })).json();

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

// documentLinks returns every link within the document: its text, its address, and the element of the page that has it.
async function documentLinks() {
  const { tags, paths, ...rest } = await get('/openapi.json');
  const links = [];
  const collect = (value, place) => {
    if (typeof value === 'string') {
      for (const [, text, address] of value.matchAll(/\[([^\]]+)\]\((#[^)]*)\)/g)) links.push({ place, text: text.replaceAll('`', ''), address });
    } else if (value && typeof value === 'object') {
      for (const part of Object.values(value)) collect(part, place);
    }
  };
  collect(rest, undefined);
  for (const tag of tags) collect(tag, `#operations-tag-${tag.name}`);
  for (const operation of Object.values(paths).flatMap(Object.values)) collect(operation, placeOf(operation));
  assert.deepEqual(links.filter(({ place }) => !place), [], 'links in a part of the document that several operations share: say here where the page shows them');
  return links;
}

const placeOf = ({ tags, operationId }) => `#operations-${tags[0]}-${operationId}`;

// mustBeOpen checks that the page has unfolded the operation of an address, shows it, and has given it the focus.
async function mustBeOpen(page, address) {
  const part = page.locator(`[id="${address.replace('#/', 'operations-').replace('/', '-')}"]`);
  await part.locator('.opblock-body').waitFor();
  await part.locator('.opblock-summary-control').and(page.locator(':focus')).waitFor();
  assert.equal(new URL(page.url()).hash, address);
  await page.waitForFunction((element) => {
    const { top } = element.getBoundingClientRect();
    return top >= -1 && top < innerHeight - 40;
  }, await part.elementHandle());
}

for (const device of Object.keys(devices)) {
  inBrowser('every link in a description opens its operation', { device }, async ({ page, context }) => {
    const links = await documentLinks();
    assert.ok(links.length >= 10, 'the document has such links');
    await openReference(page);
    for (const { place, text, address } of links) {
      const folded = page.locator('.opblock.is-open .opblock-summary-control');
      while (await folded.count()) await folded.first().click();
      const from = page.locator(place);
      if (await from.evaluate((element) => element.matches('.opblock'))) await from.locator('.opblock-summary-control').click();
      const link = from.locator(`a[href="${address}"]`).filter({ hasText: text }).first();
      await link.click();
      await mustBeOpen(page, address);
      assert.equal(context.pages().length, 1, `the link ${address} has opened another page`);
    }
  });
}

inBrowser('the address of every operation opens it', {}, async ({ page }) => {
  const { paths } = await get('/openapi.json');
  const addresses = Object.values(paths).flatMap(Object.values).map(({ tags, operationId }) => `#/${tags[0]}/${operationId}`);
  for (const address of ['#/User/signup', '#/Session/revoke_session']) { // in a new page
    await page.goto('about:blank');
    await page.goto(`${service.publicURL}/docs${address}`);
    await mustBeOpen(page, address);
  }
  for (const address of addresses) { // pasted into the open page
    await page.evaluate((address) => { location.hash = address; }, address);
    await mustBeOpen(page, address);
    await page.locator('.opblock.is-open .opblock-summary-control').first().click(); // fold it: many unfolded operations are slow
  }
  await page.locator('#operations-tag-User .expand-operation').click(); // in a tag that is folded
  await page.locator('#operations-User-signup').waitFor({ state: 'detached' });
  await page.evaluate(() => { location.hash = '#/User/signup'; });
  await mustBeOpen(page, '#/User/signup');
  for (const address of ['#', '#/', '#/Nothing', '#/User/nothing', '#/%', '#/User/signup/x', '#reference']) { // and anything else is ignored
    await page.evaluate((address) => { location.hash = address; }, address);
  }
  await page.evaluate(() => { location.hash = '#/User/user_password_reset'; });
  await mustBeOpen(page, '#/User/user_password_reset');
});

inBrowser('links work by keyboard, and so do Back and Forward', {}, async ({ page }) => {
  await openReference(page);
  await tabTo(page, page.locator('#operations-tag-User').getByRole('link', { name: 'log in', exact: true }));
  await page.keyboard.press('Enter');
  await mustBeOpen(page, '#/Authorization/create_access_token');
  await tabTo(page, operation(page, 'create_access_token').getByRole('link', { name: 'refresh', exact: true }));
  await page.keyboard.press('Enter');
  await mustBeOpen(page, '#/Authorization/refresh_access_token');
  await page.goBack();
  await mustBeOpen(page, '#/Authorization/create_access_token');
  await page.goForward();
  await mustBeOpen(page, '#/Authorization/refresh_access_token');
});

// A click with a modifier key opens another tab, which shows the operation.
inBrowser('a link can be opened in another tab', {}, async ({ page, context }) => {
  await openReference(page);
  const link = page.locator('#operations-tag-User').getByRole('link', { name: 'log in', exact: true });
  const [opened] = await Promise.all([context.waitForEvent('page'), link.click({ modifiers: ['ControlOrMeta'] })]);
  await opened.bringToFront();
  await mustBeOpen(opened, '#/Authorization/create_access_token');
  assert.equal(await page.locator('.opblock.is-open').count(), 0, 'the first tab has unfolded it, too');
});

inBrowser('get_version can be tried out by keyboard alone', {}, async ({ page }) => {
  await openReference(page);
  const part = operation(page, 'get_version');
  await tabTo(page, part.locator('.opblock-summary-control'));
  await page.keyboard.press('Enter');
  await tabTo(page, part.getByPlaceholder('request-id'));
  await page.keyboard.type('by-keyboard');
  await tabTo(page, part.getByRole('button', { name: 'Execute' }));
  await page.keyboard.press('Enter');
  const response = part.locator('.live-responses-table .response').filter({ hasText: 'request-id: by-keyboard' });
  assert.equal(await response.locator('.response-col_status').innerText(), '200');
});

for (const device of Object.keys(devices)) {
  inBrowser('the page is accessible', { device }, async ({ page, width }) => {
    await openReference(page);
    await auditReference(page, { width });
    await expectStatus(page, 200, 'get_version');
    for (const id of ['signup', 'revoke_session']) await unfold(page, id);
    await auditReference(page, { width });
    await page.getByRole('button', { name: 'Authorize' }).first().click();
    await page.locator('.dialog-ux').waitFor();
    await auditReference(page, { width });
  });

  inBrowser('the schemas are accessible', { device }, async ({ page, width }) => {
    await openReference(page);
    await page.locator('section.models .json-schema-2020-12-accordion, section.models .model-box-control').first().waitFor();
    for (const name of ['SignUpRequest', 'AccessTokenResponse', 'Session']) {
      await page.locator('section.models').getByRole('button', { name }).first().click();
    }
    await auditReference(page, { width });
  });
}

// tabTo presses Tab until the focus is on an element.
async function tabTo(page, element) {
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press('Tab');
    if (await element.and(page.locator(':focus')).count()) return;
  }
  assert.fail(`${element} is not reached by pressing Tab`);
}
