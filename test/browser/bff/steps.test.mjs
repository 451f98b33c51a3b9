// An app in the browser with its backend for frontend (deploy/bff), nginx and the service. TestBackendForFrontend starts them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach } from 'node:test';
import { inBrowser, service } from '../browser.mjs';

const { EMAIL, PASSWORD, SERVICE_URL, TO_SERVICE, TO_BFF, DEV_ORIGIN, VARIANT, SAME_SITE, CROSS_SITE, PAGES_URL: CONTROL } = process.env;
const app = service.publicURL;

// Controls of the proxies and of the service: see hop_test.go and startControl.
const control = async (url) => {
  const response = await fetch(url, { method: 'POST' });
  assert.equal(response.status, 200, url);
  return response.text();
};
const counts = async () => JSON.parse(await control(`${TO_SERVICE}/test/counts`));

const status = (page) => page.getByRole('status').innerText();
async function waitStatus(page, text) {
  await page.getByRole('status').filter({ hasText: text }).waitFor();
  return status(page);
}

async function logIn(page) {
  await page.goto(app);
  await waitStatus(page, 'Please log in');
  return submit(page);
}

async function submit(page) {
  await page.getByLabel('Email').fill(EMAIL);
  await page.getByLabel('Password').fill(PASSWORD);
  const before = await status(page);
  await page.getByRole('button', { name: 'Log in' }).click();
  const text = await page.getByRole('status').filter({ hasText: /^Session / }).filter({ hasNotText: before }).innerText();
  return text.slice('Session '.length);
}

const open = async (context, text) => {
  const page = await context.newPage();
  await page.goto(app);
  await waitStatus(page, text);
  return page;
};

// tokenOf returns the refresh token in the cookie of a browser, or undefined.
async function tokenOf(context) {
  const cookies = await context.cookies();
  assert.ok(cookies.every(({ name }) => name === '__Host-refresh'), JSON.stringify(cookies));
  return cookies[0]?.value;
}

