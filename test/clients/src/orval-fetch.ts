// #region fetch
import { patient } from "./client.js";

const send = patient((request) => fetch(request));
let base = "";

/** Where the service is. */
export function setBase(url: string) {
  base = url;
}

/** What orval's functions call: the one place for what all requests have in common. */
export async function orvalFetch<T>(path: string, init: RequestInit): Promise<T> {
  const request = new Request(base + path, init);
  request.headers.set("request-id", crypto.randomUUID());
  const response = await send(request);
  const text = await response.text();
  const isJSON = response.headers.get("content-type")?.startsWith("application/json");
  return { status: response.status, headers: response.headers, data: isJSON ? JSON.parse(text) : text || undefined } as T;
}
// #endregion
