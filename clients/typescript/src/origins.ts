// Which hosts may get an access token.

/**
 * Returns a function that reports whether a request to a URL may carry an access token: only to the origin (RFC 6454) of the
 * service, and to the origins that the caller lists. Throws for an origin that is none: a path, a wildcard.
 */
export function allowOrigins(service: string | URL, others: readonly string[]): (url: string) => boolean {
  const allowed = others.map((other) => {
    const origin = originOf(other);
    if (!origin || other.replace(/\/$/, "").toLowerCase() !== origin) {
      throw new TypeError(`origins: ${other} is not like https://api.example.com`);
    }
    return origin;
  });
  return (url) => {
    const origin = originOf(url);
    return !!origin && (origin === originOf(service) || allowed.includes(origin));
  };
}

/** Returns the origin of a URL, or `undefined` for schemes that have none (RFC 6454: "null"). Relative URLs belong to the page. */
export function originOf(url: string | URL): string | undefined {
  const { origin } = new URL(url, globalThis.location?.href);
  return origin === "null" ? undefined : origin;
}
