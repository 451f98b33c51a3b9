// A client of the service on openapi-fetch. docs/clients.md quotes its regions.
import createClient, { type Middleware } from "openapi-fetch";
import type { components, operations, paths } from "./generated/openapi.js";

// #region fetch
/** The type of every layer of the client. */
export type Fetch = (request: Request) => Promise<Response>;
// #endregion

// #region request-id
/** Sets a request ID on every request. The response and the service's log contain it too. */
const requestID: Middleware = {
  onRequest({ request }) {
    request.headers.set("request-id", crypto.randomUUID());
    return request;
  },
};

/** The contract's paths without the header request-id, because the middleware sets it. */
type WithoutRequestID<Paths> = { [Path in keyof Paths]: { [Method in keyof Paths[Path]]: OperationWithoutRequestID<Paths[Path][Method]> } };
type OperationWithoutRequestID<Operation> = Operation extends { parameters: { header?: infer Header } }
  ? Omit<Operation, "parameters"> & {
      parameters: Omit<Operation["parameters"], "header"> & { header?: Omit<NonNullable<Header>, "request-id"> };
    }
  : Operation;

/** Returns a typed client of the service. */
export function connect(baseUrl: string, fetch: Fetch = withRetry((request) => globalThis.fetch(request))) {
  const api = createClient<WithoutRequestID<paths>>({ baseUrl, fetch });
  api.use(requestID);
  return api;
}
export type API = ReturnType<typeof connect>;
// #endregion

// #region retry
/** Repeats requests that got 503, which means that the service has changed nothing. */
export function withRetry(next: Fetch, maxAttempts = 3): Fetch {
  return async (request) => {
    for (let attempt = 1; ; attempt++) {
      const again = request.clone(); // a body can be read only once
      const response = await next(request);
      if (response.status !== 503 || attempt === maxAttempts) {
        return response;
      }
      const seconds = Number(response.headers.get("retry-after") ?? 1);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      request = again;
    }
  };
}
// #endregion

// #region session
export type Tokens = components["schemas"]["AccessTokenResponse"];

/** The storage of the tokens. In a browser, use a storage that all tabs share. */
export interface TokenStore {
  load(): Tokens | undefined;
  save(tokens: Tokens | undefined): void;
}

/** Keeps a user logged in. */
export class Session {
  readonly #store: TokenStore;
  readonly #api: API; // without a session: a refresh needs no access token
  readonly #next: Fetch;
  #refreshing: Promise<Tokens | undefined> | undefined;

  constructor(store: TokenStore, api: API, next: Fetch = withRetry((request) => globalThis.fetch(request))) {
    this.#store = store;
    this.#api = api;
    this.#next = next;
  }

  /** Sends a request with the access token. If the token has expired, refreshes it and sends the request again. */
  readonly fetch: Fetch = async (request) => {
    const tokens = this.#store.load();
    if (!tokens) {
      return this.#next(request); // 401: nobody is logged in
    }
    const again = request.clone();
    const response = await this.#send(request, tokens);
    if (response.status !== 401) {
      return response;
    }
    const renewed = await this.refresh(tokens);
    return renewed ? this.#send(again, renewed) : response;
  };

  /** Exchanges stale tokens for new ones, or returns undefined if the session has ended. Concurrent calls share one request. */
  refresh(stale: Tokens): Promise<Tokens | undefined> {
    const current = this.#store.load();
    if (current?.refreshToken !== stale.refreshToken) {
      return Promise.resolve(current); // another call has refreshed them
    }
    this.#refreshing ??= this.#exchange(stale).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #exchange(stale: Tokens): Promise<Tokens | undefined> {
    const { data, response } = await this.#api.PUT("/v1/oauth/refresh", { body: { refreshToken: stale.refreshToken } });
    if (data) {
      this.#store.save(data); // before their first use: until then a lost token can be requested again
      return data;
    }
    if (response.status !== 400 && response.status !== 404) {
      throw new Error(`refresh: status ${response.status}`); // the same token can be sent again
    }
    const current = this.#store.load();
    if (current?.refreshToken !== stale.refreshToken) {
      return current; // another tab has refreshed them
    }
    this.#store.save(undefined);
    return undefined;
  }

  #send(request: Request, tokens: Tokens): Promise<Response> {
    request.headers.set("authorization", `Bearer ${tokens.accessToken}`);
    return this.#next(request);
  }
}
// #endregion

// #region response
/** The responses of an operation, as a union that is discriminated by the status. */
export type Documented<Bodies> = { [Status in keyof Bodies]: { status: Status; body: Bodies[Status]; requestID: string } }[keyof Bodies];

/** The bodies of an operation's responses, by status. */
export type Bodies<Operation extends keyof operations> = {
  [Status in keyof operations[Operation]["responses"]]: operations[Operation]["responses"][Status] extends {
    content: { "application/json": infer Body };
  }
    ? Body
    : undefined;
};

/** Converts the result of a call to one of the documented responses. */
export function documented<Bodies>(result: { data?: unknown; error?: unknown; response: Response }): Documented<Bodies> {
  const { status, headers } = result.response;
  return { status, body: result.data ?? result.error, requestID: headers.get("request-id") } as Documented<Bodies>;
}
// #endregion
