// The error of a refresh that failed but did not end the session.
import type { Failure } from "./result.js";

/**
 * `session.fetch` and `session.refresh` throw it if the access token has expired and cannot be refreshed now: no network, 503, a
 * gateway's error. The tokens are kept. `failure` says why.
 */
export class RefreshError extends Error {
  override readonly name = "RefreshError";
  /** Why the refresh failed. It never means that the session has ended. */
  readonly failure: Failure<"refresh_access_token">;

  /** Creates the error for a failure. */
  constructor(failure: Failure<"refresh_access_token">) {
    super(`refresh: ${failure.status}`, { cause: failure });
    this.failure = failure;
  }
}
