// Actions on the page /docs.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { service } from './browser.mjs';

// get returns a JSON document of the service.
export const get = async (path) => (await fetch(`http://${service.httpAddr}${path}`, { headers: { 'request-id': 'docs-test' } })).json();

export async function openReference(page) {
  await page.goto(`${service.publicURL}/docs`);
  await page.locator('.opblock').first().waitFor();
}

// operation returns the part of the page about one operation.
export const operation = (page, id) => page.locator(`.opblock[id$="-${id}"]`);

export async function unfold(page, id) {
  const part = operation(page, id);
  if (!(await part.evaluate((element) => element.classList.contains('is-open')))) {
    await part.locator('.opblock-summary-control').click();
  }
  await part.locator('.opblock-body').waitFor();
  return part;
}

// tryOut fills in an operation's form, executes it, and returns the response that the page shows.
export async function tryOut(page, id, body) {
  const part = await unfold(page, id);
  const requestID = randomUUID(); // distinguishes this response from earlier ones
  await part.getByPlaceholder('request-id').fill(requestID);
  if (body) await part.locator('textarea.body-param__text').fill(JSON.stringify(body));
  return execute(part, requestID);
}

// tryExample executes an operation with its examples, as the form has them; change may change the body. It returns the response that
// the page shows, and the body that was sent.
export async function tryExample(page, id, change) {
  const part = await unfold(page, id);
  const requestID = await part.getByPlaceholder('request-id').inputValue();
  assert.notEqual(requestID, '', `${id}: the form has an example of a request ID`);
  const text = part.locator('textarea.body-param__text');
  let sent;
  if (await text.count()) {
    sent = JSON.parse(await text.inputValue());
    if (change) {
      sent = { ...sent, ...change };
      await text.fill(JSON.stringify(sent));
    }
  }
  const clear = part.getByRole('button', { name: 'Clear' }); // the response before: it has the same request ID
  if (await clear.count()) {
    await clear.click();
    await part.locator('.live-responses-table').waitFor({ state: 'detached' });
  }
  return { sent, ...(await execute(part, requestID)) };
}

async function execute(part, requestID) {
  await part.getByRole('button', { name: 'Execute' }).click();
  const response = part.locator('.live-responses-table .response').filter({ hasText: `request-id: ${requestID}` });
  await response.waitFor();
  const status = Number(await response.locator('.response-col_status').innerText());
  const shown = response.locator('.highlight-code code').first();
  return { status, body: (await shown.count()) ? JSON.parse(await shown.innerText()) : undefined, text: await response.innerText() };
}

// authorize enters an access token in the dialog for it, in place of an earlier one.
export async function authorize(page, accessToken) {
  await page.getByRole('button', { name: 'Authorize' }).first().click();
  const dialog = page.locator('.dialog-ux');
  const bearer = dialog.locator('form').filter({ hasText: 'http, Bearer' });
  const remove = bearer.getByRole('button', { name: 'Remove authorization' }); // of an earlier token
  if (await remove.count()) await remove.click();
  await bearer.getByRole('textbox').fill(accessToken);
  await bearer.getByRole('button', { name: 'Apply credentials' }).click();
  await dialog.getByRole('button', { name: 'Close' }).first().click();
  await dialog.waitFor({ state: 'detached' });
}

// expectStatus is tryOut that requires a status.
export async function expectStatus(page, status, id, body) {
  const response = await tryOut(page, id, body);
  assert.equal(response.status, status, `${id}: ${JSON.stringify(response.body)}`);
  return response.body;
}

// tabTo presses Tab until the focus is on an element.
export async function tabTo(page, element) {
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press('Tab');
    if (await element.and(page.locator(':focus')).count()) return;
  }
  assert.fail(`${element} is not reached by pressing Tab`);
}
