// Passkeys: what the browser does in a ceremony, with the JSON of the service.
import type { PasskeyAssertion, PasskeyCreation, PasskeyRegistration, PasskeyRequest } from "./contract.js";

/** Options of a ceremony in the browser. */
export interface PasskeyOptions {
  /** Cancels the ceremony, which is then rejected with the signal's reason. */
  signal?: AbortSignal;
  /** How the browser asks. `conditional` offers passkeys in the autofill of a field with `autocomplete="username webauthn"`. */
  mediation?: "conditional" | "optional" | "required" | "silent";
}

/** Reports whether this browser has passkeys, with their JSON (WebAuthn Level 3): Chrome 129, Safari 18.4, Firefox 119, and newer. */
export function hasPasskeys(): boolean {
  return !!(globalThis.PublicKeyCredential as { parseRequestOptionsFromJSON?: unknown } | undefined)?.parseRequestOptionsFromJSON;
}

/**
 * Lets the user choose a passkey, for example one of `failure.passkey` after a login, and returns what proves it. Rejects with the
 * browser's `DOMException`; `NotAllowedError` means that the user has cancelled, or has no passkey here.
 */
export async function getPasskey({ ceremony, options }: PasskeyRequest, { signal, mediation }: PasskeyOptions = {}): Promise<PasskeyAssertion> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await navigator.credentials.get({ publicKey, ...(signal && { signal }), ...(mediation && { mediation }) });
  return { ceremony, credential: toJSON(credential) };
}

/**
 * Creates a passkey, and returns what the service stores of it. Rejects with the browser's `DOMException`; `InvalidStateError` means
 * that the user already has one here.
 */
export async function createPasskey({ ceremony, options }: PasskeyCreation, { signal }: { signal?: AbortSignal } = {}): Promise<PasskeyRegistration> {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await navigator.credentials.create({ publicKey, ...(signal && { signal }) });
  return { ceremony, credential: toJSON(credential) };
}

/** Returns the JSON of a credential: with `publicKey`, a browser returns no other type. */
function toJSON(credential: Credential | null): PasskeyAssertion["credential"] {
  return (credential as PublicKeyCredential).toJSON() as PasskeyAssertion["credential"];
}
