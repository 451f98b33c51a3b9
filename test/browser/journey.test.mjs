// The whole user journey in the browser. The forms of /docs are the app, the local mailbox is the mail program.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { follow, htmlPart, newerPassword, openMail, readPassword, textLink } from './mailbox.mjs';
import { authorize, expectStatus, openReference } from './reference.mjs';
import { words } from './words.mjs';

for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    inBrowser('sign up, confirm, log in, reset the password, log in', { device, language }, journey);
  }
}

// The page of a link that worked is in the account's language, whatever the browser's language is.
for (const [language, mother] of [['en', 'ru'], ['ru', 'en']]) {
  inBrowser(`a user who reads ${mother} in another browser`, { language }, async ({ page, context, watch, width }) => {
    const email = newAddress();
    await openReference(page);
    await expectStatus(page, 204, 'signup', { email, inviteCode: service.inviteCode, language: mother });
    const mailbox = await context.newPage();
    await openMail(mailbox, email, words[mother].mail.signup_link);
    await mustShow(await follow(mailbox, textLink(mailbox)), words[mother].page.signup.Title, { language: mother, width });
    await mustBeUseless(mailbox, textLink(mailbox), { language, width }, watch);
  });
}

const newAddress = () => `p${randomUUID()}@example.com`;

async function journey({ page, context, watch, language, width }) {
  const text = words[language];
  const email = newAddress();
  const device = { platform: 'Linux x86_64' };
  const at = { language, width };

  await openReference(page);
  await expectStatus(page, 204, 'signup', { email, inviteCode: service.inviteCode, language });

  const mailbox = await context.newPage();
  await openMail(mailbox, email, text.mail.signup_link);
  await mustShow(await follow(mailbox, textLink(mailbox)), text.page.signup.Title, at);
  await mustBeUseless(mailbox, textLink(mailbox), at, watch);
  await openMail(mailbox, email, text.mail.password);
  const first = await readPassword(mailbox);

  await page.bringToFront();
  const login = (password) => ({ email, password, clientID: 'docs', device });
  const session = await expectStatus(page, 200, 'create_access_token', login(first));
  await authorize(page, session.accessToken);
  const sessions = await expectStatus(page, 200, 'get_list_active_sessions');
  assert.deepEqual(sessions.map((s) => [s.sessionID, s.current]), [[session.sessionID, true]]);

  // This time the button in the HTML part of the mail, not the link in its text.
  await expectStatus(page, 204, 'user_password_reset', { email });
  await openMail(mailbox, email, text.mail.password_link);
  const button = htmlPart(mailbox).getByRole('link').first();
  await mustShow(await follow(mailbox, button), text.page.password.Title, at);
  await mustBeUseless(mailbox, button, at, watch);
  const second = await newerPassword(mailbox, email, text.mail.password, first);

  await page.bringToFront();
  const renewed = await expectStatus(page, 200, 'create_access_token', login(second));
  assert.notEqual(renewed.sessionID, session.sessionID);
}

// mustShow checks the page that a link opened.
async function mustShow(opened, title, at) {
  assert.equal(await opened.getByRole('heading', { level: 1 }).innerText(), title);
  assert.equal(await opened.title(), `${title} – Financelime`);
  await auditPage(opened, at);
  await opened.close();
}

// mustBeUseless follows a used link. The page is in the browser's language, because it is not known whose link it was, and says
// what to do next.
async function mustBeUseless(mailbox, link, at, watch) {
  watch.allowFailure(await link.getAttribute('href'));
  const opened = await follow(mailbox, link);
  const { Hint, Title, paragraphs } = words[at.language].page[404];
  await opened.getByRole('heading', { level: 2, name: Hint }).waitFor();
  await opened.getByRole('listitem').filter({ hasText: paragraphs[1] }).waitFor();
  await mustShow(opened, Title, at);
}
