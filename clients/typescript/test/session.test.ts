// A session against the service, behind gateways and networks that fail. These tests need AUTH_ACCESS_TOKEN_TTL=2s.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MemoryStore, RefreshError, Session, type EndReason, type Tokens } from "@financelime/authorization";
import { gateway, type Verdict } from "./gateway.js";
import { expired, until, url, User } from "./service.js";

const refreshPath = "/v1/oauth/refresh";
const user = new User();
before(() => user.join());

/** Returns a session behind a gateway, and counts how often it ends. */
function behind(baseUrl: string, tokens: Tokens) {
  const store = new MemoryStore(tokens);
  const session = new Session(baseUrl, { store, attempts: 3 });
  const ends: EndReason[] = [];
  session.onEnd((reason) => ends.push(reason));
  const list = () => session.fetch(`${baseUrl}/v1/session/list`, { headers: { "request-id": crypto.randomUUID() } });
  return { store, session, ends, list };
}

/** Returns tokens of a new session whose access token has expired, and a gateway. */
async function setUp(t: Parameters<typeof gateway>[0], decide: Parameters<typeof gateway>[1]) {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, decide);
  return { tokens, proxy, ...behind(proxy.url, expired(tokens)) };
}

const forward = (): Verdict => "forward";

test("twenty calls with an expired access token send one refresh", async (t) => {
  const { store, list, proxy, tokens } = await setUp(t, forward);
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await list()).status));
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.equal(proxy.count(refreshPath), 1);
  assert.notEqual(store.load()?.refreshToken, tokens.refreshToken);
});

test("tokens that expire soon are refreshed before the call: no 401", async (t) => {
  const { tokens } = await user.logIn();
  assert.equal(tokens.expiresIn, 2);
  const statuses: number[] = [];
  const proxy = await gateway(t, forward);
  const { store, list } = behind(proxy.url, { ...tokens, receivedAt: Date.now() - 1900 });
  statuses.push((await list()).status);
  assert.deepEqual(statuses, [200]);
  assert.deepEqual(proxy.calls.map((c) => c.path), [refreshPath, "/v1/session/list"]);
  assert.equal(store.load()?.expiresIn, 2);
});

test("an access token that expires by itself is renewed, with a device clock that is wrong", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, forward);
  const yearOff = { ...tokens, receivedAt: Date.now() + 365 * 86_400_000 }; // the clock was set back by a year after the login
  const { list, store } = behind(proxy.url, yearOff);
  assert.equal((await list()).status, 200);
  assert.equal(proxy.count(refreshPath), 1);
  // Without an age only the 401 of the service shows that the token has expired.
  const { receivedAt: _, ...ageless } = store.load()!;
  store.save(ageless);
  await until("the refresh after a 401", async () => {
    assert.equal((await list()).status, 200);
    return proxy.count(refreshPath) === 2;
  });
});

test("a refresh whose request-id was stripped on the way logs nobody out", async (t) => {
  let strip = true;
  const { session, store, ends, list, proxy } = await setUp(t, (call) => {
    if (strip) {
      delete call.headers["request-id"];
    }
    return "forward";
  });
  const before = store.load();
  const error = await session.refresh().catch((e: unknown) => e);
  assert.ok(error instanceof RefreshError, String(error));
  assert.deepEqual([error.failure.status, error.failure.message], [400, "BAD_PARAMETERS"]);
  assert.deepEqual("parameters" in error.failure && error.failure.parameters, ["request-id"]);
  await assert.rejects(session.fetch(`${proxy.url}/v1/oauth/verify`), RefreshError);
  assert.deepEqual([store.load(), ends], [before, []]);
  strip = false;
  assert.equal((await list()).status, 200);
  assert.ok(proxy.count(refreshPath) >= 2);
});

test("a refresh with a lost response is repeated with the same token", async (t) => {
  let lost = 0;
  const { list, ends, proxy } = await setUp(t, ({ path }) => (path === refreshPath && ++lost === 1 ? "lose" : "forward"));
  assert.equal((await list()).status, 200);
  assert.equal(proxy.count(refreshPath), 2);
  assert.deepEqual(ends, []);
});

