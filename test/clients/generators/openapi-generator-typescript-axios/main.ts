// Walks the journey of a user with the TypeScript client of openapi-generator (typescript-axios).
import assert from "node:assert/strict";
import { isAxiosError } from "axios";
import {
  AuthorizationApi,
  Configuration,
  ServiceApi,
  SessionApi,
  UserApi,
  type AccessTokenResponse,
  type CommonFailure401,
  type CreateAccessTokenFailure404,
  type RefreshAccessTokenFailure404,
  type SignUpFailure400,
  type SignUpFailure404,
  type SignUpFailure409,
} from "./generated";

function setting(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} must be set`);
  return value;
}

const basePath = setting("AUTH_URL");
const inviteCode = setting("AUTH_INVITE");
const email = `axios-${crypto.randomUUID()}@example.com`;
const newID = () => crypto.randomUUID();
const anonymous = new Configuration({ basePath });
const [users, authorization, service] = [new UserApi(anonymous), new AuthorizationApi(anonymous), new ServiceApi(anonymous)];

/** Returns the typed body of a failure. */
async function failure<Failure extends { code: number }>(call: Promise<unknown>, status: Failure["code"]): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    assert.ok(isAxiosError<Failure>(error) && error.response, String(error));
    assert.equal(error.response.status, status);
    return error.response.data;
  }
  throw new Error(`no failure ${status}`);
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
  const signUp = (email: string, inviteCode: string) => users.signup(newID(), { email, inviteCode, language: "en" });
  const unknown = await failure<SignUpFailure404>(signUp(email, "no-such-code"), 404);
  switch (unknown.message) {
    case "INVITE_NOT_FOUND":
      break;
    default:
      unknown.message satisfies never;
      assert.fail(unknown.message);
  }
  const malformed = await failure<SignUpFailure400>(signUp("nobody@localhost", inviteCode), 400);
  assert.deepEqual(malformed.parameters, ["email"]);
  assert.equal((await signUp(email, inviteCode)).status, 204);
  const conflict = await failure<SignUpFailure409>(signUp(email, inviteCode), 409);
  switch (conflict.message) {
    case "USER_ALREADY_EXIST":
      break;
    case "INVITE_HAS_ENDED":
      assert.fail("the invite code has ended");
    default:
      conflict.message satisfies never;
      assert.fail(conflict.message);
  }

  const [key, rid] = (await inbox("link")).split(" ");
  assert.ok(key && rid);
  const { data } = await users.confirmUserEmail(key, rid);
  assert.equal(data.purpose, "signup");
  assert.ok(data.message);
  return inbox("password");
}

/** Logs in, after an attempt with a wrong password. */
async function login(password: string): Promise<AccessTokenResponse> {
  const attempt = (password: string) =>
    authorization.createAccessToken(newID(), { email, password, clientID: "axios_v1", device: { platform: "Node" } });
  const wrong = await failure<CreateAccessTokenFailure404>(attempt("wrong"), 404);
  assert.equal(wrong.message, "USER_NOT_FOUND");
  return (await attempt(password)).data;
}

const version = await service.getVersion(newID());
assert.ok(version.data.number);
const tokens = await login(await join());
const mine = new Configuration({ basePath, accessToken: tokens.accessToken });
const sessions = new SessionApi(mine);

const [session, ...others] = (await sessions.getListActiveSessions(newID())).data;
assert.ok(session?.current && others.length === 0);
assert.equal(session.sessionID, tokens.sessionID);
assert.ok(Math.abs(Date.now() - new Date(session.createdAt).getTime()) < 3_600_000); // the generator leaves the time a string

const verified = await new AuthorizationApi(mine).verifyAccessToken();
assert.equal(verified.headers["x-auth-session-id"], tokens.sessionID);

const renewed = (await authorization.refreshAccessToken(newID(), { refreshToken: tokens.refreshToken })).data;
assert.equal(renewed.sessionID, tokens.sessionID);
assert.notEqual(renewed.refreshToken, tokens.refreshToken);

const stranger = new SessionApi(new Configuration({ basePath, accessToken: "bad" }));
assert.equal((await failure<CommonFailure401>(stranger.getListActiveSessions(newID()), 401)).message, "401 Unauthorized");

assert.equal((await sessions.revokeRefreshToken(newID(), { sessionID: tokens.sessionID })).status, 204);
assert.equal((await sessions.revokeSession(tokens.sessionID)).status, 204);
const ended = authorization.refreshAccessToken(newID(), { refreshToken: renewed.refreshToken });
assert.equal((await failure<RefreshAccessTokenFailure404>(ended, 404)).message, "USER_NOT_FOUND");

assert.equal((await service.getJwks()).data.keys[0]?.kty, "EC");