// atService calls the service directly, without the backend for frontend.
async function atService(method, path, { body, accessToken } = {}) {
  const response = await fetch(SERVICE_URL + path, {
    method,
    headers: {
      'request-id': randomUUID(),
      ...(body && { 'content-type': 'application/json' }),
      ...(accessToken && { authorization: `Bearer ${accessToken}` }),
    },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: response.status === 204 ? undefined : await response.json() };
}

const isActive = async (sessionID) => {
  const other = await atService('POST', '/v1/oauth/create', { body: { email: EMAIL, password: PASSWORD, clientID: 'test', device: {} } });
  const list = await atService('GET', '/v1/session/list', { accessToken: other.body.accessToken });
  return list.body.some((session) => session.sessionID === sessionID);
};

// mustBeCurrent checks that the session lives and that the cookie has a token that the service accepts. The session ends: this test is over.
async function mustBeCurrent(context, sessionID) {
  const first = await atService('PUT', '/v1/oauth/refresh', { body: { refreshToken: await tokenOf(context) } });
  assert.deepEqual([first.status, first.body.sessionID], [200, sessionID], 'the token in the cookie');
  const second = await atService('PUT', '/v1/oauth/refresh', { body: { refreshToken: first.body.refreshToken } });
  assert.equal(second.status, 200, 'the token after it');
}

beforeEach(async () => { // a test that failed may have left them in another state
  for (const hop of [TO_SERVICE, TO_BFF].filter(Boolean)) await control(`${hop}/test/release`);
});

// allow ignores failures of /bff/ operations that a test expects.
const allow = (watch, ...operations) => operations.forEach((operation) => watch.allowFailure(`${app}/bff/${operation}`));

inBrowser('log in, reload, log out', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh'); // 404 before the login
  const bodies = [];
  context.on('response', (response) => bodies.push(response.text().catch(() => '')));
  const sessionID = await logIn(page);

  const [cookie, ...others] = await context.cookies();
  assert.deepEqual(others, []);
  const { value: token, expires, ...attributes } = cookie;
  assert.deepEqual(attributes, {
    name: '__Host-refresh', domain: new URL(app).host, path: '/', httpOnly: true, secure: true, sameSite: 'Strict',
  });
  assert.ok(Math.abs(expires - Date.now() / 1000 - 30 * 24 * 3600) < 60, `the cookie expires at ${expires}`);

  await page.reload();
  assert.equal(await waitStatus(page, /^Session /), `Session ${sessionID}`);
  const renewed = await tokenOf(context);
  assert.notEqual(renewed, token);
  const reach = await page.evaluate(async () => {
    document.cookie = '__Host-refresh=forged; Path=/; Secure'; // a script cannot replace an HttpOnly cookie
    const stores = { ...localStorage, ...sessionStorage, databases: await indexedDB.databases(), caches: await caches.keys() };
    return JSON.stringify([document.cookie, await cookieStore.getAll(), stores, await globalThis.app.session()]);
  });
  assert.match(reach, /accessToken/);
  const seen = [reach, await page.content(), ...(await Promise.all(bodies))].join('\n');
  assert.ok(seen.includes(sessionID));
  for (const secret of [token, renewed]) assert.ok(!seen.includes(secret) && !seen.includes(secret.split('.')[2]), 'the page can see the token');
  assert.equal(await tokenOf(context), renewed);

  const { accessToken } = await page.evaluate(() => globalThis.app.session());
  await page.getByRole('button', { name: 'Log out' }).click();
  await waitStatus(page, 'Please log in');
  assert.equal(await tokenOf(context), undefined);
  assert.equal(await isActive(sessionID), false);
  assert.equal((await atService('PUT', '/v1/oauth/refresh', { body: { refreshToken: renewed } })).status, 404);
  assert.equal((await atService('GET', '/v1/oauth/verify', { accessToken })).status, 401);
  await page.reload();
  await waitStatus(page, 'Please log in');
});

// openTabs opens tabs without a session and logs in in the first.
async function openTabs(context, first, n) {
  const tabs = [first];
  await first.goto(app);
  await waitStatus(first, 'Please log in');
  while (tabs.length < n) tabs.push(await open(context, 'Please log in'));
  await first.bringToFront();
  return { tabs, sessionID: await submit(first) };
}

// refresh runs in a page: a refresh without the lock of session.mjs.
const refresh = () =>
  fetch('/bff/refresh', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }).then((r) => r.json());

const requestsOf = (page) => {
  const sent = [];
  page.on('request', (request) => sent.push(request.url()));
  return sent;
};

inBrowser('three tabs refresh at the same time', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh');
  const { tabs, sessionID } = await openTabs(context, page, 3);
  const before = (await counts()).refreshes;
  const sent = tabs.map(requestsOf);
  await control(`${TO_SERVICE}/test/hold`);
  const asked = tabs.map((tab) => tab.evaluate(refresh));
  await control(`${TO_SERVICE}/test/held`);
  while (sent.flat().length < 3) await page.waitForTimeout(20);
  await control(`${TO_SERVICE}/test/release`);
  const sessions = await Promise.all(asked);
  assert.deepEqual(sessions.map((session) => session.sessionID), Array(3).fill(sessionID));
  assert.equal((await counts()).refreshes - before, VARIANT === 'node' ? 1 : 3);
  await mustBeCurrent(context, sessionID);
});

