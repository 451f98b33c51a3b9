// Walks the journey of a user with the client of swagger-typescript-api.
import assert from "node:assert/strict";
import {
  Api,
  type AccessTokenResponse,
  type CommonFailure401,
  type CreateAccessTokenFailure404,
  type HttpResponse,
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

/** Returns a client that does what the generator leaves out: it sends a request ID, asks for JSON, and reads failures of operations without a body. */
function client(token?: string): Api<string> {
  const api = new Api<string>({
    baseUrl: setting("AUTH_URL"),
    baseApiParams: { format: "json", headers: { accept: "application/json" } },
    customFetch: (url, init) => {
      const headers = new Headers(init?.headers);
      headers.set("request-id", crypto.randomUUID());
      return fetch(url, { ...init, headers });
    },
    securityWorker: (token) => (token ? { headers: { authorization: `Bearer ${token}` } } : undefined),
  });
  api.setSecurityData(token ?? null);
  return api;
}

const inviteCode = setting("AUTH_INVITE");
const email = `sta-${crypto.randomUUID()}@example.com`;
const api = client();

/** Returns the typed body of a failure, which must be one that the operation can have. */
async function failure<Failure extends { code: number }>(call: Promise<HttpResponse<unknown, unknown>>, status: Failure["code"]): Promise<Failure> {
  const failed = await call.then(
    () => assert.fail(`no failure ${status}`),
    (response: HttpResponse<unknown, Failure>) => response,
  );
  assert.equal(failed.status, status, String(failed));
  return failed.error;
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
  const signUp = (email: string, inviteCode: string) => api.v1.signup({ email, inviteCode, language: "en" });
  (await failure<SignUpFailure404>(signUp(email, "no-such-code"), 404)).message satisfies "INVITE_NOT_FOUND";
  assert.deepEqual((await failure<SignUpFailure400>(signUp("nobody@localhost", inviteCode), 400)).parameters, ["email"]);
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
  const { data } = await api.u.confirmUserEmail(key, { rid });
  data.purpose satisfies "signup" | "password";
  assert.equal(data.purpose, "signup");
  assert.ok(data.message);
  return inbox("password");
}

/** Logs in, after an attempt with a wrong password. */
async function login(password: string): Promise<AccessTokenResponse> {
  const attempt = (password: string) => api.v1.createAccessToken({ email, password, clientID: "sta_v1", device: { platform: "Node" } });
  (await failure<CreateAccessTokenFailure404>(attempt("wrong"), 404)).message satisfies "USER_NOT_FOUND";
  return (await attempt(password)).data;
}

assert.ok((await api.v1.getVersion()).data.number);
const tokens = await login(await join());
const mine = client(tokens.accessToken);

const [session, ...others] = (await mine.v1.getListActiveSessions()).data;
assert.ok(session?.current && others.length === 0);
assert.equal(session.sessionID, tokens.sessionID);
assert.ok(Math.abs(Date.now() - new Date(session.createdAt).getTime()) < 3_600_000); // the generator leaves the time a string

assert.equal((await mine.v1.verifyAccessToken()).headers.get("x-auth-session-id"), tokens.sessionID);

const renewed = (await api.v1.refreshAccessToken({ refreshToken: tokens.refreshToken })).data;
assert.equal(renewed.sessionID, tokens.sessionID);
assert.notEqual(renewed.refreshToken, tokens.refreshToken);

const refused = await failure<CommonFailure401>(client("bad").v1.getListActiveSessions(), 401);
assert.equal(refused.message, "401 Unauthorized");

assert.equal((await mine.v1.revokeRefreshToken({ sessionID: tokens.sessionID })).status, 204);
assert.equal((await mine.v1.revokeSession(tokens.sessionID)).status, 204);
const ended = api.v1.refreshAccessToken({ refreshToken: renewed.refreshToken });
assert.equal((await failure<RefreshAccessTokenFailure404>(ended, 404)).message, "USER_NOT_FOUND");

assert.equal((await api.wellKnown.getJwks()).data.keys[0]?.kty, "EC");
