// All that a frontend calls.
import { connect, typed, type API } from "./client.js";
import type { Device, SignUpRequest } from "./contract.js";
import { toResult, type Failure, type Result } from "./result.js";
import { Session, type SessionOptions } from "./session.js";
import { isTokens } from "./tokens.js";

/** Options of `Auth`. */
export interface AuthOptions extends SessionOptions {
  /** The application and its version, such as `web_v1`. The user sees it in the list of sessions; an operator may restrict it. */
  clientID: string;
}

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call, which is then rejected with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * The operations of a user. Each returns `{ ok: true, data }` or `{ ok: false, failure }`, and throws only for an aborted signal or
 * if the tokens cannot be stored.
 */
export class Auth {
  /** The session of the user: `session.fetch` sends requests to your own services. */
  readonly session: Session;
  /** A typed client of the service, with the session, for the operations that have no method here. */
  readonly api: API;
  readonly #public: API;
  readonly #clientID: string;

  /** Creates the client of a service. It sends nothing, and reads no tokens, until it is used. */
  constructor(baseUrl: string | URL, { clientID, ...options }: AuthOptions) {
    this.session = new Session(baseUrl, options);
    this.api = typed(baseUrl, this.session.fetch);
    this.#public = connect(baseUrl, options);
    this.#clientID = clientID;
  }

  /** Creates a user. The service emails a link, and after the user has opened it, a password. */
  signUp(body: SignUpRequest, { signal }: CallOptions = {}): Promise<Result<"signup">> {
    return toResult("signup", this.#public.POST("/v1/user/signup", { body, ...given(signal) }), signal);
  }

  /** Emails a link to the user; after the user has opened it, the service emails a new password. */
  resetPassword(email: string, { signal }: CallOptions = {}): Promise<Result<"user_password_reset">> {
    return toResult("user_password_reset", this.#public.POST("/v1/user/password", { body: { email }, ...given(signal) }), signal);
  }

  /**
   * Logs a user in, and stores the tokens. Without `device`, the service gets the name of the platform and the language.
   * A wrong password is 404 `USER_NOT_FOUND`, like an unknown address.
   */
  async logIn(user: { email: string; password: string; device?: Device }, { signal }: CallOptions = {}): Promise<Result<"create_access_token">> {
    const body = { device: thisDevice(), ...user, clientID: this.#clientID };
    const call = this.#public.POST("/v1/oauth/create", { body, ...given(signal) });
    const result = await toResult("create_access_token", call, signal, isTokens);
    if (result.ok) {
      await this.session.start(result.data);
    }
    return result;
  }

  /** Lists the user's sessions, the most recently refreshed first. 401 means that nobody is logged in. */
  sessions({ signal }: CallOptions = {}): Promise<Result<"get_list_active_sessions">> {
    return toResult("get_list_active_sessions", this.api.GET("/v1/session/list", given(signal)), signal, Array.isArray);
  }

  /** Ends one of the user's sessions, on this device or on another one. An unknown ID is no failure. */
  endSession(sessionID: string, { signal }: CallOptions = {}): Promise<Result<"revoke_session">> {
    const params = { path: { sessionID } };
    return toResult("revoke_session", this.api.DELETE("/v1/session/{sessionID}", { params, ...given(signal) }), signal);
  }

  /** Logs the user out: see `Session.logOut`. */
  logOut(): Promise<Result<"revoke_session">> {
    return this.session.logOut();
  }

  /**
   * Changes the user's password. The service ends all other sessions of the user; this one gets new tokens, which are stored. 403
   * `WRONG_PASSWORD` means the current password, and 422 that the new one is not accepted.
   *
   * If the response is lost, the failure is `network`, and the session continues, but the password may have changed: the user can
   * try both.
   */
  changePassword(currentPassword: string, newPassword: string, { signal }: CallOptions = {}): Promise<Result<"change_user_password">> {
    return this.session.changePassword(currentPassword, newPassword, signal);
  }

  /**
   * Proves with the password that the user is present, so that operations that need a recent authentication succeed for ten minutes.
   * The new access token is stored. 403 `AUTHENTICATION_FAILED` is a wrong password. `withRecentAuthentication` calls it when it is needed.
   */
  stepUp(password: string, { signal }: CallOptions = {}): Promise<Result<"step_up_session">> {
    return this.session.stepUp(password, signal);
  }

  /**
   * Runs an operation that may need a recent authentication, and returns its outcome. If the operation does, calls `ask` for the
   * password, steps up, and runs the operation once more. The operation may be a method of this class, a call of `api`, or a
   * `session.fetch` to your own service (which then responds as docs/gateway.md describes).
   *
   * If the step-up fails, `ask` is called again, with the failure: show it beside the field. `undefined` from `ask` gives up: the
   * outcome is then the first one, with its 403. So it is if the session has ended.
   */
  async withRecentAuthentication<Outcome extends object>(
    operation: () => Promise<Outcome>,
    ask: (failure?: Failure<"step_up_session">) => string | undefined | PromiseLike<string | undefined>,
  ): Promise<Outcome> {
    const outcome = await operation();
    if (!needsRecentAuthentication(outcome)) {
      return outcome;
    }
    for (let failure: Failure<"step_up_session"> | undefined; ; ) {
      const password = await ask(failure);
      if (password === undefined) {
        return outcome;
      }
      const result = await this.stepUp(password);
      if (result.ok) {
        return operation();
      }
      ({ failure } = result);
      if (failure.status === 401) {
        return outcome; // the session has ended
      }
    }
  }

  /**
   * Closes the user's account: the service ends all sessions, and deletes the account after a grace, in which a mailed link restores it.
   * The tokens on this device are deleted. Needs a recent authentication.
   */
  async deleteUser({ signal }: CallOptions = {}): Promise<Result<"delete_user">> {
    const before = await this.session.tokens();
    const result = await toResult("delete_user", this.api.DELETE("/v1/user", given(signal)), signal);
    if (result.ok && before) {
      await this.session.forget(before.sessionID);
    }
    return result;
  }
}

/** Reports whether an operation was refused because the user has not authenticated recently. */
function needsRecentAuthentication(outcome: { failure?: unknown; error?: unknown; response?: Response }): boolean {
  const { failure, error, response = outcome } = outcome;
  return (
    ((failure ?? error) as { message?: unknown } | undefined)?.message === "RECENT_AUTHENTICATION_REQUIRED" ||
    !!(response as Partial<Response>).headers?.get("www-authenticate")?.includes("insufficient_user_authentication") // of your own service
  );
}

function given(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function thisDevice(): Device {
  const { platform, language } = (globalThis.navigator ?? {}) as Partial<Navigator>;
  return { ...(platform && { platform }), ...(language && { language }) };
}
