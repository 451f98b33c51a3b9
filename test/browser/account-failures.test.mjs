// What goes wrong on /account: wrong input, lost responses, no network, no database, a session that has ended, a limit.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { api, Hand, password, setFault, withUser } from './account.mjs';
import { inBrowser, service } from './browser.mjs';

const key = 'financelime-account';
const tokens = async (page) => JSON.parse(await page.evaluate((key) => sessionStorage.getItem(key), key));

inBrowser('wrong input is explained next to its field, and stays', { language: 'en' }, async (t) => {
  const me = new Hand(t.page, t);
  for (const path of ['oauth/create', 'user/signup', 'user/password']) t.watch.allowFailure(api(path));
  await me.open();
  await me.press('logIn');
  await me.says('fillIn');
  await me.type('email', 'nobody@example.com');
  await me.type('password', 'wrong');
  await me.press('logIn');
  await me.says('wrongLogin');
  await me.audit();
  await me.press('show');
  assert.equal(await me.page.locator('#login-password').getAttribute('type'), 'text', 'the password is shown');
  await me.type('email', 'nobody');
  await me.press('logIn');
  await me.says('badEmail');
  await me.type('email', 'nobody@example.com');
  await me.followLink('forgotLink');
  await me.title('titleForgot');
  await me.audit();
  await me.press('sendLink');
  await me.says('unknownEmail');
  await me.page.goBack();
  await me.title('titleLogIn');
  assert.equal(await me.page.locator('#login-email').inputValue(), 'nobody@example.com', 'what was typed stays');
  await me.followLink('signUp');
  await me.type('inviteCode', 'no-such-code');
  await me.press('signUp');
  await me.says('unknownInvite');
  await me.audit();
  // The language changes in place: the message and what was typed stay.
  await me.press('Русский');
  const russian = new Hand(t.page, { ...t, language: 'ru' });
  await russian.title('signUp');
  await russian.page.getByText(russian.words.unknownInvite, { exact: true }).waitFor();
  assert.equal(await me.page.locator('#sign-up-code').inputValue(), 'no-such-code');
  await russian.audit();
});

withUser('a session that was ended elsewhere', { device: 'phone', language: 'ru' }, async ({ me, email, context, watch }) => {
  const other = me.at(await context.newPage());
  await other.open(); // another tab has no session
  await other.logIn(email, password);
  for (const path of ['session/list', 'user', 'user/passkey/list', 'oauth/refresh', 'user/email']) watch.allowFailure(api(path));
  await other.page.locator('#session-list button').click();
  await other.says('sessionEnded');
  await me.page.bringToFront();
  await me.page.reload();
  await me.title('titleLogIn');
  await me.says('endedElsewhere');
  await me.audit();
});

withUser('a duplicated tab does not use the tokens of the first', {}, async ({ me, email, context }) => {
  const stored = () => me.page.evaluate(() => sessionStorage.getItem('financelime-account'));
  assert.ok(await stored());
  const [copy] = await Promise.all([context.waitForEvent('page'), me.page.evaluate(() => void window.open('account'))]);
  await me.at(copy).title('titleLogIn');
  assert.equal(await copy.evaluate(() => sessionStorage.getItem('financelime-account')), null);
  assert.ok(await stored());
  await me.page.reload(); // a reload takes the lock of the page before it
  await me.account(email);
});