// The lock of session.mjs: a tab sends nothing while the cookie of another one is on its way.
inBrowser('a slow response keeps the other tabs waiting', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh');
  const { tabs: [, second, third], sessionID } = await openTabs(context, page, 3);
  const [sent, before] = [requestsOf(third), await tokenOf(context)];
  await control(`${TO_SERVICE}/test/hold`);
  const slow = second.evaluate(() => globalThis.app.session());
  await control(`${TO_SERVICE}/test/held`);
  const waiting = third.evaluate(() => globalThis.app.session());
  await third.waitForFunction(() => navigator.locks.query().then(({ pending }) => pending.length === 1));
  assert.deepEqual([sent, await tokenOf(context)], [[], before]);
  await control(`${TO_SERVICE}/test/release`);
  for (const session of await Promise.all([slow, waiting])) assert.equal(session.sessionID, sessionID);
  assert.equal(sent.length, 1);
  assert.notEqual(await tokenOf(context), before);
  await mustBeCurrent(context, sessionID);
});

// Without the lock, the memory of server.mjs: an older response that arrives last has the same token.
if (VARIANT === 'node') {
  inBrowser('the response of an earlier refresh arrives last', {}, async ({ page, context, watch }) => {
    allow(watch, 'refresh');
    const sessionID = await logIn(page);
    const [first, before] = [await tokenOf(context), (await counts()).refreshes];
    await control(`${TO_BFF}/test/hold`);
    const slow = page.evaluate(refresh);
    await control(`${TO_BFF}/test/held`); // server.mjs has responded
    const others = [];
    for (let i = 0; i < 3; i++) others.push(await page.evaluate(refresh));
    const newest = await tokenOf(context);
    assert.notEqual(newest, first);
    await control(`${TO_BFF}/test/release`);
    for (const session of [await slow, ...others]) assert.equal(session.sessionID, sessionID);
    assert.equal(await tokenOf(context), newest, 'the late response set the cookie back');
    assert.equal((await counts()).refreshes - before, 1);
    await mustBeCurrent(context, sessionID);
  });
}

if (VARIANT === 'node') {
  inBrowser('development on localhost, without TLS', {}, async ({ page, context, watch }) => {
    watch.allowOrigin(DEV_ORIGIN);
    watch.allowFailure(`${DEV_ORIGIN}/bff/refresh`);
    await page.goto(DEV_ORIGIN);
    await waitStatus(page, 'Please log in');
    const sessionID = await submit(page);
    const [{ secure, httpOnly, name }] = await context.cookies();
    assert.deepEqual([name, secure, httpOnly], ['__Host-refresh', true, true]);
    await page.reload();
    await waitStatus(page, sessionID);
    await page.getByRole('button', { name: 'Log out' }).click();
    await waitStatus(page, 'Please log in');
    assert.equal(await isActive(sessionID), false);
  });
}

inBrowser('reload in the middle of a refresh', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh');
  const sessionID = await logIn(page);
  const before = await tokenOf(context);
  await control(`${TO_SERVICE}/test/hold`);
  await page.reload({ waitUntil: 'commit' });
  await control(`${TO_SERVICE}/test/held`); // the service has replaced the token, but the browser does not know
  assert.equal(await tokenOf(context), before);
  await page.reload();
  await control(`${TO_SERVICE}/test/release`);
  await waitStatus(page, sessionID);
  assert.notEqual(await tokenOf(context), before);
  await mustBeCurrent(context, sessionID);
});

