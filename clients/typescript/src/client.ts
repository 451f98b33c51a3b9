// The typed client of the service.
import createClient, { type Client } from "openapi-fetch";
import type { PathsWithoutRequestID } from "./contract.js";
import { withRetry, type Fetch, type Patience } from "./retry.js";

/** A typed client: `api.GET("/v1/version")` returns `data` or `error`, with the types of openapi.yaml. It accepts JSON only. */
export type API = Client<PathsWithoutRequestID, "application/json">;

/** Options of a client. */
export interface ConnectOptions extends Patience {
  /** Sends the requests. The default is the global `fetch`. */
  fetch?: Fetch;
}

/**
 * Returns a typed client of the service at a URL. It sets a new `request-id` on every request, which is also in the response and in
 * the service's log, and repeats requests as `withRetry` describes. It sends no cookies, and follows no redirect: the service
 * redirects nobody, and a redirect could take a password to another host.
 */
export function connect(baseUrl: string | URL, { fetch = globalFetch, ...patience }: ConnectOptions = {}): API {
  return typed(baseUrl, withRetry(fetch, patience));
}

/** The global `fetch` at the time of the call: tools that record requests replace it. */
export const globalFetch: Fetch = (request) => globalThis.fetch(request);

/** Returns a typed client that sends its requests with a fetch function. */
export function typed(baseUrl: string | URL, fetch: Fetch): API {
  const api = createClient<PathsWithoutRequestID, "application/json">({
    baseUrl: String(baseUrl),
    fetch: (request) => fetch(request),
    headers: { accept: "application/json" }, // the confirmation link would give a page
    credentials: "omit",
    redirect: "error",
  });
  api.use({
    onRequest({ request }) {
      if (!request.headers.has("request-id")) {
        request.headers.set("request-id", newRequestID());
      }
    },
  });
  return api;
}

/** Returns 128 random bits. crypto.randomUUID is missing on pages without TLS. */
function newRequestID(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
