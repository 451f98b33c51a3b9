// The session of a user: it has the tokens, sends requests with them, and keeps them fresh.
import { globalFetch, typed, type API, type ConnectOptions } from "./client.js";
import { allowOrigins, originOf } from "./origins.js";
import { RefreshError } from "./refresh-error.js";
import { toResult, type Failure, type Result } from "./result.js";
import type { Body, Proof } from "./contract.js";
import { abortable, withRetry, type Fetch } from "./retry.js";
import { MemoryStore, type TokenStore } from "./store.js";
import { isDue, isTokens, type Tokens } from "./tokens.js";
import { Watchers, type EndReason, type SessionState } from "./watchers.js";

/** Options of a session. */
export interface SessionOptions extends ConnectOptions {
  /** Where the tokens are kept. The default is a `MemoryStore`. */
  store?: TokenStore;
  /** Origins besides the service's that may get the access token: your own services, such as `https://api.example.com`. */
  origins?: readonly string[];
}

/** Exchanges stale tokens. */
type Refresh = (stale: Tokens) => Promise<Tokens | undefined>;

/** How long one refresh may take, with its repetitions, in milliseconds. */
const refreshTimeout = 30_000;

/**
 * Keeps a user logged in.
 *
 * - It refreshes the tokens before they expire, or after a 401. Concurrent calls share one refresh, and so do tabs and processes
 *   whose store has `lock`.
 * - It stores new tokens before their first use. Until then, the service returns them again for the old refresh token.
 * - It ends only if the service says so: 404 `USER_NOT_FOUND`, or 400 that names `refreshToken` in `parameters`. Every other
 *   failure keeps the tokens: no network, 429, 500, 503, and a 400 because a gateway removed the header `request-id`.
 *
 * Creating a session has no effect: it may be done twice, and on a server.
 */
export class Session {
  readonly #store: TokenStore;
  readonly #api: API; // without the session: a refresh needs no access token
  readonly #inside: API; // with the session, inside a turn
  readonly #next: Fetch;
  readonly #patient: Fetch;
  readonly #baseUrl: string | URL;
  readonly #mayHaveToken: (url: string) => boolean;
  readonly #watchers: Watchers;
  #refreshing: Promise<Tokens | undefined> | undefined;
  #turn: Promise<unknown> = Promise.resolve(); // the last request for other tokens
  #writing: Promise<unknown> = Promise.resolve(); // the last change of the store
  readonly #unsaved = new Map<string, { ok: true; data: Tokens }>(); // by refresh token: its successors that the store could not save
  #failedAhead: string | undefined; // a refresh token that could not be used before a 401

  /** Creates the session of a user of the service at a URL. */
  constructor(baseUrl: string | URL, { store = new MemoryStore(), origins = [], fetch = globalFetch, ...patience }: SessionOptions = {}) {
    this.#baseUrl = baseUrl;
    this.#store = store;
    this.#next = fetch;
    this.#patient = withRetry(fetch, patience);
    this.#api = typed(baseUrl, this.#patient);
    this.#inside = typed(baseUrl, (request) => this.#send(request, this.#patient, (stale) => this.#exchange(stale)));
    this.#mayHaveToken = allowOrigins(baseUrl, origins);
    this.#watchers = new Watchers(store);
  }

  /**
   * Sends a request with the access token, like `fetch`. If the response is 401, it refreshes the tokens and sends the request once
   * more. Use it for your own services too.
   *
   * - A token goes only to the service and to `origins`; another URL is a TypeError. Redirects are not followed: they are a network
   *   error, or, with `redirect: "manual"`, returned.
   * - A body that is a `ReadableStream` in `init` is sent once, because it can be read once: after a 401 the tokens are refreshed,
   *   and the 401 is returned. The stream of a `Request` is kept in memory until the response arrives.
   * - Requests to the service are repeated after 503 as `withRetry` describes; requests to other services are not.
   * - Throws `RefreshError` if the access token has expired and cannot be refreshed now. Nobody is logged out by that.
   *
   * If nobody is logged in, the request is sent without a token.
   */
  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    if (!this.#mayHaveToken(request.url)) {
      throw new TypeError(`session.fetch: ${new URL(request.url).origin} is not in origins`);
    }
    const isStream = init?.body instanceof ReadableStream;
    const isPatient = !isStream && originOf(request.url) === originOf(this.#baseUrl);
    return this.#send(request, isPatient ? this.#patient : this.#next, (stale) => this.refresh(stale), isStream);
  };

  /** Returns the tokens, or `undefined` if nobody is logged in. They may have expired. */
  async tokens(): Promise<Tokens | undefined> {
    const tokens = await this.#store.load();
    this.#watchers.saw(tokens, "elsewhere");
    return tokens;
  }

  /** Stores the tokens of a login. `Auth.logIn` calls it; call it if the tokens of a login come from elsewhere. */
  async start(tokens: Tokens): Promise<void> {
    const received = { ...tokens, receivedAt: Date.now() };
    await this.#write(() => this.#store.save(received));
    this.#watchers.saw(received, "elsewhere");
  }