for (const [name, origin, sendsCookie] of [['the same site', SAME_SITE, true], ['another site', CROSS_SITE, false]]) {
  inBrowser(`a page of ${name} can do nothing`, {}, async ({ page, context, watch }) => {
    allow(watch, 'refresh');
    const sessionID = await logIn(page);
    const [token, before] = [await tokenOf(context), await counts()];
    const attacker = await context.newPage();
    [`${origin}/`, `${origin}/favicon.ico`].forEach((url) => watch.allowFailure(url));
    const seen = [];
    attacker.on('response', async (response) => {
      if (!response.url().startsWith(app)) return;
      seen.push(response.request().allHeaders().then((headers) => ({
        what: `${headers[':method'] ?? response.request().method()} ${headers['content-type'] ?? '-'} ${response.status()}`,
        cookie: headers.cookie?.includes('__Host-refresh') ?? false,
      })));
    });
    for (const operation of ['login', 'refresh', 'password', 'logout']) {
      const url = `${app}/bff/${operation}`;
      watch.allowFailure(url);
      for (const enctype of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) {
        await attacker.goto(origin);
        await Promise.all([
          attacker.waitForURL(url),
          attacker.evaluate(([action, enctype]) => {
            const form = Object.assign(document.createElement('form'), { method: 'post', action, enctype });
            form.innerHTML = '<input name=\'{"email":"a@example.com","a":"\' value=\'"}\'>';
            document.body.append(form);
            form.submit();
          }, [url, enctype]),
        ]);
        assert.match(await attacker.content(), /403 Forbidden/);
      }
      await attacker.goto(origin);
      await Promise.all([attacker.waitForURL(url), attacker.evaluate((url) => location.assign(url), url)]); // GET
      assert.match(await attacker.content(), /405 Method Not Allowed/);
      await attacker.goto(origin);
      const results = await attacker.evaluate(async (url) => {
        const attempts = [];
        for (const credentials of ['include', 'omit']) {
          for (const mode of ['no-cors', 'cors']) {
            for (const type of ['text/plain', 'application/json']) {
              const init = { method: 'POST', mode, credentials, headers: { 'content-type': type }, body: '{}' };
              attempts.push(fetch(url, init).then((r) => r.type, (error) => error.name));
            }
          }
          attempts.push(fetch(url, { mode: 'no-cors', credentials }).then((r) => r.type));
        }
        return Promise.all(attempts);
      }, url);
      // A page of another origin can read nothing: opaque is a response without content. With no-cors, the content type becomes text/plain.
      const once = ['opaque', 'opaque', 'TypeError', 'TypeError', 'opaque'];
      assert.deepEqual(results, [...once, ...once]);
    }
    const requests = await Promise.all(seen);
    assert.ok(requests.length >= 4 * 10, `${requests.length} requests`);
    for (const { what } of requests) assert.match(what, /40[35]$/);
    assert.equal(requests.some(({ cookie }) => cookie), sendsCookie, 'SameSite=Strict');
    assert.deepEqual(await counts(), before, 'a request reached the service');
    assert.equal(await tokenOf(context), token);
    await page.bringToFront();
    await page.reload();
    await waitStatus(page, sessionID);
  });
}

inBrowser('the service stops and starts', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh', 'logout');
  const sessionID = await logIn(page);
  const token = await tokenOf(context);
  await control(`${CONTROL}/stop`);
  try {
    const refused = page.waitForResponse(`${app}/bff/refresh`);
    await page.reload();
    await waitStatus(page, 'Please try again later');
    assert.deepEqual([(await refused).status(), (await refused).headers()['retry-after']], [503, '1']);
    assert.equal(await tokenOf(context), token);
  } finally {
    await control(`${CONTROL}/start`);
  }
  await page.getByRole('button', { name: 'Try again' }).click();
  await waitStatus(page, sessionID);

  await control(`${CONTROL}/stop`);
  try {
    await page.getByRole('button', { name: 'Log out' }).click();
    await waitStatus(page, 'Logged out here only');
    assert.equal(await tokenOf(context), undefined);
  } finally {
    await control(`${CONTROL}/start`);
  }
  await page.reload();
  await waitStatus(page, 'Please log in');
  assert.equal(await isActive(sessionID), true, 'the service could not end it');
});

inBrowser('a proxy removes request-id', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh');
  const sessionID = await logIn(page);
  const token = await tokenOf(context);
  await control(`${TO_SERVICE}/test/strip/true`);
  try {
    const refused = page.waitForResponse(`${app}/bff/refresh`);
    await page.reload();
    await waitStatus(page, 'Please try again later');
    assert.deepEqual(await (await refused).json(), { code: 400, message: 'BAD_PARAMETERS', parameters: ['request-id'] });
    assert.equal(await tokenOf(context), token);
  } finally {
    await control(`${TO_SERVICE}/test/strip/false`);
  }
  await page.reload();
  await waitStatus(page, sessionID);
});

