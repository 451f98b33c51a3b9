// The page's side of the backend for frontend: the access token is only in memory. docs/browsers.md explains it.
let current; // { accessToken, sessionID, expiresAt } of this tab

// A refresh holds the lock, so a second tab starts only when the cookie of the first has arrived. A response that takes 15 s is dropped, with
// its cookie: server.mjs relies on it.
const post = (operation, body = {}) =>
  navigator.locks.request('bff', () =>
    fetch(`/bff/${operation}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'request-id': crypto.randomUUID() },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    }).catch(() => new Response(null, { status: 503 })),
  );

async function keep(response) {
  const { accessToken, sessionID, expiresIn = 600 } = await response.json();
  current = { accessToken, sessionID, expiresAt: Date.now() + (expiresIn - Math.min(30, expiresIn / 2)) * 1000 };
  return current;
}

// login returns the status of the response: 200, or a failure of POST /v1/oauth/create.
export async function login(email, password) {
  const response = await post('login', { email, password, clientID: 'app', device: {} });
  if (response.status === 200) await keep(response);
  return response.status;
}

// session returns the access token and the ID of the session, or null if the user has to log in. It throws if that is not known now: show
// that the service is unavailable, and try again. After a 401 of an API, call it once with { stale: the refused access token }.
let pending;
export async function session({ stale } = {}) {
  if (current && current.accessToken !== stale && Date.now() < current.expiresAt) return current;
  pending ??= renew().finally(() => (pending = undefined));
  return pending;
}

async function renew() {
  const response = await post('refresh');
  if (response.status === 200) return keep(response);
  const failure = await response.json().catch(() => ({}));
  const ended = failure.message === 'USER_NOT_FOUND' || failure.parameters?.includes('refreshToken');
  if (ended) return (current = null);
  throw new Error(`no session now: status ${response.status}`);
}

// logout returns whether the session ended at the service. This browser has forgotten it in any case, if the response arrived.
export async function logout() {
  const response = await post('logout');
  current = null;
  return response.status === 204;
}
