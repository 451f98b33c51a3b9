// The page's side of the backend for frontend: the access token is only in memory. docs/browsers.md explains it.
let current; // { accessToken, sessionID, expiresAt } of this tab

// A refresh holds the lock, so a second tab starts only when the cookie of the first has arrived. A response that takes 15 s is dropped, with
// its cookie: server.mjs relies on it.
const post = (path, body = {}, accessToken) =>
  navigator.locks.request('bff', () =>
    fetch(path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json', 'request-id': crypto.randomUUID(), ...(accessToken && { authorization: `Bearer ${accessToken}` }),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    }).catch(() => new Response(null, { status: 503 })),
  );

async function keep(response) {
  const { accessToken, sessionID = current?.sessionID, expiresIn = 600 } = await response.json();
  current = { accessToken, sessionID, expiresAt: Date.now() + (expiresIn - Math.min(30, expiresIn / 2)) * 1000 };
  return current;
}

// login returns the status of the response: 200, or a failure of POST /v1/oauth/create.
export const login = async (email, password) => (await logIn(email, password)).status;

// logIn is login for users with a second factor: it returns the status and the body of a failure. 403 has the ticket and the methods; send them
// on with completeLogin(ticket, { code }), { recoveryCode } or { passkey: { ceremony, credential } }.
export const logIn = (email, password) => begin('/bff/login', { email, password, clientID: 'app', device: {} });
export const completeLogin = (ticket, factor) => begin('/bff/second-factor', { ticket, ...factor });

// loginWithPasskey logs in with the ceremony of POST /v1/oauth/passkey/options and the browser's credential.toJSON().
export const loginWithPasskey = (ceremony, credential) => begin('/bff/passkey', { ceremony, credential, clientID: 'app', device: {} });

// begin sends what begins a session, and keeps the access token in the response.
async function begin(path, body) {
  const response = await post(path, body);
  const { status } = response;
  if (status === 200) return await keep(response), { status };
  return { status, ...(await response.json().catch(() => ({}))) };
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
  const response = await post('/bff/refresh');
  if (response.status === 200) return keep(response);
  const failure = await response.json().catch(() => ({}));
  const ended = failure.message === 'USER_NOT_FOUND' || failure.parameters?.includes('refreshToken');
  if (ended) return (current = null);
  throw new Error(`no session now: status ${response.status}`);
}

// changePassword returns the status and the message of the response: 200, or a failure of PUT /v1/user/password. It goes through the backend
// for frontend, because the response has another refresh token.
export async function changePassword(currentPassword, newPassword) {
  const result = await prove('/bff/password', { currentPassword, newPassword });
  if (result.status >= 500) { // the response may be lost, and with it the token for the cookie: a refresh gets it, but for 2 minutes only
    current = undefined;
    await session().catch(() => {});
  }
  return result;
}

// stepUp returns the status and the message of the response: 200, or a failure of POST /v1/oauth/step_up. Call it when an operation, or an API,
// responds that it needs a recent authentication, and send the request again.
// The proof is a password, or { code }, { recoveryCode } or { passkey: { ceremony, credential } }.
export const stepUp = (proof) => prove('/v1/oauth/step_up', typeof proof === 'string' ? { password: proof } : proof);

// prove sends a proof with the access token, and keeps the new access token in the response.
async function prove(path, body) {
  let used = await session();
  let response = await post(path, body, used?.accessToken);
  if (response.status === 401 && used && (used = await session({ stale: used.accessToken }))) response = await post(path, body, used.accessToken);
  const { status } = response;
  if (status === 200) return await keep(response), { status };
  const { message } = await response.json().catch(() => ({}));
  return { status, message };
}

// logout returns whether the session ended at the service. This browser has forgotten it in any case, if the response arrived.
export async function logout() {
  const response = await post('/bff/logout');
  current = null;
  return response.status === 204;
}