  /**
   * Exchanges stale tokens, by default the current ones, for new ones, and returns those. Returns `undefined` if the session has
   * ended. Throws `RefreshError` if the service cannot be asked now. Concurrent calls share one request.
   */
  async refresh(stale?: Tokens): Promise<Tokens | undefined> {
    const current = await this.tokens();
    if (!current || (stale && current.refreshToken !== stale.refreshToken)) {
      return current; // somebody else has refreshed them, or has logged out
    }
    this.#refreshing ??= this.#inTurn(() => this.#exchange(current)).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  /** Changes the user's password, and stores the new tokens of this session: see `Auth.changePassword`. */
  changePassword(currentPassword: string, newPassword: string, signal?: AbortSignal): Promise<Result<"change_user_password">> {
    const send = (given: { signal: AbortSignal }) => this.#inside.PUT("/v1/user/password", { body: { currentPassword, newPassword }, ...given });
    return this.#replace("change_user_password", send, isTokens, (tokens) => tokens, signal);
  }

  /** Proves that the user is present, and stores the new access token of this session: see `Auth.stepUp`. */
  stepUp(proof: string | Proof, signal?: AbortSignal): Promise<Result<"step_up_session">> {
    const body = typeof proof === "string" ? { password: proof } : proof;
    const send = (given: { signal: AbortSignal }) => this.#inside.POST("/v1/oauth/step_up", { body, ...given });
    const isData = (data: unknown) => !!(data as Partial<Tokens> | undefined)?.accessToken;
    const merge = ({ accessToken, expiresIn }: Body<"step_up_session", 200>, { sessionID, refreshToken }: Tokens) =>
      ({ sessionID, refreshToken, accessToken, ...(expiresIn && { expiresIn }) });
    return this.#replace("step_up_session", send, isData, merge, signal);
  }

  /**
   * Deletes the tokens on this device, without a request: the session stays in the user's list until it expires. With `sessionID`, only
   * tokens of that session. Returns the tokens that it has deleted.
   */
  forget(sessionID?: string): Promise<Tokens | undefined> {
    return this.#write(async () => {
      const stored = await this.#store.load();
      if (!stored || (sessionID && sessionID !== stored.sessionID)) {
        return undefined;
      }
      await this.#store.save(undefined); // other tabs see it, and a refresh that is under way does not store its tokens
      this.#watchers.saw(undefined, "loggedOut");
      return stored;
    });
  }

  /**
   * Ends the session at the service, and deletes the tokens on this device in any case. If the result is a failure, the session may
   * still be in the user's list of sessions.
   */
  async logOut(): Promise<Result<"revoke_session">> {
    const tokens = await this.forget();
    if (!tokens) {
      return { ok: true, data: undefined };
    }
    const end = ({ accessToken, sessionID }: Tokens) =>
      toResult("revoke_session", this.#api.DELETE("/v1/session/{sessionID}", {
        params: { path: { sessionID } },
        headers: { authorization: `Bearer ${accessToken}` },
        keepalive: true, // also if the user closes the page
      }));
    const result = await end(tokens);
    if (result.ok || result.failure.status !== 401) {
      return result;
    }
    const refreshed = await this.#renew(tokens);
    return refreshed.ok ? end(refreshed.data) : hasEnded(refreshed.failure) ? { ok: true, data: undefined } : result;
  }

  /**
   * Calls listener when somebody logs in or out, in this tab or in another one that shares the store. Returns a function that ends
   * this. With `state` it fits React's `useSyncExternalStore`.
   */
  readonly subscribe = (listener: () => void): (() => void) => this.#watchers.add(() => listener());

  /**
   * Calls listener once when the session ends: the user must log in again. Returns a function that ends this.
   * The reason is `ended` if the service has ended the session, `loggedOut` after `logOut`, and `elsewhere` if another tab or
   * process deleted the tokens.
   */
  readonly onEnd = (listener: (reason: EndReason) => void): (() => void) =>
    this.#watchers.add((reason) => reason && listener(reason));

  /** Whether somebody is logged in; `unknown` until the store was read, and while a page is rendered on a server. */
  get state(): SessionState {
    return this.#watchers.state;
  }

  /** Sends a request with the access token, and once more after a 401 that a refresh can mend. */
  async #send(request: Request, send: Fetch, refresh: Refresh, isStream = false): Promise<Response> {
    const tokens = await this.#usable(request.signal, refresh);
    if (!tokens) {
      return send(request);
    }
    const again = isStream ? undefined : request.clone();
    const response = await send(authorize(request, tokens));
    if (response.status !== 401) {
      return response;
    }
    const renewed = await abortable(refresh(tokens), request.signal);
    if (!again || renewed?.sessionID !== tokens.sessionID) {
      return response; // also if another user has logged in meanwhile
    }
    await response.body?.cancel(); // frees the connection
    return send(authorize(again, renewed));
  }

  /** Returns tokens that are worth sending: it tries to refresh those that expire soon. */
  async #usable(signal: AbortSignal, refresh: Refresh): Promise<Tokens | undefined> {
    const tokens = await this.tokens();
    if (!tokens || !isDue(tokens) || tokens.refreshToken === this.#failedAhead) {
      return tokens;
    }
    try {
      const renewed = await abortable(refresh(tokens), signal);
      return !renewed || renewed.sessionID === tokens.sessionID ? renewed : tokens; // a request is not sent in the name of the next user
    } catch (error) {
      if (!(error instanceof RefreshError)) {
        throw error;
      }
      this.#failedAhead = tokens.refreshToken; // it may still be valid: from now on a 401 decides
      return tokens;
    }
  }

  /**
   * Runs work while nothing else asks for other tokens: neither in this session nor, if the store has `lock`, in another tab. Otherwise
   * the response that arrives last would win, which may be the older one.
   */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(() => this.#store.lock?.(work) ?? work());
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Sends a request that changes the tokens, and stores the changes. */
  #replace<Operation extends "change_user_password" | "step_up_session">(
    operation: Operation,
    send: (given: { signal: AbortSignal }) => Promise<{ data?: unknown; error?: unknown; response: Response }>,
    isData: (data: unknown) => boolean,
    merge: (data: Body<Operation, 200>, stored: Tokens) => Tokens,
    signal?: AbortSignal,
  ): Promise<Result<Operation>> {
    return this.#inTurn(async () => {
      const before = await this.tokens();
      let result: Result<Operation> | undefined;
      try {
        return (result = await limited((limit) => toResult(operation, send({ signal: limit }), signal, isData), signal));
      } finally {
        if (result?.ok) {
          const { data } = result;
          await this.#write(async () => {
            const stored = await this.tokens();
            if (stored && stored.sessionID === before?.sessionID) { // otherwise the user has logged out or in meanwhile
              await this.#keep(stored, { ...merge(data, stored), receivedAt: Date.now() });
            }
          });
        } else if (!result || ["network", "undocumented"].includes(String(result.failure.status))) {
          // The response may be lost, and with it new tokens: the service repeats them for the older refresh token, but for minutes only.
          const stored = await this.tokens();
          await (stored && this.#exchange(stored).catch(() => {}));
        }
      }
    });
  }

  /** Stores the successors of stale tokens. If the store fails, the next refresh tries again. */
  async #keep(stale: Tokens, data: Tokens): Promise<Tokens> {
    this.#unsaved.set(stale.refreshToken, { ok: true, data });
    await this.#store.save(data);
    this.#unsaved.clear();
    return data;
  }

  /** Changes the store after earlier changes, so that a slow store cannot bring back what a logout or a login has replaced. */
  #write<T>(work: () => T | PromiseLike<T>): Promise<T> {
    const done = this.#writing.then(work, work);
    return (this.#writing = done);
  }

  async #exchange(stale: Tokens): Promise<Tokens | undefined> {
    const before = await this.tokens();
    if (before?.refreshToken !== stale.refreshToken) {
      return before; // another tab has refreshed them while this one waited for its turn
    }
    // The service repeats tokens for minutes only, but the store may fail for longer.
    const result = this.#unsaved.get(stale.refreshToken) ?? (await this.#renew(stale));
    return this.#write(async () => {
      const after = await this.tokens();
      if (after?.refreshToken !== stale.refreshToken) {
        return after; // meanwhile the user has logged out or in, or another tab did not wait for its turn
      }
      if (result.ok) {
        return this.#keep(stale, result.data);
      }
      if (!hasEnded(result.failure)) {
        throw new RefreshError(result.failure);
      }
      await this.#store.save(undefined);
      this.#watchers.saw(undefined, "ended");
      return undefined;
    });
  }

  async #renew({ refreshToken }: Tokens): Promise<{ ok: true; data: Tokens } | { ok: false; failure: Failure<"refresh_access_token"> }> {
    const result = await limited((signal) =>
      toResult("refresh_access_token", this.#api.PUT("/v1/oauth/refresh", { body: { refreshToken }, signal }), undefined, isTokens),
    );
    return result.ok ? { ok: true, data: { ...result.data, receivedAt: Date.now() } } : result;
  }
}

/** Calls send with a signal that aborts with the caller's, or after refreshTimeout: a request must not stop refreshes for longer. */
async function limited<T>(send: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
  const limit = new AbortController();
  const abort = () => limit.abort(signal?.reason);
  const timer = setTimeout(() => limit.abort(new Error("timeout")), refreshTimeout);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) {
    abort();
  }
  try {
    return await send(limit.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Reports whether the failure of a refresh means that the session has ended. */
function hasEnded(failure: Failure<"refresh_access_token">): boolean {
  return failure.status === 404 || (failure.status === 400 && failure.parameters.includes("refreshToken"));
}

/** Returns the request with the access token (RFC 6750, section 2.1). A redirect must not take it to another host. */
function authorize(request: Request, { accessToken }: Tokens): Request {
  const authorized = new Request(request, { redirect: request.redirect === "manual" ? "manual" : "error" });
  authorized.headers.set("authorization", `Bearer ${accessToken}`);
  return authorized;
}
