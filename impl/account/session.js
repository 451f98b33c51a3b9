// Keeps the tokens of the session in memory and in sessionStorage, so that a reload of the tab logs nobody out. Each tab has its own session.
import { call, Failure } from './api.js';

const key = 'financelime-account';

let tokens; // of AccessTokenResponse, and receivedAt: milliseconds of this device's clock
let refreshing; // the refresh under way
let release = () => {}; // gives up the lock of the session
let listener = () => {};

// SessionEnded means that the user must log in again.
export class SessionEnded extends Error {}

// onEnd calls a function when the service has ended the session.
export function onEnd(call) {
  listener = call;
}

export const isLoggedIn = () => tokens !== undefined;

// restore continues the session from before a reload.
export async function restore() {
  const stored = load();
  if (!stored) return;
  if (await hold(stored.sessionID)) {
    tokens = stored;
  } else {
    save(undefined);
  }
}

// start stores the tokens of a login, or of a change of the password, which continues the session.
export async function start(received) {
  const another = received.sessionID !== tokens?.sessionID;
  store({ ...received, receivedAt: Date.now() });
  if (another) await hold(received.sessionID);
}

// replaceAccessToken stores the access token of a step-up. The refresh token stays.
export function replaceAccessToken({ accessToken, expiresIn }) {
  if (tokens) store({ ...tokens, accessToken, expiresIn, receivedAt: Date.now() });
}

// forget deletes the tokens and returns them.
export function forget() {
  const old = tokens;
  store(undefined);
  release();
  return old;
}

// logOut deletes the tokens and ends the session. It throws a Failure if the session may go on.
export async function logOut() {
  const old = forget();
  if (!old) return;
  const end = ({ accessToken, sessionID }) => call('DELETE', `v1/session/${encodeURIComponent(sessionID)}`, { token: accessToken });
  try {
    await end(old);
  } catch (failure) {
    if (failure.status !== 401) throw failure;
    const renewed = await exchange(old);
    if (renewed) await end(renewed);
  }
}

// request sends a request with the access token and returns the body of the response. It throws a Failure, or SessionEnded.
export async function request(method, path, body) {
  const used = await usable();
  if (!used) throw new SessionEnded();
  try {
    return await call(method, path, { body, token: used.accessToken });
  } catch (failure) {
    if (failure.status !== 401) throw failure;
  }
  const renewed = await refresh(used);
  if (!renewed || renewed.sessionID !== used.sessionID) throw new SessionEnded();
  try {
    return await call(method, path, { body, token: renewed.accessToken });
  } catch (failure) {
    if (failure.status !== 401) throw failure;
    ended(renewed);
    throw new SessionEnded();
  }
}

// refresh exchanges stale tokens, by default the current ones, for new ones. Concurrent calls share one request. It returns undefined if the
// session has ended. If it throws a Failure, the tokens stay.
export async function refresh(stale = tokens) {
  if (!tokens || tokens.refreshToken !== stale?.refreshToken) return tokens; // refreshed meanwhile, or logged out
  refreshing ??= renew(tokens).finally(() => { refreshing = undefined; });
  return refreshing;
}

async function renew(stale) {
  const renewed = await exchange(stale);
  if (tokens?.refreshToken !== stale.refreshToken) return tokens; // meanwhile the user has logged in or out, or changed the password
  if (renewed) {
    store(renewed); // before they are used: the service repeats them only for minutes
  } else {
    ended(stale);
  }
  return renewed;
}

// exchange returns the next tokens, or undefined if the session has ended. call repeats it soon after a lost response: that gets the same tokens.
async function exchange({ refreshToken }) {
  try {
    const received = await call('PUT', 'v1/oauth/refresh', { body: { refreshToken } });
    if (!isTokens(received)) throw new Failure(0);
    return { ...received, receivedAt: Date.now() };
  } catch (failure) {
    if (failure.status === 404 && failure.code === 'USER_NOT_FOUND') return undefined;
    if (failure.status === 400 && failure.parameters.includes('refreshToken')) return undefined;
    throw failure;
  }
}

// usable returns tokens, after an attempt to refresh those that expire soon.
async function usable() {
  if (!tokens || !isDue(tokens)) return tokens;
  try {
    return await refresh();
  } catch {
    return tokens;
  }
}

// isDue reports whether the access token expires within 30 s, or within a fifth of its lifetime if that is shorter.
function isDue({ expiresIn, receivedAt }) {
  if (expiresIn === undefined) return false;
  const age = (Date.now() - receivedAt) / 1000;
  return age < 0 || age >= expiresIn - Math.min(30, expiresIn / 5);
}

function ended(which) {
  if (tokens?.refreshToken !== which.refreshToken) return;
  forget();
  listener();
}

function store(next) {
  tokens = next;
  save(next);
}

function save(next) {
  try {
    if (next) sessionStorage.setItem(key, JSON.stringify(next));
    else sessionStorage.removeItem(key);
  } catch {
    if (next) save(undefined); // Full, or blocked: a reload logs out. Old tokens would look like a thief's.
  }
}

function load() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(key));
    return isTokens(stored) && typeof stored.receivedAt === 'number' ? stored : undefined;
  } catch {
    return undefined; // blocked or damaged
  }
}

function isTokens(value) {
  return ['sessionID', 'accessToken', 'refreshToken'].every((name) => typeof value?.[name] === 'string' && value[name] !== '');
}

// hold takes the lock of a session for as long as this page exists, and reports whether it has it. Two tabs with one refresh token would end
// the session for both, so a duplicated tab does not use its copy. After a reload, the next page waits for the lock of the one before. Pages
// without TLS have no locks: there, a copy is not recognized.
function hold(sessionID) {
  release();
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    const taken = () => new Promise((free) => {
      release = free;
      resolve(true);
    });
    navigator.locks.request(`${key} ${sessionID}`, { signal: AbortSignal.timeout(1000) }, taken).catch(() => resolve(false));
  });
}
