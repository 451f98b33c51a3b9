// The journey of a user, with openapi-fetch, and the messages for failures.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "./client.js";
import { login, logOut, resetPassword, sessions, signUp } from "./failures.js";
import * as heyAPI from "./hey-api.js";
import { setBase as setOrvalBase } from "./orval-fetch.js";
import * as orval from "./orval.js";
import { inviteCode, loggedIn, passwordIn, url, User } from "./service.js";

const device = { platform: "Node" };

test("from the sign-up to a new password", async () => {
  const user = new User();
  const { api, email } = user;
  const invited = { email, inviteCode, language: "en" };

  assert.match(await signUp(api, invited), /^Open the link/);
  const opened = await user.openLink();
  assert.equal(typeof opened === "object" && opened.purpose, "signup");
  user.password = passwordIn(await user.nextMail());

  const tokens = await user.login();
  const { api: mine, session, store } = loggedIn(tokens);
  const renewed = await session.refresh(tokens);
  assert.equal(renewed?.sessionID, tokens.sessionID);
  assert.notEqual(renewed?.refreshToken, tokens.refreshToken);
  assert.deepEqual(store.load(), renewed);

  const other = await user.login();
  const list = await mine.GET("/v1/session/list");
  assert.deepEqual(
    list.data?.map((s) => [s.sessionID, s.current, s.clientID, s.platform]),
    [
      [other.sessionID, false, "typescript_v1", "Node"],
      [tokens.sessionID, true, "typescript_v1", "Node"],
    ],
  );

  const byBody = await mine.DELETE("/v1/session/remove", { body: { sessionID: other.sessionID } });
  assert.equal(byBody.response.status, 204);
  assert.equal(await loggedIn(other).session.refresh(other), undefined);
  assert.equal(await logOut(mine, tokens.sessionID), "You are logged out.");
  assert.deepEqual(await sessions(mine), []);
  assert.equal(await session.refresh(renewed!), undefined);
  assert.equal(store.load(), undefined);

  assert.match(await resetPassword(api, { email }), /^Open the link/);
  assert.equal(await user.openLink().then((o) => typeof o === "object" && o.purpose), "password");
  const old = user.password;
  user.password = passwordIn(await user.nextMail());
  await user.login();
  assert.match(String(await login(api, { email, password: old, clientID: "typescript_v1", device })), /is wrong/);
});

test("every failure has a message", async () => {
  const { api, email, password } = await new User().join();
  const body = { email, inviteCode, language: "en" };
  assert.match(await signUp(api, body), /^You have signed up already/);
  assert.match(await signUp(api, { ...body, inviteCode: "no-such-code" }), /does not exist/);
  assert.match(await signUp(api, { ...body, email: "nobody@localhost" }), /check what you have typed/);
  assert.match(await signUp(api, { ...body, language: "x".repeat(20_000) }).catch(String), /a bug of this client: 413, request \S{36}/);
  assert.match(await resetPassword(api, { email: "nobody@example.com" }), /^There is no user/);
  assert.match(String(await login(api, { email, password: password + "x", clientID: "c", device })), /is wrong/);
  assert.match(String(await sessions(api)), /log in again/);
  assert.match(await logOut(api, "any"), /log in again/);
});

test("an undocumented response is an error", async () => {
  const behindBrokenGateway = connect(url, async () => Response.json({ oops: true }, { status: 502 }));
  await assert.rejects(sessions(behindBrokenGateway), /not a response of the service/);
  const broken = connect(url, async () => Response.json({ code: 500, message: "x" }, { status: 500, headers: { "request-id": "12345678" } }));
  assert.match(String(await sessions(broken)), /12345678/);
});

test("the clients of orval and hey-api distinguish the codes", async () => {
  const { email } = await new User().join();
  const body = { email, inviteCode, language: "en" };
  setOrvalBase(url);
  heyAPI.setBase(url);
  for (const client of [orval, heyAPI]) {
    assert.equal(await client.signUp({ ...body, inviteCode: "no-such-code" }), "404");
    assert.match(await client.signUp(body), /^You have signed up already/);
  }
});
