// A backend for frontend (BFF): it keeps the refresh token in an HttpOnly cookie, where no script can read it. docs/browsers.md explains it.
//
//   APP_ORIGIN=https://app.example.com SERVICE_URL=http://127.0.0.1:8080 node server.mjs    (Node 20 or newer, without packages)
//
// nginx.conf serves the page and this program from one origin. AUTH_TRUSTED_PROXIES of the service must contain the addresses of both.
// Run one process, because `recent` is in its memory.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

// SESSION_SECONDS is AUTH_REFRESH_TOKEN_TTL of the service: the cookie lasts as long as the session without a refresh.
const { APP_ORIGIN, SERVICE_URL = 'http://127.0.0.1:8080', HOST = '127.0.0.1', PORT = '8081', SESSION_SECONDS = '2592000' } = process.env;
if (!APP_ORIGIN) throw new Error('set APP_ORIGIN to the origin of the page, such as https://app.example.com');
const cookie = (token) => `__Host-refresh=${token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${token ? SESSION_SECONDS : 0}`;
const failure = (code, message) => ({ status: code, body: { code, message } });

// hasEnded reports whether the service refused the refresh token for good. After every other failure the session may still exist.
const hasEnded = ({ status, body }) =>
  (status === 404 && body?.message === 'USER_NOT_FOUND') || (status === 400 && body?.parameters?.includes('refreshToken'));

// call sends a request to the service. No response, or one that is not the service's but a gateway's, is 503: try again.
async function call(req, method, path, body, authorization = '') {
  const { 'request-id': requestID = randomUUID(), 'user-agent': agent = '', 'x-forwarded-for': hops } = req.headers;
  const headers = { 'request-id': requestID, 'user-agent': agent, 'x-forwarded-for': [hops, req.socket.remoteAddress].filter(Boolean).join(', ') };
  Object.assign(headers, body && { 'content-type': 'application/json' }, authorization && { authorization });
  try {
    const response = await fetch(SERVICE_URL + path, { method, headers, body, redirect: 'error', signal: AbortSignal.timeout(10_000) });
    const r = { status: response.status, requestID, retryAfter: response.headers.get('retry-after') };
    if (method === 'DELETE' && r.status === 204) return r;
    r.body = Object(await response.json().catch(() => null));
    if (r.status === 200 ? !r.body.refreshToken : r.body.code !== r.status) throw new Error(`${r.status}, not from the service`);
    return r;
  } catch (error) {
    console.error(`${method} at the service, request-id ${requestID}: ${error.cause?.message ?? error.message}`);
    return { ...failure(503, '503 Service Unavailable'), requestID, retryAfter: '1' };
  }
}

// recent has the responses of the last half minute, by the refresh token that was presented and by the new one. Tabs that refresh at the same
// time share one request. And a session is not refreshed again while an earlier response may be on its way to the browser: that response
// could arrive last and set the cookie back to an old token.
const recent = new Map();
function refresh(req, token) {
  const response = recent.get(token) ?? call(req, 'PUT', '/v1/oauth/refresh', JSON.stringify({ refreshToken: token })).then((r) => {
    if (r.status !== 200) return recent.delete(token), r;
    const lifetime = 1000 * (r.body.expiresIn ?? 600);
    recent.set(r.body.refreshToken, response);
    setTimeout(forget, Math.min(30_000, lifetime / 2), token, r.body.refreshToken).unref();
    return { ...r, expiresAt: Date.now() + lifetime };
  });
  recent.set(token, response);
  return response;
}
const forget = (...tokens) => tokens.forEach((token) => recent.delete(token));

// end ends the session of a refresh token at the service.
async function end(req, token) {
  const r = await refresh(req, token);
  if (r.status !== 200) return hasEnded(r) ? { status: 204 } : r;
  forget(token, r.body.refreshToken);
  return call(req, 'DELETE', `/v1/session/${r.body.sessionID}`, undefined, `Bearer ${r.body.accessToken}`);
}

// logIn forwards a request whose 200 begins a session. A 403 has the ticket for the second factor: it is no token.
const logIn = (path) => async (req, token) => {
  const r = await call(req, 'POST', path, await text(req));
  if (r.status === 200 && token) end(req, token); // the session that the new cookie replaces; nobody waits for it
  return r.status === 200 ? { ...r, cookie: cookie(r.body.refreshToken) } : r;
};

const operations = {
  '/bff/login': logIn('/v1/oauth/create'),
  '/bff/second-factor': logIn('/v1/oauth/second_factor'),
  '/bff/passkey': logIn('/v1/oauth/passkey'),
  async '/bff/refresh'(req, token) {
    const r = token ? await refresh(req, token) : failure(404, 'USER_NOT_FOUND'); // as if the session had ended
    return { ...r, cookie: r.status === 200 ? cookie(r.body.refreshToken) : hasEnded(r) && cookie('') };
  },
  async '/bff/password'(req, token) { // with the access token of the page, whose session goes on with other tokens
    const r = await call(req, 'PUT', '/v1/user/password', await text(req), req.headers.authorization);
    if (r.status === 200 || r.status >= 500) forget(token); // if the response was lost, the next refresh must get its tokens from the service
    return r.status === 200 ? { ...r, cookie: cookie(r.body.refreshToken) } : r;
  },
  async '/bff/logout'(req, token) { // if the service does not respond, the session stays in the user's list, but this browser has no token
    return { ...(token ? await end(req, token) : { status: 204 }), cookie: cookie('') };
  },
};

// refusal returns why a request is not served. Browsers always send Origin with POST, and a page of another origin may send JSON only if a
// preflight request allows it, which is 405 here.
function refusal({ method, url, headers }) {
  if (!Object.hasOwn(operations, url)) return failure(404, '404 Not Found');
  if (method !== 'POST') return failure(405, '405 Method Not Allowed');
  if (headers.origin !== APP_ORIGIN || (headers['sec-fetch-site'] ?? 'same-origin') !== 'same-origin') return failure(403, '403 Forbidden');
  if (!/^application\/json\s*(;|$)/i.test(headers['content-type'])) return failure(415, '415 Unsupported Media Type');
  if (!(headers['content-length'] <= 16_384)) return failure(413, '413 Payload Too Large'); // also without a length
}

const server = createServer({ requestTimeout: 10_000, connectionsCheckingInterval: 1000 }, async (req, res) => {
  const token = /(?:^|;\s*)__Host-refresh=([^;]+)/.exec(req.headers.cookie)?.[1];
  const refused = refusal(req);
  const r = refused ?? (await operations[req.url](req, token).catch(() => failure(400, '400 Bad Request'))); // the body ended early
  const { refreshToken, ...body } = r.body ?? {}; // the page gets everything but the refresh token
  if (r.expiresAt && body.expiresIn) body.expiresIn = Math.floor((r.expiresAt - Date.now()) / 1000);
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', 'request-id': r.requestID, 'retry-after': r.retryAfter,
    'set-cookie': r.cookie, allow: r.status === 405 && 'POST', connection: refused && 'close' };
  for (const [name, value] of Object.entries(headers)) if (value) res.setHeader(name, value);
  res.writeHead(r.status).end(r.body && JSON.stringify(body));
});
server.listen(Number(PORT), HOST, () => console.error(`listening on ${HOST}:${server.address().port}`));
process.on('SIGTERM', () => server.close()); // after the requests in progress
