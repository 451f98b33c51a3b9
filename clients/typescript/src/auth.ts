// All that a frontend calls.
import { connect, typed, type API } from "./client.js";
import type { Device, PasskeyAssertion, Proof, SecondFactor, SignUpRequest } from "./contract.js";
import { createPasskey, getPasskey, type PasskeyOptions } from "./passkey.js";
import { toResult, type Failure, type Result, type ResultOperation } from "./result.js";
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
 * The operations of a user. Each returns `{ ok: true, data }` or `{ ok: false, failure }`, and throws only for an aborted signal,
 * if the tokens cannot be stored, or, with a passkey, what the browser throws.
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
   * A wrong password is 404 `USER_NOT_FOUND`, like an unknown address. 403 `SECOND_FACTOR_REQUIRED` has the `ticket` with which
   * `completeLogIn` continues, and the `methods` that the user has.
   */
  async logIn(user: { email: string; password: string; device?: Device }, { signal }: CallOptions = {}): Promise<Result<"create_access_token">> {
    const body = { device: thisDevice(), ...user, clientID: this.#clientID };
    const call = this.#public.POST("/v1/oauth/create", { body, ...given(signal) });
    return this.#start(await toResult("create_access_token", call, signal, isTokens));
  }

  /**
   * Completes a login with the second factor, within 5 minutes, and stores the tokens. After 403 `WRONG_CODE` it can be called again
   * with the same ticket; 404 `LOG_IN_EXPIRED` means to begin again with the password. A passkey comes from `getPasskey(failure.passkey)`.
   */
  async completeLogIn(ticket: string, factor: SecondFactor, { signal }: CallOptions = {}): Promise<Result<"create_access_token_by_second_factor">> {
    const call = this.#public.POST("/v1/oauth/second_factor", { body: { ticket, ...factor }, ...given(signal) });
    return this.#start(await toResult("create_access_token_by_second_factor", call, signal, isTokens));
  }

  /**
   * Lets the user choose a passkey of this service, and returns what proves it, for `stepUp`. 404 means that the service has no
   * passkeys. Rejects as `getPasskey` does.
   */
  async askForPasskey({ signal, ...options }: PasskeyOptions = {}): Promise<Given<PasskeyAssertion, "begin_passkey_log_in">> {
    const begun = await toResult("begin_passkey_log_in", this.#public.POST("/v1/oauth/passkey/options", given(signal)), signal, hasCeremony);
    return begun.ok ? { ok: true, data: await getPasskey(begun.data, { ...given(signal), ...options }) } : begun;
  }

  /**
   * Logs a user in by a passkey alone, and stores the tokens. 404 `USER_NOT_FOUND` means a passkey that the service does not know.
   * Rejects as `getPasskey` does.
   */
  async logInWithPasskey(
    { device = thisDevice(), signal, ...options }: PasskeyOptions & { device?: Device } = {},
  ): Promise<Result<"create_access_token_by_passkey"> | { ok: false; failure: Failure<"begin_passkey_log_in"> }> {
    const passkey = await this.askForPasskey({ ...given(signal), ...options });
    if (!passkey.ok) {
      return passkey;
    }
    const call = this.#public.POST("/v1/oauth/passkey", { body: { ...passkey.data, device, clientID: this.#clientID }, ...given(signal) });
    return this.#start(await toResult("create_access_token_by_passkey", call, signal, isTokens));
  }

  /** Creates a passkey in this browser, and adds it to the user's. Needs a recent authentication. Rejects as `createPasskey` does. */
  async addPasskey(name: string, { signal }: CallOptions = {}): Promise<Result<"add_passkey"> | { ok: false; failure: Failure<"begin_passkey"> }> {
    const begun = await toResult("begin_passkey", this.api.POST("/v1/user/passkey/options", given(signal)), signal, hasCeremony);
    if (!begun.ok) {
      return begun;
    }
    const body = { name, ...(await createPasskey(begun.data, given(signal))) };
    return toResult("add_passkey", this.api.POST("/v1/user/passkey/add", { body, ...given(signal) }), signal, (data) => !!(data as { passkeyID?: unknown } | undefined)?.passkeyID);
  }

  /** Stores the tokens of a login that has succeeded. */
  async #start<Login extends { ok: true; data: Parameters<Session["start"]>[0] } | { ok: false }>(login: Login): Promise<Login> {
    if (login.ok) {
      await this.session.start(login.data);
    }
    return login;
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
   * Proves that the user is present, so that operations that need a recent authentication succeed for ten minutes. The proof is a
   * password (also as a string), a code, a recovery code or a passkey of `askForPasskey`. The new access token is stored.
   * 403 `AUTHENTICATION_FAILED` is a wrong proof, and 403 `SECOND_FACTOR_REQUIRED` means that a password is not enough.
   * `withRecentAuthentication` calls it when it is needed.
   */
  stepUp(proof: string | Proof, { signal }: CallOptions = {}): Promise<Result<"step_up_session">> {
    return this.session.stepUp(proof, signal);
  }

  /**
   * Runs an operation that may need a recent authentication, and returns its outcome. If the operation does, calls `ask` for the
   * password, or for another proof, steps up, and runs the operation once more. The operation may be a method of this class, a call of `api`, or a
   * `session.fetch` to your own service (which then responds as docs/gateway.md describes).
   *
   * If the step-up fails, `ask` is called again, with the failure: show it beside the field. `undefined` from `ask` gives up: the
   * outcome is then the first one, with its 403. So it is if the session has ended.
   */
  async withRecentAuthentication<Outcome extends object>(
    operation: () => Promise<Outcome>,
    ask: (failure?: Failure<"step_up_session">) => Asked | PromiseLike<Asked>,
  ): Promise<Outcome> {
    const outcome = await operation();
    if (!needsRecentAuthentication(outcome)) {
      return outcome;
    }
    for (let failure: Failure<"step_up_session"> | undefined; ; ) {
      const proof = await ask(failure);
      if (proof === undefined) {
        return outcome;
      }
      const result = await this.stepUp(proof);
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

/** What a form for `stepUp` returns: a password, another proof, or `undefined` if the user cancels. */
type Asked = string | Proof | undefined;

/** A result whose data does not come from the service. */
type Given<Data, Operation extends ResultOperation> = { ok: true; data: Data } | { ok: false; failure: Failure<Operation> };

function hasCeremony(data: unknown): boolean {
  return !!(data as { ceremony?: unknown } | undefined)?.ceremony;
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