withUser('the page works below a path of the public URL', {}, async ({ me, email }) => {
  const below = `${service.publicURL}/users/auth/`;
  await me.page.route(`${below}**`, async (route) => { // a gateway that removes the path
    const url = route.request().url().replace(below, `http://${service.httpAddr}/`);
    await route.fulfill({ response: await route.fetch({ url, maxRedirects: 0 }) });
  });
  const outside = [];
  me.page.on('request', (request) => request.url().startsWith(below) || outside.push(request.url()));
  await me.page.goto(`${below}account`);
  await me.account(email); // in the same tab
  await Promise.all([me.page.waitForResponse(/\/v1\/session\//), me.press('logOut')]);
  await me.says('loggedOut');
  await me.logIn(email, password);
  assert.deepEqual(outside, []);
});

withUser('a lost response of a refresh logs nobody out', {}, async ({ me, email, watch }) => {
  watch.allowFailure(api('oauth/refresh'));
  const sent = [];
  await me.page.route(api('oauth/refresh'), async (route) => {
    sent.push(route.request().postDataJSON().refreshToken);
    const response = await route.fetch({ url: `http://${service.httpAddr}/v1/oauth/refresh` });
    assert.equal(response.status(), 200);
    await (sent.length === 1 ? route.abort('connectionreset') : route.fulfill({ response }));
  });
  await me.page.evaluate(() => { // the access token is due
    const key = 'financelime-account';
    sessionStorage.setItem(key, JSON.stringify({ ...JSON.parse(sessionStorage.getItem(key)), receivedAt: 0 }));
  });
  await me.page.reload();
  await me.account(email);
  assert.equal(sent.length, 2, 'two requests of the page wait for one refresh, which is repeated');
  assert.equal(sent[0], sent[1], 'with the same token');
  await me.page.reload();
  await me.account(email);
});

withUser('a gateway loses the response to a change of the password', {}, async ({ me, email, watch }) => {
  watch.allowFailure(api('user/password'));
  await me.page.route(api('user/password'), async (route) => {
    const response = await route.fetch({ url: `http://${service.httpAddr}/v1/user/password` });
    assert.equal(response.status(), 200);
    await route.fulfill({ status: 504, contentType: 'text/html', body: '<h1>504 Gateway Timeout</h1>' });
  });
  const old = await tokens(me.page);
  await me.type('currentPassword', password);
  await me.type('newPassword', 'nine amber lamps by the river');
  const [renewed] = await Promise.all([
    me.page.waitForResponse((response) => response.url() === api('oauth/refresh'), { timeout: 20_000 }), me.press('changePassword'),
  ]);
  assert.equal(renewed.status(), 200, 'the refresh token from before the change still gets the next one');
  await me.says('lostPasswordChange');
  await me.page.waitForFunction(([key, before]) => JSON.parse(sessionStorage.getItem(key)).refreshToken !== before, [key, old.refreshToken]);
  await me.page.reload();
  await me.account(email);
});

withUser('a lost export is not repeated: each one counts', {}, async ({ me, watch }) => {
  watch.allowFailure(api('user/export'));
  let sent = 0;
  await me.page.route(api('user/export'), (route) => {
    sent++;
    return route.abort('connectionreset');
  });
  await me.press('download');
  await me.says('noResponse');
  assert.equal(sent, 1);
});

withUser('full storage keeps no old tokens', {}, async ({ me }) => {
  assert.ok(await tokens(me.page));
  await me.page.evaluate(() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; });
  await me.type('currentPassword', password);
  await me.type('newPassword', 'nine amber lamps by the river');
  await me.press('changePassword');
  await me.says('passwordChanged');
  assert.equal(await tokens(me.page), null, 'the tokens from before the change are deleted');
});

withUser('the name of a device turns no other text around, and is not wider than a phone', { device: 'phone' }, async ({ me, email }) => {
  for (const [clientID, platform] of [['other_v1', '\u202eenohPi'], ['long_v1', 'W'.repeat(128)]]) {
    const response = await fetch(`http://${service.httpAddr}/v1/oauth/create`, {
      method: 'POST',
      headers: { 'request-id': randomUUID(), 'content-type': 'application/json' },
      body: JSON.stringify({ email, password, clientID, device: { platform } }),
    });
    assert.equal(response.status, 200, await response.text());
  }
  await me.page.reload();
  await me.account(email);
  await me.audit(); // nothing is wider than a phone
  const item = me.page.locator('#session-list li').filter({ hasText: 'other_v1' });
  const isIsolated = await item.evaluate((li) => { // a mark after the name stands at its right
    const mark = Object.assign(document.createElement('span'), { textContent: 'mark' });
    li.querySelector('strong').after(mark);
    return mark.getBoundingClientRect().left >= li.querySelector('strong').getBoundingClientRect().right;
  });
  assert.ok(isIsolated);
});

withUser('no network and no database: nothing that was typed is lost', { language: 'ru', device: 'phone' }, async ({ me, email, context, watch, t }) => {
  for (const path of ['user/password', 'user', 'session/list', 'oauth/refresh']) watch.allowFailure(api(path));
  await me.type('currentPassword', password);
  await me.type('newPassword', 'nine amber lamps by the river');
  await context.setOffline(true);
  await me.press('changePassword');
  await me.says('offline');
  await me.audit();
  assert.equal(await me.page.getByLabel(me.words.currentPassword).inputValue(), password);
  await context.setOffline(false);

  t.after(() => setFault('none'));
  await setFault('locked');
  await me.press('changePassword');
  await me.page.locator('#connection').filter({ hasText: me.words.waiting }).waitFor({ timeout: 30_000 });
  await setFault('none'); // the page tries again by itself
  await me.says('passwordChanged');
  await me.page.locator('#connection').filter({ hasText: me.words.waiting }).waitFor({ state: 'hidden' });

  await context.route(/\/v1\/(user|session\/list)$/, (route) => route.abort('connectionrefused')); // the page itself loads
  await me.page.reload();
  await me.says('noResponse');
  await me.audit();
  await context.unroute(/\/v1\/(user|session\/list)$/);
  await me.press('tryAgain');
  await me.account(email);
});

inBrowser('a limit says when to try again', { language: 'ru' }, async (t) => {
  const me = new Hand(t.page, t);
  t.watch.allowFailure(api('oauth/create'));
  await me.open();
  const email = `p${randomUUID()}@example.com`;
  for (let i = 0; i < 5; i++) {
    await me.type('email', email);
    await me.type('password', `wrong ${i}`);
    await me.press('logIn');
    await me.says('wrongLogin');
    await me.page.locator('[aria-busy=true]').waitFor({ state: 'detached' });
  }
  await me.press('logIn');
  await me.says('tooMany');
  assert.match(await me.page.locator('#login [role=alert]').innerText(), /через \d+ (минут|час).*\d\d:\d\d/);
  assert.equal(await me.page.locator('#login-email').inputValue(), email, 'what was typed stays');
  await me.audit();
});
