// The npm package in real tabs. package_test.go starts the app, the service, and the gateway between them.
import assert from 'node:assert/strict';
import { inBrowser, service } from '../browser.mjs';

const { CONTROL_URL: control, USER_EMAIL: email, USER_PASSWORD: password } = process.env;

const key = 'financelime-authorization';
const command = async (name) => (await fetch(`${control}/${name}`)).text();
const refreshes = async () => Number(await command('count'));

async function until(what, condition) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20)); // between two checks
  }
  throw new Error(`not within a minute: ${what}`);
}

// inTabs is a test with a browser window of its own. Console messages about failed requests are expected here; uncaught errors are not.
function inTabs(name, steps, init) {
  inBrowser(name, {}, async ({ context, watch }) => {
    const uncaught = [];
    context.on('weberror', (error) => uncaught.push(String(error.error())));
    if (init) await context.addInitScript(init);
    await command('release');
    try {
      await steps({ context, open: () => openTab(context) });
    } finally {
      await command('release');
    }
    assert.deepEqual(uncaught, []);
    watch.discard();
  });
}

// openTab opens the app in a tab.
async function openTab(context) {
  const tab = await context.newPage();
  await tab.goto(service.pagesURL);
  await tab.waitForFunction(() => window.lib);
  await tab.evaluate((url) => {
    window.auth = new window.lib.Auth(url, { clientID: 'browser_v1', store: new window.lib.BrowserStore() });
    window.ends = [];
    window.auth.session.onEnd((reason) => window.ends.push(reason));
  }, service.publicURL);
  return tab;
}

const logIn = async (tab) => {
  const result = await tab.evaluate((user) => window.auth.logIn(user), { email, password });
  assert.ok(result.ok, JSON.stringify(result));
  await command('reset');
  return result.data;
};
const stored = (tab) => tab.evaluate((name) => JSON.parse(localStorage.getItem(name)), key);
const call = (tab) => tab.evaluate(async () => {
  const result = await window.auth.sessions();
  return result.ok ? 'ok' : result.failure.status;
});
const calls = (tab) => tab.evaluate(async () => {
  const results = await Promise.all(Array.from({ length: 20 }, () => window.auth.sessions()));
  return [...new Set(results.map((r) => (r.ok ? 'ok' : r.failure.status)))];
});
const ends = (tab) => tab.evaluate(() => window.ends);

// What makes the stored access token unusable: the service rejects it, or its age says that it has expired.
const expiries = {
  'that the service rejects': (tokens) => ({ ...tokens, accessToken: 'expired', expiresIn: undefined }),
  'that is older than its lifetime': (tokens) => ({ ...tokens, receivedAt: tokens.receivedAt - 3_600_000 }),
};
const expire = async (tab, change = Object.values(expiries)[0]) => {
  const tokens = change(await stored(tab));
  await tab.evaluate(([name, value]) => localStorage.setItem(name, value), [key, JSON.stringify(tokens)]);
};

for (const [name, change] of Object.entries(expiries)) {
  inTabs(`twenty calls in each of three tabs, with an access token ${name}: one refresh`, async ({ open }) => {
    const tabs = [await open(), await open(), await open()];
    await logIn(tabs[0]);
    for (let round = 1; round <= 3; round++) {
      await expire(tabs[0], change);
      const shared = JSON.stringify(await stored(tabs[0]));
      for (const tab of tabs) await until('every tab sees the tokens', async () => JSON.stringify(await stored(tab)) === shared);
      assert.deepEqual(await Promise.all(tabs.map(calls)), Array(3).fill(['ok']));
      assert.equal(await refreshes(), round);
    }
    for (const tab of tabs) assert.deepEqual(await ends(tab), []);
  });
}

inTabs('a logout in one tab ends the others, once; a login reaches them too', async ({ open }) => {
  const tabs = [await open(), await open(), await open()];
  await logIn(tabs[0]);
  const states = (state) => until(state, async () => (await Promise.all(tabs.map(
    (tab) => tab.evaluate(() => window.auth.session.state),
  ))).every((s) => s === state));
  await states('loggedIn');
  assert.deepEqual(await tabs[1].evaluate(() => window.auth.logOut()), { ok: true, data: undefined });
  await states('loggedOut');
  assert.deepEqual(await Promise.all(tabs.map(ends)), [['elsewhere'], ['loggedOut'], ['elsewhere']]);
  assert.equal(await call(tabs[2]), 401);
  await logIn(tabs[2]);
  await states('loggedIn');
  assert.equal(await call(tabs[0]), 'ok');
  assert.deepEqual(await Promise.all(tabs.map(ends)), [['elsewhere'], ['loggedOut'], ['elsewhere']]);
});

