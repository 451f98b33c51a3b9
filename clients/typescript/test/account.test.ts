// The account of a user: changes of the password, step-up, and operations that need a recent authentication.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MemoryStore, type EndReason, type Failure } from "@financelime/authorization";
import { gateway, type Verdict } from "./gateway.js";
import { ageAuthentications, client, expired, User } from "./service.js";
import { changeEmail, changePassword, deleteAccount } from "../examples/account.js";

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

test("withRecentAuthentication asks only if it must, again after a wrong password, and repeats once", async (t) => {
  const person = await new User().join();
  const { auth, store } = await person.logIn();
  const asked: (Failure<"step_up_session"> | undefined)[] = [];
  const answers = ["wrong", person.password];
  const ask = (failure?: Failure<"step_up_session">) => {
    asked.push(failure);
    return answers.shift();
  };
  let runs = 0;
  const remove = () => (runs++, auth.deleteUser());
  const sessions = await auth.withRecentAuthentication(() => auth.sessions(), ask);
  assert.deepEqual([sessions.ok, asked], [true, []]);

  await ageAuthentications();
  assert.deepEqual(reason(await auth.withRecentAuthentication(remove, () => undefined)), [403, "RECENT_AUTHENTICATION_REQUIRED"]);
  assert.equal(runs, 1);
  const raw = await auth.withRecentAuthentication(() => auth.api.DELETE("/v1/user"), () => Promise.resolve(undefined));
  assert.deepEqual([raw.response.status, raw.error?.message], [403, "RECENT_AUTHENTICATION_REQUIRED"]);

  const ends: EndReason[] = [];
  auth.session.onEnd((end) => ends.push(end));
  await auth.session.tokens();
  assert.deepEqual(await auth.withRecentAuthentication(remove, ask), { ok: true, data: undefined });
  assert.deepEqual([runs, asked.map((failure) => failure && reason({ ok: false, failure }))], [3, [undefined, [403, "AUTHENTICATION_FAILED"]]]);
  assert.deepEqual([await store.load(), ends], [undefined, ["loggedOut"]]);
  const gone = await client().logIn(person);
  assert.deepEqual(reason(gone), [404, "USER_NOT_FOUND"]);

  // A service behind a gateway asks as docs/gateway.md describes. Its second refusal is returned.
  const own = await gateway(t, () => ({
    status: 403, headers: { "www-authenticate": 'Bearer error="insufficient_user_authentication", max_age=600' },
  }));
  const { auth: mine } = await user.logIn({ origins: [own.url] });
  const refused = await mine.withRecentAuthentication(() => mine.session.fetch(`${own.url}/payout`), () => user.password);
  assert.deepEqual([refused.status, own.calls.length], [403, 2]);
  assert.notEqual(own.calls[0]?.headers.authorization, own.calls[1]?.headers.authorization);
});

test("withRecentAuthentication does not ask again when the session has ended", async () => {
  const { auth, tokens } = await user.logIn();
  await ageAuthentications();
  let asked = 0;
  const outcome = await auth.withRecentAuthentication(() => auth.deleteUser(), async () => {
    asked++;
    assert.ok((await (await user.logIn()).auth.endSession(tokens.sessionID)).ok);
    return user.password;
  });
  assert.deepEqual([reason(outcome), asked], [[403, "RECENT_AUTHENTICATION_REQUIRED"], 1]);
});

test("the examples of docs/clients.md", async () => {
  const person = await new User().join();
  const { auth } = await person.logIn();
  const chosen = "seven green boats at noon";
  const noPassword = () => Promise.resolve(undefined);
  assert.equal(await changePassword(auth, "wrong", chosen), "The current password is wrong.");
  assert.match(await changePassword(auth, person.password, "short"), /^Choose a longer password/);
  assert.equal(await changePassword(auth, person.password, "passwordpassword"), "Others would find this password. Choose another.");
  assert.equal(await changePassword(auth, person.password, person.password), "This is the password that you have already.");
  assert.equal(await changePassword(auth, person.password, ""), "Please check what you have typed: newPassword");
  assert.match(await changePassword(auth, person.password, chosen), /^Your password has changed/);
  assert.equal(await changePassword(client(), chosen, person.password), "Please log in.");

  assert.equal(await changeEmail(auth, person.email, noPassword), "This is the address that you have already.");
  assert.equal(await changeEmail(auth, user.email, noPassword), "Another user has this address.");
  assert.equal(await changeEmail(auth, "nobody", noPassword), "This is no address.");
  await ageAuthentications();
  const another = `other.${person.email}`;
  assert.equal(await changeEmail(auth, another, noPassword), "Your address stays the same.");
  assert.match(await changeEmail(auth, another, () => Promise.resolve(chosen)), /^Open the link/);
  assert.equal(await changeEmail(client(), another, noPassword), "Please log in.");

  await ageAuthentications();
  const hints: string[] = [];
  const answers = ["wrong", chosen];
  assert.equal(await deleteAccount(auth, noPassword), "Your account was not closed.");
  const deleted = await deleteAccount(auth, (hint) => {
    hints.push(hint);
    return Promise.resolve(answers.shift());
  });
  assert.match(deleted, /^Your account is closed/);
  assert.deepEqual(hints, ["Please enter your password to close your account.", "The password is wrong."]);
  assert.equal(await deleteAccount(auth, noPassword), "Please log in.");
});

/** Returns a client behind a gateway, with the tokens of a store. */
function behind(url: string, store: MemoryStore | Awaited<ReturnType<User["logIn"]>>["store"]) {
  const auth = client({ baseUrl: url, store });
  return { auth, session: auth.session };
}