test("a network that stays away is a RefreshError, keeps the tokens, and costs no login later", async (t) => {
  let away = true;
  const { store, list, session, ends, proxy } = await setUp(t, ({ path }) => (away && path === refreshPath ? "lose" : "forward"));
  const before = store.load();
  const error = await list().catch((e: unknown) => e);
  assert.ok(error instanceof RefreshError && error.failure.status === "network", String(error));
  assert.equal(proxy.count(refreshPath), 3);
  assert.deepEqual([store.load(), ends, session.state], [before, [], "loggedIn"]);
  away = false;
  assert.equal((await list()).status, 200);
});

for (const [name, reply] of Object.entries({
  "503": { status: 503, headers: { "retry-after": "0" } },
  "500": { status: 500, body: '{"code":500,"message":"500 Internal Server Error"}' },
  "429 of a gateway": { status: 429, headers: { "retry-after": "1" } },
  "502 of a gateway": { status: 502, body: "<h1>Bad Gateway</h1>" },
  "404 of a gateway": { status: 404, body: "<h1>Not Found</h1>" },
  "404 for an unknown path": { status: 404, body: '{"code":404,"message":"404 Not Found"}' },
  "400 of a gateway": { status: 400, body: "<h1>Bad Request</h1>" },
  "400 that names another parameter": { status: 400, body: '{"code":400,"message":"BAD_PARAMETERS","parameters":["request-id"]}' },
  "400 without names": { status: 400, body: '{"code":400,"message":"BAD_PARAMETERS"}' },
  "200 of a captive portal": { status: 200, body: "<h1>Welcome to the hotel</h1>" },
  "200 with other JSON": { status: 200, body: '{"accessToken":""}' },
  "204": { status: 204 },
})) {
  test(`a refresh that gets a ${name} keeps the tokens`, async (t) => {
    let broken = true;
    const { store, list, ends } = await setUp(t, ({ path }) => (broken && path === refreshPath ? reply : "forward"));
    const before = store.load();
    await assert.rejects(list(), RefreshError);
    assert.deepEqual([store.load(), ends], [before, []]);
    broken = false;
    assert.equal((await list()).status, 200);
  });
}

test("a session that was ended elsewhere ends once", async (t) => {
  const { store, list, session, ends, proxy, tokens } = await setUp(t, forward);
  const { auth } = await user.logIn();
  assert.ok((await auth.endSession(tokens.sessionID)).ok);
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await list()).status));
  assert.deepEqual(new Set(statuses), new Set([401]));
  assert.equal(proxy.count(refreshPath), 1);
  assert.deepEqual([store.load(), ends, session.state], [undefined, ["ended"], "loggedOut"]);
  assert.equal((await list()).status, 401);
  assert.deepEqual(ends, ["ended"]);
});

test("a forged refresh token ends the session: the 400 names it", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, forward);
  const { session, store, ends } = behind(proxy.url, { ...tokens, refreshToken: "forged" });
  assert.equal(await session.refresh(), undefined);
  assert.deepEqual([store.load(), ends], [undefined, ["ended"]]);
});

test("new tokens are stored before their first use", async (t) => {
  const order: string[] = [];
  const proxy = await gateway(t, ({ path, headers }) => {
    order.push(`${path} ${headers.authorization === "Bearer expired" ? "old" : "new"}`);
    return "forward";
  });
  const { tokens } = await user.logIn();
  const memory = new MemoryStore(expired(tokens));
  const store = {
    load: () => Promise.resolve(memory.load()),
    save: async (renewed: Tokens | undefined) => {
      await new Promise((resolve) => setImmediate(resolve)); // an asynchronous store
      memory.save(renewed);
      order.push("stored");
    },
  };
  await new Session(proxy.url, { store }).fetch(`${proxy.url}/v1/oauth/verify`);
  assert.deepEqual(order, ["/v1/oauth/verify old", `${refreshPath} new`, "stored", "/v1/oauth/verify new"]);
});

