// Logins with a second factor, logins with a passkey, and what proves that the user is present.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { hasPasskeys, type Auth, type Proof } from "@financelime/authorization";
import { gateway } from "./gateway.js";
import { Browser, totp } from "./authenticator.js";
import { ageAuthentications, client, User } from "./service.js";
import { logInTwice, logInWithPasskey } from "../examples/second-factor.js";

/** Returns status and message of a failure, and undefined for a success. */
function reason(result: { ok: boolean; failure?: { status: unknown; message: unknown } }): unknown[] | undefined {
  return result.failure && [result.failure.status, result.failure.message];
}

const user = new User();
const browser = new Browser();
let auth: Auth;
let secret: string;
let recoveryCodes: string[];

before(async () => {
  assert.equal(hasPasskeys(), false);
  browser.install();
  assert.equal(hasPasskeys(), true);
  await user.join();
  ({ auth } = await user.logIn());
  const added = await auth.addPasskey("Phone");
  assert.ok(added.ok, JSON.stringify(added));
  assert.equal(added.data.name, "Phone");
  const begun = await auth.api.POST("/v1/user/totp", {});
  assert.ok(begun.data, JSON.stringify(begun.error));
  ({ secret } = begun.data);
  const confirmed = await auth.api.PUT("/v1/user/totp", { body: { code: totp(secret) } });
  assert.ok(confirmed.data, JSON.stringify(confirmed.error));
  ({ recoveryCodes } = confirmed.data);
});

/** Logs in with the password, and returns the failure that has the ticket. */
async function required(at: Auth = auth) {
  const login = await at.logIn(user);
  assert.ok(!login.ok && login.failure.status === 403, JSON.stringify(login));
  return login.failure;
}

test("a login that needs a second factor has a ticket, the methods and a ceremony, and stores nothing", async () => {
  const visitor = client();
  const failure = await required(visitor);
  assert.deepEqual([failure.message, failure.methods], ["SECOND_FACTOR_REQUIRED", ["passkey", "totp", "recovery_code"]]);
  assert.ok(failure.ticket && failure.passkey?.ceremony && failure.requestID);
  assert.equal("code" in failure, false);
  assert.equal(await visitor.session.tokens(), undefined);
  assert.deepEqual(reason(await visitor.completeLogIn(failure.ticket, { code: "000000" })), [403, "WRONG_CODE"]);
  assert.deepEqual(reason(await visitor.completeLogIn("a.b.c", { code: "000000" })), [404, "LOG_IN_EXPIRED"]);
  assert.equal(await visitor.session.tokens(), undefined);
});

test("a 403 of a gateway is no second factor", async (t) => {
  const bad = await gateway(t, () => ({ status: 403 }));
  assert.deepEqual(reason(await client({ baseUrl: bad.url }).logIn(user)), ["undocumented", "UNDOCUMENTED"]);
});

test("a code, a recovery code or a passkey completes a login", async () => {
  for (const answers of [["000000", totp(secret, 1)], [recoveryCodes[0]!], [""]]) {
    const visitor = client();
    const hints: string[] = [];
    const ask = async (hint: string) => (hints.push(hint), answers.shift()!);
    assert.equal(await logInTwice(visitor, user, ask), "Welcome.");
    assert.equal(answers.length, 0);
    assert.match(hints[0]!, /^Enter the code/);
    assert.ok((await visitor.sessions()).ok);
  }
});

test("a passkey alone logs in, and a cancelled one does not", async () => {
  const visitor = client();
  browser.refusal = Object.assign(new Error("cancelled"), { name: "NotAllowedError" });
  assert.equal(await logInWithPasskey(visitor), "Log in with your password.");
  assert.equal(await visitor.session.tokens(), undefined);
  browser.refusal = undefined;
  const { signal } = new AbortController();
  const login = await visitor.logInWithPasskey({ signal, device: { platform: "Phone" } });
  assert.ok(login.ok, JSON.stringify(login));
  assert.equal(browser.calls.at(-1)?.signal, signal);
  const sessions = await visitor.sessions();
  assert.equal(sessions.ok && sessions.data.find((session) => session.current)?.platform, "Phone");
  assert.equal(await logInWithPasskey(client()), "Welcome.");
});

test("without passkeys at the service, a login by passkey is 404, and the browser is not asked", async (t) => {
  const none = await gateway(t, ({ path }) => (path.endsWith("/passkey/options") ? { status: 404 } : "forward"));
  const calls = browser.calls.length;
  assert.deepEqual(reason(await client({ baseUrl: none.url }).logInWithPasskey()), [404, "404 Not Found"]);
  assert.equal(browser.calls.length, calls);
});

test("each second factor steps up, and a password does not", async () => {
  const visitor = client();
  assert.equal(await logInWithPasskey(visitor), "Welcome.");
  assert.deepEqual(reason(await visitor.stepUp(user.password)), [403, "SECOND_FACTOR_REQUIRED"]);
  assert.deepEqual(reason(await visitor.stepUp({ password: user.password })), [403, "SECOND_FACTOR_REQUIRED"]);
  assert.deepEqual(reason(await visitor.stepUp({ code: "000000" })), [403, "AUTHENTICATION_FAILED"]);
  assert.ok((await visitor.stepUp({ recoveryCode: recoveryCodes[1]! })).ok);
  await ageAuthentications();
  const passkey = await visitor.askForPasskey();
  assert.ok(passkey.ok, JSON.stringify(passkey));
  const proofs: (string | Proof)[] = [user.password, { passkey: passkey.data }];
  const failures: unknown[] = [];
  const deleted = await visitor.withRecentAuthentication(() => visitor.deleteUser(), (failure) => (failures.push(failure?.message), proofs.shift()));
  assert.ok(deleted.ok, JSON.stringify(deleted));
  assert.deepEqual(failures, [undefined, "SECOND_FACTOR_REQUIRED"]);
});