inBrowser('a session that ended elsewhere, a damaged cookie', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh');
  const sessionID = await logIn(page);
  const { accessToken } = await page.evaluate(() => globalThis.app.session());
  assert.equal((await atService('DELETE', `/v1/session/${sessionID}`, { accessToken })).status, 204);
  await page.reload();
  await waitStatus(page, 'Please log in');
  assert.equal(await tokenOf(context), undefined);

  await submit(page);
  const [cookie] = await context.cookies();
  await context.addCookies([{ ...cookie, value: cookie.value.slice(0, -8) }]);
  const refused = page.waitForResponse(`${app}/bff/refresh`);
  await page.reload();
  await waitStatus(page, 'Please log in');
  assert.deepEqual((await (await refused).json()).parameters, ['refreshToken']);
  assert.equal(await tokenOf(context), undefined);
});

inBrowser('another login ends the session that it replaces', {}, async ({ page, watch }) => {
  allow(watch, 'refresh');
  const first = await logIn(page);
  const second = await submit(page);
  assert.notEqual(second, first);
  const deadline = Date.now() + 30_000;
  while (await isActive(first)) assert.ok(Date.now() < deadline, 'the first session is still active');
  assert.equal(await isActive(second), true);
});

inBrowser('change the password, and step up', {}, async ({ page, context, watch }) => {
  allow(watch, 'refresh', 'password');
  const stepUpURL = `${app}/v1/oauth/step_up`;
  watch.allowFailure(stepUpURL);
  const bodies = [];
  context.on('response', (response) => bodies.push(response.text().catch(() => '')));
  const sessionID = await logIn(page);
  const call = (name, ...passwords) => page.evaluate(([name, passwords]) => globalThis.app[name](...passwords), [name, passwords]);
  const accessToken = () => page.evaluate(async () => (await globalThis.app.session()).accessToken);
  const chosen = 'seven green boats at noon';

  const [token, access] = [await tokenOf(context), await accessToken()];
  assert.deepEqual(await call('changePassword', 'wrong', chosen), { status: 403, message: 'WRONG_PASSWORD' });
  assert.deepEqual(await call('changePassword', PASSWORD, 'short'), { status: 422, message: 'PASSWORD_TOO_SHORT' });
  assert.deepEqual(await call('stepUp', 'wrong'), { status: 403, message: 'AUTHENTICATION_FAILED' });
  assert.deepEqual([await tokenOf(context), await accessToken()], [token, access]);

  assert.deepEqual(await call('stepUp', PASSWORD), { status: 200 });
  const proven = await accessToken();
  assert.notEqual(proven, access);
  assert.equal(await tokenOf(context), token);

  assert.deepEqual(await call('changePassword', PASSWORD, chosen), { status: 200 });
  const changed = await tokenOf(context);
  assert.notEqual(changed, token);
  assert.notEqual(await accessToken(), proven);
  await page.reload();
  await waitStatus(page, sessionID);

  // A step-up and a refresh at the same time: the second waits for the first.
  const both = await page.evaluate(async (password) => {
    const stale = (await globalThis.app.session()).accessToken;
    const [step, session] = await Promise.all([globalThis.app.stepUp(password), globalThis.app.session({ stale })]);
    return [step.status, session.sessionID];
  }, chosen);
  assert.deepEqual(both, [200, sessionID]);

  // The password may have changed although the page got no response: the cookie gets its new token.
  await control(`${TO_SERVICE}/test/lose/true`);
  try {
    assert.equal((await call('changePassword', chosen, PASSWORD)).status, 503);
  } finally {
    await control(`${TO_SERVICE}/test/lose/false`);
  }
  const seen = (await Promise.all(bodies)).join('\n');
  for (const secret of [token, changed, await tokenOf(context)]) assert.ok(!seen.includes(secret), 'the page can see the token');
  await mustBeCurrent(context, sessionID);
});
