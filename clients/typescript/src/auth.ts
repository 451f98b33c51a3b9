// All that a frontend calls.
import { connect, typed, type API } from "./client.js";
import type { Device, SignUpRequest } from "./contract.js";
import { toResult, type Result } from "./result.js";
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
}

function given(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function thisDevice(): Device {
  const { platform, language } = (globalThis.navigator ?? {}) as Partial<Navigator>;
  return { ...(platform && { platform }), ...(language && { language }) };
}
