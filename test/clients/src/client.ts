// A client of the service on openapi-fetch. docs/clients.md quotes its regions.
import createClient, { type Middleware } from "openapi-fetch";
import type { components, operations, paths } from "./generated/openapi.js";

// #region fetch
/** What every layer of the client is, from the network up. */
export type Fetch = (request: Request) => Promise<Response>;
// #endregion

// #region request-id
/** Gives every request a name, which comes back in the answer and stands in the service's logs. */
const requestID: Middleware = {
  onRequest({ request }) {
    request.headers.set("request-id", crypto.randomUUID());
    return request;
  },
};

/** The contract's paths, whose calls need not name themselves because the middleware does. */
type Named<Paths> = { [Path in keyof Paths]: { [Method in keyof Paths[Path]]: NamedOperation<Paths[Path][Method]> } };
type NamedOperation<Operation> = Operation extends { parameters: { header?: infer Header } }
  ? Omit<Operation, "parameters"> & {
      parameters: Omit<Operation["parameters"], "header"> & { header?: Omit<NonNullable<Header>, "request-id"> };
    }
  : Operation;

/** The service, as a typed client. */
export function connect(baseUrl: string, fetch: Fetch = patient((request) => globalThis.fetch(request))) {
  const api = createClient<Named<paths>>({ baseUrl, fetch });
  api.use(requestID);
  return api;
}
export type API = ReturnType<typeof connect>;
// #endregion

// #region patience
/** Repeats what the service could not answer just now: 503 means that nothing was decided. */
export function patient(next: Fetch, tries = 3): Fetch {
  return async (request) => {
    for (let tried = 1; ; tried++) {
      const again = request.clone(); // a body can be read only once
      const response = await next(request);
      if (response.status !== 503 || tried === tries) {
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

/** Where the tokens are kept. In a browser this is a storage that all tabs share. */
export interface TokenStore {
  load(): Tokens | undefined;
  save(tokens: Tokens | undefined): void;
}

/** A user who is logged in, and stays it. */
export class Session {
  readonly #store: TokenStore;
  readonly #api: API; // without a session: a refresh needs no access token
  readonly #next: Fetch;
  #refreshing: Promise<Tokens | undefined> | undefined;

  constructor(store: TokenStore, api: API, next: Fetch = patient((request) => globalThis.fetch(request))) {
    this.#store = store;
    this.#api = api;
    this.#next = next;
  }

  /** Sends a request with the access token; when that has expired, once more with a fresh one. */
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
    const fresh = await this.refresh(tokens);
    return fresh ? this.#send(again, fresh) : response;
  };

  /** Gives fresh tokens for stale ones; undefined when the session has ended. One request, however many ask at once. */
  refresh(stale: Tokens): Promise<Tokens | undefined> {
    const current = this.#store.load();
    if (current?.refreshToken !== stale.refreshToken) {
      return Promise.resolve(current); // it has happened meanwhile
    }
    this.#refreshing ??= this.#exchange(stale).finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #exchange(stale: Tokens): Promise<Tokens | undefined> {
    const { data, response } = await this.#api.PUT("/v1/oauth/refresh", { body: { refreshToken: stale.refreshToken } });
    if (data) {
      this.#store.save(data); // before its first use: a token that is lost now can be asked for again, one that is used can not
      return data;
    }
    if (response.status !== 400 && response.status !== 404) {
      throw new Error(`refresh: status ${response.status}`); // nothing is lost: the same token may be presented again
    }
    const current = this.#store.load();
    if (current?.refreshToken !== stale.refreshToken) {
      return current; // another tab was faster
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

// #region answer
/** The answers of an operation, told apart by their status. */
export type Answer<Bodies> = { [Status in keyof Bodies]: { status: Status; body: Bodies[Status]; requestID: string } }[keyof Bodies];

/** The bodies of an operation's answers, by status. */
export type Bodies<Operation extends keyof operations> = {
  [Status in keyof operations[Operation]["responses"]]: operations[Operation]["responses"][Status] extends {
    content: { "application/json": infer Body };
  }
    ? Body
    : undefined;
};

/** What a call has returned, as one of the answers that openapi.yaml documents. */
export function answer<Bodies>(result: { data?: unknown; error?: unknown; response: Response }): Answer<Bodies> {
  const { status, headers } = result.response;
  return { status, body: result.data ?? result.error, requestID: headers.get("request-id") } as Answer<Bodies>;
}
// #endregion