inTabs('a tab that is closed in the middle of a refresh logs nobody out', async ({ open }) => {
  const [first, second] = [await open(), await open()];
  const before = await logIn(first);
  await expire(first);
  await until('the second tab sees the tokens', async () => (await stored(second))?.accessToken === 'expired');
  await command('hold');
  void calls(first).catch(() => {}); // the tab goes away
  await until('the refresh', async () => await refreshes() === 1);
  const waiting = calls(second);
  await first.close();
  await command('release');
  assert.deepEqual(await waiting, ['ok']);
  assert.notEqual((await stored(second)).refreshToken, before.refreshToken);
  assert.deepEqual(await ends(second), []);
});

inTabs('a tab that never releases the lock delays the others, and nothing else', async ({ open }) => {
  const [suspended, tab] = [await open(), await open()];
  await logIn(tab);
  await expire(tab);
  await suspended.evaluate((name) => new Promise((resolve) => {
    void navigator.locks.request(name, () => new Promise(() => resolve()));
    navigator.locks.request(`${name}-unused`, () => resolve());
  }), key);
  assert.deepEqual(await calls(tab), ['ok']);
  assert.equal(await refreshes(), 1);
});

inTabs('without navigator.locks each tab may refresh, and all stay logged in', async ({ open }) => {
  const tabs = [await open(), await open(), await open()];
  assert.equal(await tabs[0].evaluate(() => navigator.locks), undefined);
  await logIn(tabs[0]);
  await expire(tabs[0]);
  for (const tab of tabs) await until('every tab sees the tokens', async () => (await stored(tab))?.accessToken === 'expired');
  assert.deepEqual(await Promise.all(tabs.map(calls)), Array(3).fill(['ok']));
  assert.ok(await refreshes() <= 3);
  await expire(tabs[0]);
  assert.deepEqual(await Promise.all(tabs.map(calls)), Array(3).fill(['ok']));
  for (const tab of tabs) assert.deepEqual(await ends(tab), []);
}, () => Object.defineProperty(Navigator.prototype, 'locks', { value: undefined }));

inTabs('offline, then online', async ({ context, open }) => {
  const tab = await open();
  await logIn(tab);
  await expire(tab);
  const before = await stored(tab);
  await context.setOffline(true);
  assert.equal(await call(tab), 'network');
  assert.deepEqual([await stored(tab), await ends(tab)], [before, []]);
  await context.setOffline(false);
  assert.equal(await call(tab), 'ok');
  assert.deepEqual(await ends(tab), []);
});

inTabs('with blocked storage the tokens stay in the tab', async ({ open }) => {
  const tab = await open();
  assert.equal(await tab.evaluate(() => { try { return typeof localStorage; } catch (error) { return error.name; } }), 'SecurityError');
  await logIn(tab);
  assert.equal(await call(tab), 'ok');
  assert.ok(await tab.evaluate(async () => (await window.auth.session.refresh()).accessToken));
  assert.equal(await refreshes(), 1);
  assert.equal(await call(tab), 'ok');
  assert.deepEqual(await tab.evaluate(() => window.auth.logOut()), { ok: true, data: undefined });
  assert.equal(await call(tab), 401);
}, () => Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('blocked', 'SecurityError'); } }));

inTabs('with full storage no tab finds an old refresh token', async ({ open }) => {
  const tab = await open();
  const before = await logIn(tab);
  // The new tokens are longer than the old ones, and there is no room for one more character.
  await tab.evaluate((name) => {
    localStorage.setItem(name, JSON.stringify({ ...JSON.parse(localStorage.getItem(name)), accessToken: 'x' }));
    let chunk = 'x'.repeat(1 << 20);
    for (let i = 0; chunk; i++) {
      try { localStorage.setItem(`filler${i}`, chunk); } catch { chunk = chunk.slice(0, chunk.length >> 1); }
    }
  }, key);
  assert.equal(await call(tab), 'ok');
  assert.equal(await stored(tab), null);
  assert.notEqual(await tab.evaluate(async () => (await window.auth.session.tokens()).refreshToken), before.refreshToken);
  await tab.evaluate(() => { for (const name of Object.keys(localStorage)) if (name.startsWith('filler')) localStorage.removeItem(name); });
  assert.ok(await tab.evaluate(async () => (await window.auth.session.refresh()).accessToken));
  assert.notEqual(await stored(tab), null);
});

inTabs('damaged content counts as no tokens', async ({ open }) => {
  const tab = await open();
  for (const content of ['{', 'null', '[]', '"x"', '{"accessToken":"x"}', '{"sessionID":1,"accessToken":"x","refreshToken":"y"}']) {
    await tab.evaluate(([name, value]) => localStorage.setItem(name, value), [key, content]);
    assert.equal(await call(tab), 401, content);
  }
  await logIn(tab);
  assert.equal(await call(tab), 'ok');
});

inTabs('a reload keeps the user logged in; a new tab knows', async ({ open }) => {
  const tab = await open();
  await logIn(tab);
  await tab.reload();
  const other = await open();
  await until('the state', async () => await other.evaluate(() => window.auth.session.state) === 'loggedIn');
  assert.equal(await call(other), 'ok');
});
