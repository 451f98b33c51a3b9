// #region fetch
let base = "";

/** Sets the URL of the service. */
export function setBase(url: string) {
  base = url;
}

/** The fetch function of all of orval's functions. */
export async function orvalFetch<T>(path: string, init: RequestInit): Promise<T> {
  const request = new Request(base + path, init);
  request.headers.set("request-id", crypto.randomUUID());
  const response = await fetch(request);
  const text = await response.text();
  const isJSON = response.headers.get("content-type")?.startsWith("application/json");
  return { status: response.status, headers: response.headers, data: isJSON ? JSON.parse(text) : text || undefined } as T;
}
// #endregion
