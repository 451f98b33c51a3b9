// The links of the API reference, /docs, and the addresses of its operations.
import assert from 'node:assert/strict';
import { devices, inBrowser, service } from './browser.mjs';
import { get, openReference, operation, tabTo } from './reference.mjs';

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
