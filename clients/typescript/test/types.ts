// What must not compile. This file is only compiled: each @ts-expect-error is an error if the line below it compiles.
import type { Auth, Failure, Result, Tokens } from "@financelime/authorization";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Expect<T extends true> = T;

/** The statuses and codes of each operation, written by hand. */
export type Proofs = [
  Expect<Equal<Failure<"signup">["status"], 400 | 404 | 405 | 409 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"create_access_token">["status"], 400 | 403 | 404 | 405 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Extract<Failure<"create_access_token">, { status: 403 }>["methods"], ("passkey" | "totp" | "recovery_code")[]>>,
  Expect<Equal<Failure<"create_access_token_by_second_factor">["status"], 400 | 403 | 404 | 405 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"create_access_token_by_passkey">["status"], 400 | 404 | 405 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"begin_passkey_log_in">["status"], 400 | 404 | 405 | 413 | 500 | "network" | "undocumented">>,
  Expect<Equal<Failure<"begin_passkey">["status"], 400 | 401 | 403 | 404 | 405 | 409 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"add_passkey">["status"], 400 | 401 | 403 | 404 | 405 | 409 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"user_password_reset">["status"], 400 | 404 | 405 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"refresh_access_token">["status"], 400 | 404 | 405 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"get_list_active_sessions">["status"], 400 | 401 | 405 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"revoke_session">["status"], 400 | 401 | 405 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"change_user_password">["status"], 400 | 401 | 403 | 405 | 413 | 422 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"step_up_session">["status"], 400 | 401 | 403 | 405 | 413 | 429 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Failure<"delete_user">["status"], 400 | 401 | 403 | 405 | 413 | 500 | 503 | "network" | "undocumented">>,
  Expect<Equal<Extract<Failure<"change_user_password">, { status: 403 }>["message"], "WRONG_PASSWORD" | "RECENT_AUTHENTICATION_REQUIRED">>,
  Expect<Equal<Extract<Failure<"step_up_session">, { status: 403 }>["message"], "AUTHENTICATION_FAILED" | "SECOND_FACTOR_REQUIRED">>,
  Expect<Equal<Extract<Result<"step_up_session">, { ok: true }>["data"]["acr"], "aal1" | "aal2">>,
  Expect<Equal<Extract<Failure<"signup">, { status: 409 }>["message"], "USER_ALREADY_EXIST" | "INVITE_HAS_ENDED">>,
  Expect<Equal<Extract<Failure<"signup">, { status: 500 }>["message"], "500 Internal Server Error">>,
  Expect<Equal<Extract<Failure<"signup">, { status: 429 }>["message"], "429 Too Many Requests">>,
  Expect<Equal<Extract<Result<"create_access_token">, { ok: true }>["data"]["refreshToken"], string>>,
  Expect<Equal<Extract<Result<"signup">, { ok: true }>["data"], undefined>>,
  Expect<Equal<Awaited<ReturnType<Auth["logIn"]>>, Result<"create_access_token">>>,
];

/** A wrong status or code does not compile. */
export function wrong(failure: Failure<"signup">): void {
  switch (failure.status) {
    // @ts-expect-error a sign-up has no 401
    case 401:
      break;
    case 404:
      switch (failure.message) {
        case "INVITE_NOT_FOUND":
          break;
        // @ts-expect-error a sign-up has no such code
        case "USER_NOT_FOUND":
          break;
      }
      break;
    case 409:
      // @ts-expect-error a code of 404
      if (failure.message === "INVITE_NOT_FOUND") {
        break;
      }
      break;
    case "network":
      // @ts-expect-error without a response there is no request ID
      void failure.requestID;
      break;
  }
}

/** A missing code is caught with never. */
export function missing(failure: Failure<"signup">): void {
  if (failure.status === 409) {
    switch (failure.message) {
      case "USER_ALREADY_EXIST":
        break;
      default:
        // @ts-expect-error INVITE_HAS_ENDED is missing
        failure.message satisfies never;
    }
  }
  switch (failure.status) {
    case 400: case 404: case 405: case 409: case 413: case 429: case 500: case 503: case "undocumented":
      break;
    default:
      // @ts-expect-error the network failure is missing
      failure satisfies never;
  }
}

/** Bodies and results have the types of openapi.yaml. */
export async function bodies(auth: Auth): Promise<void> {
  // @ts-expect-error no such field
  await auth.signUp({ email: "", inviteCode: "", language: "en", nickname: "" });
  // @ts-expect-error the language is missing
  await auth.signUp({ email: "", inviteCode: "" });
  // @ts-expect-error no such path
  await auth.api.GET("/v1/session");
  const result = await auth.sessions();
  // @ts-expect-error a failure has no data
  void result.data;
  if (result.ok) {
    // @ts-expect-error a session has no such field
    void result.data[0]?.token;
  }
  // @ts-expect-error ask returns the password
  await auth.withRecentAuthentication(() => auth.sessions(), () => 1);
  const outcome: Result<"get_list_active_sessions"> = await auth.withRecentAuthentication(() => auth.sessions(), () => undefined);
  void outcome;
  // @ts-expect-error the refresh token is missing
  await auth.session.start({ sessionID: "", accessToken: "" } satisfies Tokens);
}
