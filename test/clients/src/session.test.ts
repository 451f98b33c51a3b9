// These tests need a service with AUTH_ACCESS_TOKEN_TTL=1s.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { connect, withRetry, Session, type Fetch, type Tokens } from "./client.js";
import { loggedIn, Memory, url, User } from "./service.js";

const user = new User();
before(() => user.join());

/** Returns a fetch function that counts the requests by path. */
function counting() {
  const sent = new Map<string, number>();
  const next: Fetch = (request) => {
    const { pathname } = new URL(request.url);
    sent.set(pathname, (sent.get(pathname) ?? 0) + 1);
    return fetch(request);
  };
  return { sent, next };
}

/** Waits until an access token has expired. It uses the list of sessions, because verify also rejects the token of an ended session. */
async function expired(tokens: Tokens) {
  const { exp } = JSON.parse(Buffer.from(tokens.accessToken.split(".")[1]!, "base64url").toString()) as { exp: number };
  const request = () => new Request(`${url}/v1/session/list`, { headers: { authorization: tokens.accessToken, "request-id": crypto.randomUUID() } });
  for (const deadline = exp * 1000 + 60_000; (await fetch(request())).status !== 401; ) {
    assert.ok(Date.now() < deadline, "the access token does not expire");
    await new Promise((resolve) => setTimeout(resolve, 50)); // between two checks
  }
}

test("many calls with an expired access token send one refresh", async () => {
  const { sent, next } = counting();
  const tokens = await user.login();
  const { api, store } = loggedIn(tokens, next);
  await expired(tokens);
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      i % 2 ? api.GET("/v1/session/list") : api.DELETE("/v1/session/remove", { body: { sessionID: "unknown" } }),
    ),
  );
  assert.deepEqual(new Set(results.map((a) => a.response.status)), new Set([200, 204]));
  assert.equal(sent.get("/v1/oauth/refresh"), 1);
  assert.notEqual(store.load()?.refreshToken, tokens.refreshToken);
});

test("tabs that refresh at the same time stay logged in", async () => {
  const tokens = await user.login();
  const tabs = [loggedIn(tokens), loggedIn(tokens), loggedIn(tokens)]; // each with its own store: the worst case
  const renewed = await Promise.all(tabs.map((tab) => tab.session.refresh(tokens)));
  assert.equal(new Set(renewed.map((f) => f?.refreshToken)).size, 1);
  assert.notEqual(renewed[0]?.refreshToken, tokens.refreshToken);
  for (const tab of tabs) {
    await expired(tab.store.load()!);
    assert.equal((await tab.api.GET("/v1/session/list")).response.status, 200);
  }
});

test("an ended session is removed from the store, and calls get 401", async () => {
  const tokens = await user.login();
  const { api, store } = loggedIn(tokens);
  await api.DELETE("/v1/session/{sessionID}", { params: { path: { sessionID: tokens.sessionID } } });
  await expired(tokens);
  assert.equal((await api.GET("/v1/session/list")).response.status, 401);
  assert.equal(store.load(), undefined);
  assert.equal((await api.GET("/v1/session/list")).response.status, 401);
});

test("a refresh with a lost response is repeated with the same token", async () => {
  let lose = true;
  const tokens = await user.login();
  const lossy: Fetch = async (request) => {
    const response = await fetch(request);
    if (lose && request.url.endsWith("/refresh")) {
      throw new TypeError("the response was lost");
    }
    return response;
  };
  const { api, store } = loggedIn(tokens, lossy);
  await expired(tokens);
  await assert.rejects(api.GET("/v1/session/list"), /the response was lost/);
  assert.deepEqual(store.load(), tokens);
  lose = false;
  assert.equal((await api.GET("/v1/session/list")).response.status, 200);
});

test("requests are retried after 503 with their body, and the user stays logged in", async () => {
  const bodies: string[] = [];
  const statuses = [503, 503, 204, 503, 503, 503];
  const busy: Fetch = async (request) => {
    bodies.push(await request.text());
    const status = statuses.shift()!;
    return status === 204 ? new Response(null, { status }) : Response.json({}, { status, headers: { "retry-after": "0" } });
  };
  const api = connect(url, withRetry(busy));
  const body = { email: "a@example.com" };
  assert.equal((await api.POST("/v1/user/password", { body })).response.status, 204);
  assert.deepEqual(bodies, Array(3).fill(JSON.stringify(body)));

  const tokens: Tokens = { sessionID: "s", accessToken: "a", refreshToken: "r" };
  const store = new Memory(tokens);
  await assert.rejects(new Session(store, api).refresh(tokens), /refresh: status 503/);
  assert.deepEqual(store.load(), tokens);
});
