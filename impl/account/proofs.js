// The proofs that a user can give beside the password: a passkey, a code, a recovery code. The login and the step-up dialog have a form for each.
import { connect, reset } from './forms.js';
import { supported } from './passkeys.js';

const ways = { passkey: 'by-passkey', totp: 'by-code', recovery_code: 'by-recovery', password: 'by-password' };

const forms = (place) => Object.entries(ways).flatMap(([way, id]) => {
  const form = document.querySelector(`#${place}-${id}`);
  return form ? [[way, form]] : [];
});

// tidy returns what was typed as a code, without blanks.
export const tidy = (code) => code.replace(/\s/g, '');

// connectProofs connects the forms of a place. prove gets the proof, in the form of the API; passkey returns that of a passkey.
export function connectProofs(place, { prove, passkey, problems }) {
  const send = {
    passkey: async () => prove({ passkey: await passkey() }),
    totp: ({ code }) => prove({ code: tidy(code) }),
    recovery_code: ({ recoveryCode }) => prove({ recoveryCode }),
    password: ({ password }) => prove({ password }),
  };
  const wrong = {
    passkey: { text: 'wrongPasskey' },
    totp: { field: 'code', text: 'wrongCode' },
    recovery_code: { field: 'recoveryCode', text: 'wrongRecoveryCode' },
    password: { field: 'password', text: 'wrongPassword' },
  };
  for (const [way, form] of forms(place)) {
    const all = Object.fromEntries(['WRONG_CODE', 'AUTHENTICATION_FAILED', 'code', 'recoveryCode', 'password'].map((name) => [name, wrong[way]]));
    connect(form, { send: send[way], problems: { ...all, ...problems } });
  }
}

// showProofs shows the forms for some ways of a place, empty.
export function showProofs(place, wanted) {
  for (const [way, form] of forms(place)) {
    reset(form);
    form.hidden = !wanted.includes(way) || way === 'passkey' && !supported;
  }
}

// waysToProve returns how a user can authenticate again.
export function waysToProve({ on, totp, passkeys, recoveryCodesLeft }) {
  return [passkeys && 'passkey', on ? totp && 'totp' : 'password', on && recoveryCodesLeft && 'recovery_code'].filter(Boolean);
}
