// The local mailbox: accessible, usable by keyboard, on every screen.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditMail, auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { follow, htmlPart, newerPassword, openMail, readPassword, textLink } from './mailbox.mjs';
import { words } from './words.mjs';

// api sends a request that the service then sends a mail about.
async function api(path, body, status = 204) {
  const response = await fetch(`http://${service.httpAddr}${path}`, {
    method: 'POST', headers: { 'request-id': randomUUID(), 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(response.status, status, `${path}: ${await response.text()}`);
}

async function signUp(language) {
  const email = `p${randomUUID()}@example.com`;
  await api('/v1/user/signup', { email, inviteCode: service.inviteCode, language });
  return email;
}

for (const device of Object.keys(devices)) { // first, before there are mails
  inBrowser('an empty mailbox', { device }, async ({ page, width }) => {
    await page.goto(`${service.adminURL}/mail`);
    await page.getByText('The mailbox is empty.').waitFor();
    await auditPage(page, { language: 'en', width });
  });
}

for (const device of Object.keys(devices)) {
  inBrowser('a mail that is not there', { device }, async ({ page, watch, width }) => {
    const address = `${service.adminURL}/mail/20260101T000000.000000Z-01932f6e-7c1a-7b3c-8d4e-5f6a7b8c9d0e`;
    watch.allowFailure(address);
    assert.equal((await page.goto(address)).status(), 404);
    await auditPage(page, { language: 'en', width });
    await page.getByRole('link', { name: 'Mailbox' }).click();
    await page.getByRole('heading', { level: 1, name: 'Mailbox' }).waitFor();
  });
}

for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    inBrowser('every kind of mail is accessible', { device, language }, async ({ page, language, width }) => {
      const email = await signUp(language);
      const mail = words[language].mail;
      const audit = async () => {
        await auditPage(page, { language: 'en', width }); // the mailbox is a tool of developers and is in English
        await auditMail(page, { language });
        assert.equal(await page.locator('pre').getAttribute('lang'), language);
      };
      const logIn = (password, platform) => api('/v1/oauth/create', { email, password, clientID: 'test', device: { platform } }, 200);
      await openMail(page, email, mail.signup_link);
      await audit();
      await (await follow(page, textLink(page))).close();
      await openMail(page, email, mail.password);
      await audit();
      const first = await readPassword(page);
      await logIn(first, 'Linux');
      await logIn(first, 'iPhone');
      await openMail(page, email, mail.login_notice);
      await audit();
      await api('/v1/user/signup', { email, inviteCode: service.inviteCode, language });
      await openMail(page, email, mail.signup_notice);
      await audit();
      await api('/v1/user/password', { email });
      await openMail(page, email, mail.password_link);
      await audit();
      await (await follow(page, textLink(page))).close();
      await logIn(await newerPassword(page, email, mail.password, first), 'iPhone');
      await openMail(page, email, mail.password_notice);
      await audit();
      await page.goto(`${service.adminURL}/mail`);
      assert.ok((await page.getByRole('main').getByRole('link').count()) >= 7);
      await auditPage(page, { language: 'en', width });
    });
  }
}

inBrowser('from the list to the confirmation page by keyboard alone', {}, async ({ page, context }) => {
  const email = await signUp('en');
  const confirm = words.en.mail.signup_link;
  await openMail(page, email, confirm);
  await page.goto(`${service.adminURL}/mail`);
  const entries = page.getByRole('listitem');
  const place = (await entries.allInnerTexts()).findIndex((text) => text.includes(email));
  for (let i = 0; i <= place; i++) await pressed(page, 'Tab', page, entries.nth(i).getByRole('link'));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: confirm }).waitFor();

  // All controls in reading order, and back.
  const back = page.getByRole('link', { name: 'Mailbox' });
  const [button, address] = [htmlPart(page).getByRole('link').first(), htmlPart(page).getByRole('link').nth(1)];
  await pressed(page, 'Tab', page, back);
  await pressed(page, 'Tab', page, textLink(page));
  await pressed(page, 'Tab', htmlPart(page), button);
  await pressed(page, 'Tab', htmlPart(page), address);
  await pressed(page, 'Shift+Tab', htmlPart(page), button);
  await pressed(page, 'Shift+Tab', page, textLink(page));

  const [opened] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')]);
  await opened.getByRole('heading', { level: 1, name: words.en.page.signup.Title }).waitFor();
  await page.bringToFront();
  await pressed(page, 'Shift+Tab', page, back);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Mailbox' }).waitFor();
});

// pressed presses a key and checks that it moves the focus, visibly, to an element of a document.
async function pressed(page, key, document, element) {
  await page.keyboard.press(key);
  await element.and(document.locator(':focus-visible')).waitFor({ timeout: 5_000 });
}
