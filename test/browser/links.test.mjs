// The links that open a page, on which the user decides: the pages, and a user who chooses passwords.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { follow, openMail, textLink } from './mailbox.mjs';
import { words } from './words.mjs';

for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    inBrowser('every page of a link', { device, language }, (at) => everyPage({ ...at, device }));
    inBrowser('choose a password by keyboard, then another one', { device, language }, choosePasswords);
  }
}

async function everyPage({ page, watch, device, language, width }) {
  const { link, choose } = words[language];
  const refused = ['refused_signup', 'refused_password'].map((name) => [name, choose]);
  for (const [name, { Title, Submit }] of [...Object.entries(link), ...refused]) {
    const address = `${service.pagesURL}/${language}/${name}`;
    watch.allowFailure(address);
    await page.goto(address);
    assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), Title);
    assert.equal(await page.title(), `${Title} – Financelime`);
    const form = /^(open|refused)_/.test(name);
    assert.equal(await page.locator('form').count(), form ? 1 : 0, `${name}: forms`);
    assert.equal(await page.getByRole('button').count(), form ? 1 : 0, `${name}: buttons`);
    if (Submit) await page.getByRole('button', { name: Submit, exact: true }).waitFor();
    // The pages without a form have the parts of those of /u/, which pages.test.mjs audits on every device.
    if (form || device === 'phone') await auditPage(page, { language, width });
  }
}

// call sends a request as an app does, and returns the status.
async function call(method, path, body) {
  const response = await fetch(`http://${service.httpAddr}${path}`, {
    method, headers: { 'request-id': randomUUID(), 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  return response.status;
}

async function choosePasswords({ page, watch, language, width }) {
  const { link, choose, mail } = words[language];
  const email = `p${randomUUID()}@example.com`;
  const login = (password) => call('POST', '/v1/oauth/create', { email, password, clientID: 'browser', device: {} });
  const first = 'seven green boats at noon';
  const second = 'девять тихих рек & ночь';

  assert.equal(await call('POST', '/v1/user/signup', { email, inviteCode: service.inviteCode, language, choosePassword: true }), 204);
  await openMail(page, email, mail.signup_choose_link);
  const form = await follow(page, textLink(page));
  await mustShow(form, link.open_signup.Title, { language, width });
  watch.allowFailure(form.url()); // 422 and 404, which are expected here

  // By keyboard: the first stop is the field, whose label and rule a screen reader reads.
  await form.keyboard.press('Tab');
  const field = form.getByLabel(choose.Label, { exact: true });
  assert.ok(await isFocused(field), 'the first stop is the field');
  assert.deepEqual(await description(field), [choose.paragraphs[1].replace('{{.MinLength}}', '15')]);
  assert.equal(await form.locator('input[autocomplete=username]').inputValue(), email);
  await form.keyboard.type('too short');
  await form.keyboard.press('Enter');
  assert.equal(await field.evaluate((f) => f.validity.tooShort), true, 'the browser refuses it before it is sent');

  // A password that only the service can refuse: the page shows the form again, with the reason, and the field has the focus.
  await field.fill('AAAAaaaaaaaaaaaaAAAA');
  await Promise.all([form.waitForResponse((r) => r.status() === 422), form.keyboard.press('Enter')]);
  await mustShow(form, choose.Title, { language, width });
  assert.ok(await isFocused(field), 'the field has the focus again');
  assert.equal((await description(field))[0], choose.Known);
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  assert.equal(await field.inputValue(), '');

  await form.keyboard.type(first);
  await form.keyboard.press('Tab');
  assert.ok(await isFocused(form.getByRole('button', { name: link.open_signup.Submit })), 'the next stop is the button');
  await form.keyboard.press('Enter');
  await mustShow(form, link.used_signup.Title, { language, width });
  assert.equal(await login(first), 200);

  await form.goto(form.url()); // it works once
  await mustShow(form, link.link_404.Title, { language, width });

  // Another password, by mouse or finger.
  assert.equal(await call('POST', '/v1/user/password', { email, choosePassword: true }), 204);
  await openMail(page, email, mail.password_choose_link);
  const again = await follow(page, textLink(page));
  await mustShow(again, link.open_password.Title, { language, width });
  await again.getByLabel(choose.Label).fill(second);
  await again.getByRole('button', { name: link.open_password.Submit }).click();
  await mustShow(again, link.used_password.Title, { language, width });
  assert.equal(await login(first), 404);
  assert.equal(await login(second), 200);
}

async function mustShow(page, title, at) {
  await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
  await auditPage(page, at);
}

const isFocused = (locator) => locator.evaluate((element) => element === document.activeElement);

// description returns the texts that describe a field to a screen reader.
const description = (field) => field.evaluate((f) => f.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id).innerText));
