/**
 * Client of Financelime Authorization. It uses `fetch` and nothing else of its platform, so it runs in browsers, in workers, and in
 * Node 20 or newer; importing it has no effect.
 *
 * @packageDocumentation
 */
export { Auth, type AuthOptions, type CallOptions } from "./auth.js";
export { BrowserStore } from "./browser-store.js";
export { connect, type API, type ConnectOptions } from "./client.js";
export type {
  components, Device, operations, Passkey, PasskeyAssertion, PasskeyCreation, PasskeyRegistration, PasskeyRequest, paths, PathsWithoutRequestID,
  Proof, SecondFactor, SessionInfo, SignUpRequest,
} from "./contract.js";
export { createPasskey, getPasskey, hasPasskeys, type PasskeyOptions } from "./passkey.js";
export { RefreshError } from "./refresh-error.js";
export type { Failure, NetworkFailure, ResponseDetails, Result, ResultOperation, SecondFactorRequired, ServiceFailure, UndocumentedFailure } from "./result.js";
export { withRetry, type Fetch, type Patience } from "./retry.js";
export { Session, type SessionOptions } from "./session.js";
export { MemoryStore, type TokenStore } from "./store.js";
export type { Tokens } from "./tokens.js";
export type { EndReason, SessionState } from "./watchers.js";
