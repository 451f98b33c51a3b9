// A person signs up, logs in, manages the account, closes it and comes back, on /account and by mailed links, without a line of code.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { api, Hand, setFault } from './account.mjs';
import { inBrowser, service } from './browser.mjs';
import { text } from './words.mjs';

const first = 'seven green boats at noon';
const second = 'nine amber lamps by the river';
const third = 'three quiet foxes under snow';

inBrowser('the whole life of an account by keyboard alone', { device: 'desktop', language: 'en' }, (t) => walk(t, true));
inBrowser('the whole life of an account', { device: 'phone', language: 'ru' }, (t) => walk(t, false));

async function walk({ page, context, watch, language, width }, byKeyboard) {
  const me = new Hand(page, { language, width, byKeyboard });
  const mailbox = await context.newPage();
  const email = `p${randomUUID()}@example.com`;
  await signUp(me, mailbox, email);
  await changePassword(me, watch, email);
  await endOtherSessions(me, context, watch, email);
  await changeAddress(me, mailbox, watch, email);
  await exportData(me, email);
  await deleteAndRestore(me, mailbox, watch, email);
}

async function signUp(me, mailbox, email) {
  await me.page.bringToFront();
  await me.open();
  await me.audit();
  await me.followLink('signUp');
  await me.title('signUp');
  await me.audit();
  await me.type('email', email);
  await me.type('inviteCode', service.inviteCode);
  await me.press('signUp');
  await me.title('titleSent');
  await me.audit();

  // The page of the link leads back here.
  const confirmed = await me.confirm(mailbox, email, 'signup_choose_link', 'signup', first);
  await confirmed.followLink(text(me.language, 'page/used_signup').Button);
  await confirmed.title('titleLogIn');
  await confirmed.page.close();

  await me.page.bringToFront();
  await me.followLink('backToLogin');
  await me.title('titleLogIn');
  await me.logIn(email, first);
  await me.page.getByText(me.words.passwordChosen, { exact: true }).waitFor();
}

async function changePassword(me, watch, email) {
  watch.allowFailure(api('user/password'));
  await me.type('currentPassword', first);
  await me.type('newPassword', `${email}${email}`);
  await me.press('changePassword');
  await me.says('guessable');
  await me.audit();
  assert.equal(await me.page.getByLabel(me.words.currentPassword).inputValue(), first, 'what was typed stays');
  await me.type('newPassword', second);
  await me.press('changePassword');
  await me.says('passwordChanged');
  assert.equal(await me.page.getByLabel(me.words.newPassword).inputValue(), '', 'the form is empty');
  await me.page.reload();
  await me.account(email);
}

async function endOtherSessions(me, context, watch, email) {
  const other = me.at(await context.newPage());
  await other.open();
  await other.logIn(email, second);
  await me.page.bringToFront();
  await me.page.reload();
  await me.account(email);
  await me.press('endOthers');
  await me.says('othersEnded');
  await me.page.locator('#session-list li').nth(1).waitFor({ state: 'detached' });
  await mustBeLoggedOut(other, watch);
  await other.page.close();
}

// mustBeLoggedOut uses a page whose session has ended.
async function mustBeLoggedOut(me, watch) {
  for (const path of ['user/email', 'user/export', 'session/list', 'user', 'user/passkey/list', 'oauth/refresh', 'session/remove_others']) watch.allowFailure(api(path));
  await me.page.bringToFront();
  await me.press('download');
  await me.title('titleLogIn');
  await me.says('endedElsewhere');
}

async function changeAddress(me, mailbox, watch, email) {
  // Each address receives one mail, so that the test cannot open the one whose link was cancelled.
  const [mistyped, next] = ['.mistyped@', '.next@'].map((part) => email.replace('@', part));
  watch.allowFailure(api('user/email'));
  watch.allowFailure(api('oauth/step_up'));
  await setFault('aged');
  await me.type('newEmail', mistyped);
  const dialog = me.page.getByRole('dialog', { name: me.words.stepUp });
  for (const closeIt of ['Escape', 'cancel']) {
    await me.use(me.page.locator('form#change-email button'));
    await dialog.waitFor();
    if (closeIt === 'Escape') await me.page.keyboard.press('Escape');
    else await me.press('cancel');
    await dialog.waitFor({ state: 'hidden' });
    await me.page.locator('form#change-email[aria-busy=false]').waitFor();
    assert.equal(await me.page.getByLabel(me.words.newEmail).inputValue(), mistyped, 'what was typed stays');
    assert.ok(await me.page.locator('form#change-email button').and(me.page.locator(':focus')).count(), 'the focus returns to the button');
  }
  await me.use(me.page.locator('form#change-email button'));
  await me.type('password', first);
  await me.press('continue');
  await me.says('wrongPassword');
  await me.audit();
  await me.type('password', second);
  await me.press('continue');
  await me.says('emailAsked');
  await me.page.locator('#pending').filter({ hasText: mistyped }).waitFor();
  await me.audit();
  await me.press('cancelEmail');
  await me.says('emailCancelled');
  await me.page.locator('#pending').filter({ hasText: mistyped }).waitFor({ state: 'hidden' });

  await me.type('newEmail', next);
  await me.use(me.page.locator('form#change-email button'));
  await me.says('emailAsked');
  await (await me.confirm(mailbox, next, 'email_link', 'email')).page.close();
  await me.page.bringToFront();
  await me.page.reload();
  await me.page.locator('#email-now').filter({ hasText: next }).waitFor();

  // The old address undoes it. This ends all sessions and the password.
  await (await me.confirm(mailbox, email, 'email_undo', 'email_undo')).page.close();
  await mustBeLoggedOut(me, watch);
  await (await me.confirm(mailbox, email, 'password_choose_link', 'password', third)).page.close();
  await me.page.bringToFront();
  await me.logIn(email, third);
}

async function exportData(me, email) {
  const [download] = await Promise.all([me.page.waitForEvent('download'), me.press('download')]);
  assert.match(download.suggestedFilename(), /^account-\d{4}-\d\d-\d\d\.json$/);
  const data = JSON.parse(await readFile(await download.path(), 'utf8'));
  assert.equal(data.user.email, email);
  assert.equal(data.sessions.length, 1);
  await me.says('downloaded');
}

async function deleteAndRestore(me, mailbox, watch, email) {
  const dialog = me.page.getByRole('dialog', { name: me.words.confirmDeletion });
  await me.press('deletion');
  await dialog.waitFor();
  await dialog.getByText(me.language === 'en' ? 'in 7 days' : 'Через 7 дней').waitFor();
  await me.audit();
  await me.page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await me.page.locator('form#delete[aria-busy=false]').waitFor();
  await me.press('deletion');
  await me.press('confirmDelete');
  await me.title('titleClosed');
  await me.audit();

  watch.allowFailure(api('oauth/create'));
  await me.followLink('backToLogin');
  await me.type('email', email);
  await me.type('password', third);
  await me.press('logIn');
  await me.says('wrongLogin');

  await (await me.confirm(mailbox, email, 'deletion_undo', 'deletion_undo')).page.close();
  await me.page.bringToFront();
  await me.logIn(email, third);
  await Promise.all([me.page.waitForResponse(/\/v1\/session\//), me.press('logOut')]);
  await me.title('titleLogIn');
  await me.says('loggedOut');
  await me.page.reload();
  await me.title('titleLogIn');
  assert.equal(await me.page.evaluate(() => sessionStorage.length), 0, 'nothing is stored after the logout');
}