test("tokens that cannot be stored are not used, and asked for again", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, forward);
  const memory = new MemoryStore(expired(tokens));
  let full = true;
  const store = {
    load: () => memory.load(),
    save(renewed: Tokens | undefined) {
      if (full) {
        throw new Error("the disk is full");
      }
      memory.save(renewed);
    },
  };
  const session = new Session(proxy.url, { store });
  await assert.rejects(session.fetch(`${proxy.url}/v1/oauth/verify`), /the disk is full/);
  assert.equal(proxy.count("/v1/oauth/verify"), 1);
  full = false;
  assert.equal((await session.fetch(`${proxy.url}/v1/oauth/verify`)).status, 204);
});

test("a logout while a refresh is under way is final", async (t) => {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let arrived = () => {};
  const refreshing = new Promise<void>((resolve) => (arrived = resolve));
  let first = true;
  const { session, store, ends, tokens } = await setUp(t, async ({ path }): Promise<Verdict> => {
    if (path === refreshPath && first) {
      first = false;
      arrived();
      await held;
    }
    return "forward";
  });
  const refreshed = session.refresh();
  await refreshing;
  assert.ok((await session.logOut()).ok);
  release();
  assert.equal(await refreshed, undefined);
  assert.deepEqual([store.load(), ends], [undefined, ["loggedOut"]]);
  const other = await user.logIn();
  const list = await other.auth.sessions();
  assert.ok(list.ok && !list.data.some((s) => s.sessionID === tokens.sessionID));
});

test("a logout deletes the tokens, even if the service cannot be reached", async (t) => {
  const { session, store, ends } = await setUp(t, () => ({ status: 503, headers: { "retry-after": "0" } }));
  const result = await session.logOut();
  assert.equal(!result.ok && result.failure.status, 503);
  assert.deepEqual([store.load(), ends, session.state], [undefined, ["loggedOut"], "loggedOut"]);
  assert.deepEqual(await session.logOut(), { ok: true, data: undefined });
});

test("two sessions without a common lock refresh at the same time and stay logged in", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, forward);
  const tabs = Array.from({ length: 3 }, () => behind(proxy.url, expired(tokens))); // each with its own store: the worst case
  const renewed = await Promise.all(tabs.map(({ session }) => session.refresh()));
  assert.equal(new Set(renewed.map((r) => r?.refreshToken)).size, 1);
  for (const { list } of tabs) {
    assert.equal((await list()).status, 200);
  }
});

test("an aborted call leaves the shared refresh alone", async (t) => {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const { session, list, proxy } = await setUp(t, async ({ path }): Promise<Verdict> => {
    if (path === refreshPath) {
      await held;
    }
    return "forward";
  });
  const controller = new AbortController();
  const aborted = session.fetch(`${proxy.url}/v1/oauth/verify`, { signal: controller.signal });
  const other = list();
  await until("the refresh", () => proxy.count(refreshPath));
  controller.abort(new Error("the user left"));
  await assert.rejects(aborted, /the user left/);
  release();
  assert.equal((await other).status, 200);
  assert.equal(proxy.count(refreshPath), 1);
});

test("listeners learn of logins and logouts, and may come and go", async () => {
  const { auth, session } = await user.logIn();
  const states: string[] = [];
  for (let mount = 0; mount < 2; mount++) {
    session.subscribe(() => states.push("unmounted"))(); // React's StrictMode mounts twice
  }
  const unsubscribe = session.subscribe(() => states.push(session.state));
  const ends: EndReason[] = [];
  session.onEnd((reason) => ends.push(reason));
  await session.tokens();
  await auth.logOut();
  await auth.logIn(user);
  unsubscribe();
  await auth.logOut();
  assert.deepEqual(states, ["loggedOut", "loggedIn"]);
  assert.deepEqual(ends, ["loggedOut", "loggedOut"]);
  assert.equal(new Session(url).state, "unknown");
});
