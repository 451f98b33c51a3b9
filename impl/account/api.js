// Sends requests to the public API of the service. docs/clients.md explains the rules.

const root = new URL('..', import.meta.url); // what AUTH_PUBLIC_URL is, as this browser reaches it
const attempts = 3;
const maxWait = 10; // seconds between two attempts
const timeout = 30_000; // milliseconds

// Failure is a response that is no success. status is 0 without a response. code is the reason, such as "USER_NOT_FOUND".
export class Failure extends Error {
  constructor(status, body = {}, headers = new Headers()) {
    const { message, parameters } = body;
    super(`${status} ${message ?? ''}`);
    this.body = body;
    this.status = status;
    this.code = typeof message === 'string' ? message : '';
    this.parameters = Array.isArray(parameters) ? parameters : [];
    this.retryAfter = seconds(headers.get('retry-after'));
    this.requestID = headers.get('request-id') ?? '';
  }
}

function seconds(value) {
  return /^\d+$/.test(value ?? '') ? Number(value) : undefined;
}

let listener = () => {};
let waits = 0; // requests that wait

// onWaiting calls a function with true when a request waits to be repeated, and with false when none does.
export function onWaiting(call) {
  listener = call;
}

// call sends a request and returns the body of the response, undefined for 204. It throws a Failure.
export async function call(method, path, { body, token } = {}) {
  const headers = { accept: 'application/json', 'request-id': newRequestID() };
  if (body) headers['content-type'] = 'application/json';
  if (token) headers.authorization = `Bearer ${token}`;
  const request = {
    method, headers, body: body && JSON.stringify(body), credentials: 'omit', redirect: 'error',
    keepalive: method === 'DELETE', // the user may close the page after the logout
  };
  let waited = false;
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await send(path, request);
      } catch (failure) {
        const wait = waitAfter(failure, attempt, isRepeatable(method, path));
        if (attempt === attempts || wait > maxWait) throw failure;
        if (!waited) listener(++waits > 0);
        waited = true;
        // Up to a quarter more, so that not all clients return at the same time.
        await new Promise((resolve) => setTimeout(resolve, wait * 1000 * (1 + Math.random() / 4)));
      }
    }
  } finally {
    if (waited) listener(--waits > 0);
  }
}

async function send(path, request) {
  let response;
  let text;
  try {
    response = await fetch(new URL(path, root), { ...request, signal: AbortSignal.timeout(timeout) });
    text = await response.text();
  } catch {
    throw new Failure(0);
  }
  let data;
  try {
    data = text ? JSON.parse(text) : undefined;
  } catch {
    throw new Failure(response.ok ? 0 : response.status, {}, response.headers); // a gateway's page, or a captive portal's
  }
  if (!response.ok) throw new Failure(response.status, data ?? {}, response.headers);
  return data;
}

// isLost reports whether the service may have handled a request without a response, or with that of a gateway.
export const isLost = ({ status }) => [0, 502, 504].includes(status);

// waitAfter returns how many seconds to wait before a request is repeated. After 503 the service has changed nothing: all can be repeated.
function waitAfter({ status, retryAfter }, attempt, repeatable) {
  if (status === 503) return retryAfter ?? 1;
  if (status === 0 && navigator.onLine === false) return Infinity; // offline: the user reconnects first
  return isLost({ status }) && repeatable ? attempt / 2 : Infinity;
}

// isRepeatable reports whether a request may be sent again after a lost response. A POST may have sent an email, and there are five exports a
// day. After a change of the password the current password would be wrong, after a deletion the access token. Recovery codes are shown once.
function isRepeatable(method, path) {
  return method !== 'POST' && !['PUT v1/user/password', 'PUT v1/user/totp', 'DELETE v1/user', 'GET v1/user/export'].includes(`${method} ${path}`);
}

// newRequestID returns 128 random bits. crypto.randomUUID is missing on pages without TLS.
function newRequestID() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
