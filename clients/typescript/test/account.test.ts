// The account of a user: changes of the password, step-up, and operations that need a recent authentication.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MemoryStore, type EndReason } from "@financelime/authorization";
import { gateway, type Verdict } from "./gateway.js";
import { client, expired, User } from "./service.js";

const user = new User();
before(() => user.join());

const passwordPath = "/v1/user/password";
const refreshPath = "/v1/oauth/refresh";
const stepUpPath = "/v1/oauth/step_up";

/** Returns the claims of an access token. */
function claims(accessToken: string): { auth_time: number; acr: string } {
  return JSON.parse(Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString()) as never;
}

/** Returns status and message of a failure, and undefined for a success. */
function reason(result: { ok: boolean; failure?: { status: unknown; message: unknown } }): unknown[] | undefined {
  return result.failure && [result.failure.status, result.failure.message];
}

test("a change of the password stores the new tokens, and ends the other sessions", async () => {
  const person = await new User().join();
  const { auth, session, tokens } = await person.logIn();
  const other = await person.logIn();
  const chosen = "seven green boats at noon";
  assert.deepEqual(reason(await auth.changePassword("wrong", chosen)), [403, "WRONG_PASSWORD"]);
  assert.deepEqual(reason(await auth.changePassword(person.password, "short")), [422, "PASSWORD_TOO_SHORT"]);
  assert.deepEqual(await session.tokens(), tokens);
  const changed = await auth.changePassword(person.password, chosen);
  assert.ok(changed.ok, JSON.stringify(changed));
  const stored = await session.tokens();
  assert.equal(stored?.refreshToken, changed.data.refreshToken);
  assert.notEqual(stored?.refreshToken, tokens.refreshToken);
  assert.equal(stored?.sessionID, tokens.sessionID);
  assert.equal(typeof stored?.receivedAt, "number");
  assert.equal(await other.session.refresh(), undefined);
  assert.equal((await session.refresh())?.sessionID, tokens.sessionID);
  assert.ok((await client().logIn({ email: person.email, password: chosen })).ok);
  assert.deepEqual(reason(await client().changePassword(chosen, "eight green boats at noon")), [401, "401 Unauthorized"]);
});

test("a lost response to a change of the password costs neither the session nor a repetition", async (t) => {
  const person = await new User().join();
  for (const [i, status] of [undefined, 502, 504].entries()) {
    const store = (await person.logIn()).store;
    const before = await store.load();
    const proxy = await gateway(t, ({ path }): Verdict => (path !== passwordPath ? "forward" : "lose"));
    const bad = await gateway(t, ({ path }) => (path === passwordPath && status ? { status } : "forward"), proxy.url);
    const { auth, session } = behind(bad.url, store);
    const result = await auth.changePassword(person.password, `seven green boats at noon ${i}`);
    assert.equal(!result.ok && result.failure.status, status ? "undocumented" : "network");
    assert.equal(bad.count(passwordPath), 1);
    assert.equal(bad.count(refreshPath), 1); // immediately: later it would end the session
    assert.notEqual((await store.load())?.refreshToken, before?.refreshToken);
    assert.equal((await session.refresh())?.sessionID, before?.sessionID);
    if (!status) {
      person.password = `seven green boats at noon ${i}`;
    }
  }
});

test("a change of the password that is cancelled on the way costs no session", async (t) => {
  const person = await new User().join();
  const { store, tokens } = await person.logIn();
  const controller = new AbortController();
  const proxy = await gateway(t, ({ path }): Verdict => {
    if (path !== passwordPath) {
      return "forward";
    }
    queueMicrotask(() => setImmediate(() => controller.abort(new Error("the user left"))));
    return "lose";
  });
  const { auth, session } = behind(proxy.url, store);
  await assert.rejects(auth.changePassword(person.password, "seven green boats at noon", controller), /the user left/);
  assert.equal(proxy.count(refreshPath), 1);
  assert.equal((await session.refresh())?.sessionID, tokens.sessionID);
  await assert.rejects(auth.stepUp("x", { signal: AbortSignal.abort(new Error("before it began")) }), /before it began/);
});

test("a step-up stores the new access token, and keeps the refresh token", async () => {
  const { auth, session, tokens } = await user.logIn();
  assert.deepEqual(reason(await auth.stepUp("wrong")), [403, "AUTHENTICATION_FAILED"]);
  assert.deepEqual(await session.tokens(), tokens);
  const proven = await auth.stepUp(user.password);
  assert.ok(proven.ok, JSON.stringify(proven));
  const stored = await session.tokens();
  assert.equal(stored?.accessToken, proven.data.accessToken);
  assert.equal(stored?.refreshToken, tokens.refreshToken);
  assert.equal(stored?.expiresIn, proven.data.expiresIn);
  assert.equal(proven.data.acr, "aal1");
  assert.equal(claims(proven.data.accessToken).auth_time, Math.floor(Date.parse(proven.data.authenticatedAt) / 1000));
  assert.ok((await auth.sessions()).ok);
  assert.equal((await session.refresh())?.sessionID, tokens.sessionID);
  assert.deepEqual(reason(await client().stepUp(user.password)), [401, "401 Unauthorized"]);
});

test("a step-up with an expired access token refreshes it first, and one of an ended session ends here", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, () => "forward");
  for (const stale of [expired(tokens), undefined]) {
    const store = new MemoryStore(stale ?? { ...(await user.logIn()).tokens, receivedAt: Date.now() - 599_000 });
    assert.ok((await behind(proxy.url, store).auth.stepUp(user.password)).ok);
  }
  assert.deepEqual(proxy.calls.map((call) => call.path), [stepUpPath, refreshPath, stepUpPath, refreshPath, stepUpPath]);

  const { auth, store, session, tokens: mine } = await user.logIn();
  const ends: EndReason[] = [];
  session.onEnd((end) => ends.push(end));
  await session.tokens();
  assert.ok((await (await user.logIn()).auth.endSession(mine.sessionID)).ok);
  assert.deepEqual(reason(await auth.stepUp(user.password)), [401, "401 Unauthorized"]);
  assert.deepEqual([await store.load(), ends], [undefined, ["ended"]]);
});

/** Returns a client behind a gateway, with the tokens of a store. */
function behind(url: string, store: MemoryStore | Awaited<ReturnType<User["logIn"]>>["store"]) {
  const auth = client({ baseUrl: url, store });
  return { auth, session: auth.session };
}
