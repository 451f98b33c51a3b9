// Walks the journey of a user with the client of oazapfts.
import assert from "node:assert/strict";
import * as api from "./generated";

function setting(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} must be set`);
  return value;
}

api.defaults.baseUrl = setting("AUTH_URL");
const inviteCode = setting("AUTH_INVITE");
const email = `oazapfts-${crypto.randomUUID()}@example.com`;
const requestId = () => crypto.randomUUID();
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

/** Returns the response of an operation, which must have this status. */
async function expect<Result extends { status: number }, Status extends Result["status"]>(
  call: Promise<Result>,
  status: Status,
): Promise<Extract<Result, { status: Status }>> {
  const result = await call;
  assert.equal(result.status, status, JSON.stringify(result));
  return result as Extract<Result, { status: Status }>;
}

/** Waits for what a user reads in a mail. */
async function inbox(what: "link" | "password"): Promise<string> {
  const response = await fetch(`${setting("INBOX")}/${what}?to=${email}`);
  const text = (await response.text()).trim();
  assert.equal(response.status, 200, text);
  return text;
}

/** Signs up, with failures first, and returns the password. */
async function join(): Promise<string> {
  const signUp = (email: string, inviteCode: string) =>
    api.signup({ requestId: requestId(), signUpRequest: { email, inviteCode, language: "en" } });
  const unknown = await expect(signUp(email, "no-such-code"), 404);
  switch (unknown.data.message) {
    case "INVITE_NOT_FOUND":
      break;
    default:
      unknown.data.message satisfies never;
      assert.fail(unknown.data.message);
  }
  const malformed = await expect(signUp("nobody@localhost", inviteCode), 400);
  assert.deepEqual(malformed.data.parameters, ["email"]);
  await expect(signUp(email, inviteCode), 204);
  const conflict = await expect(signUp(email, inviteCode), 409);
  switch (conflict.data.message) {
    case "USER_ALREADY_EXIST":
      break;
    case "INVITE_HAS_ENDED":
      assert.fail("the invite code has ended");
    default:
      conflict.data.message satisfies never;
      assert.fail(conflict.data.message);
  }

  const [confirmationKey, rid] = (await inbox("link")).split(" ");
  assert.ok(confirmationKey && rid);
  const confirmed = await expect(api.confirmUserEmail({ confirmationKey, rid }), 200);
  confirmed.data.purpose satisfies "signup" | "password";
  assert.equal(confirmed.data.purpose, "signup");
  assert.ok(confirmed.data.message);
  return inbox("password");
}

/** Logs in, after an attempt with a wrong password. */
async function login(password: string): Promise<api.AccessTokenResponse> {
  const attempt = (password: string) =>
    api.createAccessToken({
      requestId: requestId(),
      createAccessTokenRequest: { email, password, clientID: "oazapfts_v1", device: { platform: "Node" } },
    });
  const wrong = await expect(attempt("wrong"), 404);
  wrong.data.message satisfies "USER_NOT_FOUND";
  return (await expect(attempt(password), 200)).data;
}

const version = await expect(api.getVersion({ requestId: requestId() }), 200);
assert.ok(version.data.number);
const tokens = await login(await join());
const mine = bearer(tokens.accessToken);

const list = await expect(api.getListActiveSessions({ requestId: requestId() }, mine), 200);
const [session, ...others] = list.data;
assert.ok(session?.current && others.length === 0);
assert.equal(session.sessionID, tokens.sessionID);
assert.ok(Math.abs(Date.now() - new Date(session.createdAt).getTime()) < 3_600_000); // the generator leaves the time a string

const verified = await expect(api.verifyAccessToken({}, mine), 204);
assert.equal(verified.headers.get("x-auth-session-id"), tokens.sessionID);

const refresh = (refreshToken: string) =>
  api.refreshAccessToken({ requestId: requestId(), refreshAccessTokenRequest: { refreshToken } });
const renewed = (await expect(refresh(tokens.refreshToken), 200)).data;
assert.equal(renewed.sessionID, tokens.sessionID);
assert.notEqual(renewed.refreshToken, tokens.refreshToken);

const stranger = await expect(api.getListActiveSessions({ requestId: requestId() }, bearer("bad")), 401);
assert.equal(stranger.data.message, "401 Unauthorized");

const { sessionID } = tokens;
await expect(api.revokeRefreshToken({ requestId: requestId(), revokeRefreshTokenRequest: { sessionID } }, mine), 204);
await expect(api.revokeSession({ sessionId: sessionID }, mine), 204);
const ended = await expect(refresh(renewed.refreshToken), 404);
ended.data.message satisfies "USER_NOT_FOUND";

const keys = await expect(api.getJwks({}), 200);
assert.equal(keys.data.keys[0]?.kty, "EC");
