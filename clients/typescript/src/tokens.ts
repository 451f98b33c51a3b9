// The tokens of a session, and their age.
import type { components } from "./contract.js";

/** The tokens of a session, as the service returns them, and when they arrived. */
export type Tokens = components["schemas"]["AccessTokenResponse"] & {
  /**
   * When the tokens arrived, in milliseconds of this device's clock. It is only compared with the same clock, so a device whose
   * clock is wrong works like any other.
   */
  receivedAt?: number;
};

/** Reports whether a value has the shape of tokens. It is how a store recognizes damaged content, and a session a captive portal. */
export function isTokens(value: unknown): value is Tokens {
  const { sessionID, accessToken, refreshToken, expiresIn, receivedAt } = (value ?? {}) as Record<string, unknown>;
  return (
    [sessionID, accessToken, refreshToken].every((s) => s && typeof s === "string") &&
    [expiresIn, receivedAt].every((n) => n === undefined || typeof n === "number")
  );
}

/**
 * Reports whether tokens should be refreshed before they are used: their access token expires within 30 s, or within a fifth of
 * its lifetime if that is shorter. It is asked at each call instead of by a timer, because timers fire late on a device that slept.
 * Without `expiresIn` the answer is false, and only a 401 shows that the access token has expired.
 */
export function isDue({ expiresIn, receivedAt }: Tokens): boolean {
  if (expiresIn === undefined || receivedAt === undefined) {
    return false;
  }
  const age = (Date.now() - receivedAt) / 1000;
  return age < 0 || age >= expiresIn - Math.min(30, expiresIn / 5); // a negative age: somebody has set the clock back
}
