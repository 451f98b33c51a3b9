// The journey of a user, with the functions of Auth.
import assert from "node:assert/strict";
import { test } from "node:test";
import { client, inviteCode, url, User } from "./service.js";
import { main as tenLines } from "../examples/ten-lines.js";

test("from the sign-up to a new password", async () => {
  const user = new User();
  const auth = client();
  assert.deepEqual(await auth.signUp({ email: user.email, inviteCode, language: "en" }), { ok: true, data: undefined });
  assert.equal((await user.openLink())?.purpose, "signup");
  await user.readPassword();

  const { auth: mine, session, tokens } = await user.logIn();
  assert.equal(typeof tokens.expiresIn, "number");
  const renewed = await session.refresh();
  assert.equal(renewed?.sessionID, tokens.sessionID);
  assert.notEqual(renewed?.refreshToken, tokens.refreshToken);
  assert.deepEqual(await session.tokens(), renewed);

  const other = await user.logIn();
  const list = await mine.sessions();
  assert.ok(list.ok);
  assert.deepEqual(
    list.data.map((s) => [s.sessionID, s.current, s.clientID]),
    [
      [other.tokens.sessionID, false, "typescript_v1"],
      [tokens.sessionID, true, "typescript_v1"],
    ],
  );

  assert.ok((await mine.endSession(other.tokens.sessionID)).ok);
  assert.equal(await other.session.refresh(), undefined);
  assert.ok((await mine.logOut()).ok);
  assert.equal(await session.tokens(), undefined);
  const out = await mine.sessions();
  assert.deepEqual(!out.ok && [out.failure.status, out.failure.message], [401, "401 Unauthorized"]);

  assert.ok((await auth.resetPassword(user.email)).ok);
  assert.equal((await user.openLink())?.purpose, "password");
  const old = user.password;
  await user.readPassword();
  await user.logIn();
  const wrong = await auth.logIn({ email: user.email, password: old });
  assert.deepEqual(!wrong.ok && [wrong.failure.status, wrong.failure.message], [404, "USER_NOT_FOUND"]);
});

test("the typed client has every operation, with the session", async () => {
  const { auth, tokens } = await (await new User().join()).logIn();
  const { data, response } = await auth.api.GET("/v1/oauth/verify");
  assert.equal(data, undefined);
  assert.equal(response.headers.get("x-auth-session-id"), tokens.sessionID);
  assert.match(response.headers.get("request-id") ?? "", /^[0-9a-f]{32}$/);
  const { response: own } = await auth.api.GET("/v1/session/list", { headers: { "request-id": "chosen-by-caller" } });
  assert.equal(own.headers.get("request-id"), "chosen-by-caller");
});

test("the ten lines of the README", async () => {
  const { email, password } = await new User().join();
  assert.equal(await tenLines(url, email, password), "Sessions: 1");
  assert.equal(await tenLines(url, email, "wrong"), "The address or the password is wrong.");
});
