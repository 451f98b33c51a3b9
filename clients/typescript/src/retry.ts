// Patience with a service that is temporarily unavailable.

/** Sends a request. It is the type of every layer of the client. */
export type Fetch = (request: Request) => Promise<Response>;

/** How patient a client is. */
export interface Patience {
  /** How often a request is sent at most. The default is 3; 1 means no repetition. */
  attempts?: number;
  /** The longest wait between two attempts, in seconds. The default is 10. A 503 that asks for a longer one is returned. */
  maxWait?: number;
}

/**
 * Returns a fetch function for the authorization service that repeats requests:
 *
 * - after 503, with every method, because the service then has changed nothing. It waits for the time in `Retry-After` (RFC 9110,
 *   section 10.2.3: seconds, or a date, which it compares with the response's `Date` and not with the device's clock);
 * - after a network error, or the 502 or 504 of a gateway, only what is safe to repeat: idempotent methods (RFC 9110, section
 *   9.2.2), which include the refresh, because the service returns the same tokens again. Never POST: a lost response may hide a login
 *   or an email. Never the confirmation link, which works once, or a change of the password: its repetition would have a wrong current one.
 *
 * The `signal` of the request ends the waiting. Other failures are returned as they are: a 429 is for the user.
 */
export function withRetry(next: Fetch, { attempts = 3, maxWait = 10 }: Patience = {}): Fetch {
  return async (request) => {
    for (let left = attempts; ; ) {
      const again = --left > 0 ? request.clone() : undefined; // a body can be read only once
      let wait = (attempts - left) / 2;
      try {
        const response = await next(request);
        if (response.status === 503) {
          wait = retryAfter(response) ?? 1;
        } else if (![502, 504].includes(response.status) || !isRepeatable(request)) {
          wait = Infinity;
        }
        if (!again || wait > maxWait) {
          return response;
        }
        await response.body?.cancel(); // frees the connection
      } catch (error) {
        if (!again || request.signal.aborted || !isRepeatable(request)) {
          throw error;
        }
      }
      // Up to a quarter more, so that clients that failed at the same time do not all return at the same time.
      await delay(wait * 1000 * (1 + Math.random() / 4), request.signal);
      request = again;
    }
  };
}

/** Returns the seconds in `Retry-After`, or `undefined` if it is missing or malformed. */
export function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get("retry-after") ?? "";
  const date = Date.parse(headers.get("date") ?? "") || Date.now();
  // JavaScript parses "-5" as a date too.
  const seconds = /^\d+$/.test(value) ? Number(value) : value.endsWith("GMT") ? (Date.parse(value) - date) / 1000 : NaN;
  return isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function isRepeatable({ method, url }: Request): boolean {
  return method !== "POST" && !/\/(u\/[^/]*|password)$/.test(url); // the service has GET, PUT and DELETE besides
}

function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return abortable(new Promise((resolve) => setTimeout(resolve, milliseconds)), signal)
}

/** Returns a promise that is also rejected when the signal aborts. What it waited for continues. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) {
      abort();
    }
    signal.addEventListener("abort", abort);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
