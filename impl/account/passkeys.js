// Talks to the browser about passkeys (WebAuthn Level 3).
import { call } from './api.js';
import { Problem } from './forms.js';

// supported is whether the browser and the service have passkeys.
export const supported = 'passkeys' in document.body.dataset && 'parseRequestOptionsFromJSON' in (window.PublicKeyCredential ?? {});

const life = 240_000; // milliseconds; a ceremony is valid for 5 minutes
let offer = new AbortController(); // of the passkeys that the browser offers beside the field of the address

// beginLogIn begins a ceremony for any passkey of the service.
export const beginLogIn = () => call('POST', 'v1/oauth/passkey/options');

// use asks the user for a passkey and returns the proof.
export async function use({ ceremony, options }) {
  stopOffering();
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return { ceremony, credential: await ask(() => navigator.credentials.get({ publicKey })) };
}

// make asks the user for a new passkey and returns what the service stores.
export async function make({ ceremony, options }) {
  stopOffering();
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return { ceremony, credential: await ask(() => navigator.credentials.create({ publicKey })) };
}

async function ask(request) {
  try {
    return (await request()).toJSON();
  } catch (error) {
    throw new Problem(error.name === 'InvalidStateError' ? 'passkeyHere' : 'noPasskey');
  }
}

// offerPasskeys lets the browser offer passkeys beside the field of the address, until the user chooses one or stopOffering is called. It returns
// the proof, or undefined.
export async function offerPasskeys() {
  stopOffering();
  const { signal } = offer = new AbortController();
  if (!supported || !await PublicKeyCredential.isConditionalMediationAvailable?.()) return undefined;
  while (!signal.aborted) {
    const expired = AbortSignal.timeout(life);
    try {
      const { ceremony, options } = await beginLogIn();
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
      if (signal.aborted) break;
      const credential = await navigator.credentials.get({ publicKey, mediation: 'conditional', signal: AbortSignal.any([signal, expired]) });
      return { ceremony, credential: credential.toJSON() };
    } catch {
      if (!expired.aborted) break; // refused, or the service does not respond: the button is left
    }
  }
  return undefined;
}

// stopOffering ends offerPasskeys: the browser allows one request at a time.
export const stopOffering = () => offer.abort();
