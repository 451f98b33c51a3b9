// The dialogs: another proof before a sensitive operation, the confirmation of a deletion, and the name of a passkey.
import { connectProofs, showProofs, waysToProve } from './proofs.js';
import { Cancelled, connect, reset } from './forms.js';
import { beginLogIn, use } from './passkeys.js';
import { replaceAccessToken, request } from './session.js';

const stepUp = document.querySelector('#step-up');
const confirmation = document.querySelector('#confirm');
const naming = document.querySelector('#rename');
const dialogs = [stepUp, confirmation, naming];
let rename; // stores the name

// open shows a dialog and returns a promise: resolved after a form in it has succeeded, rejected with Cancelled if the user closes it.
function open(dialog) {
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener('close', () => (dialog.returnValue === 'done' ? resolve() : reject(new Cancelled())), { once: true });
  });
}

// recently performs an operation, again after the user has given another proof if it needs a recent authentication.
export async function recently(operation) {
  for (;;) {
    try {
      return await operation();
    } catch (failure) {
      if (failure.status !== 403 || failure.code !== 'RECENT_AUTHENTICATION_REQUIRED') throw failure;
    }
    await proveAgain();
  }
}

// proveAgain asks for one of the proofs that the user has now.
async function proveAgain() {
  const { secondFactor } = await request('GET', 'v1/user');
  showProofs('step-up', waysToProve(secondFactor));
  await open(stepUp);
}

// confirmDeletion returns when the user has confirmed the deletion, and throws Cancelled if not.
export const confirmDeletion = () => open(confirmation);

// askName asks for another name of a passkey and stores it.
export function askName(name, store) {
  rename = store;
  naming.querySelector('input').value = name;
  return open(naming);
}

// connectDialogs connects the forms and buttons of the dialogs.
export function connectDialogs() {
  for (const dialog of dialogs) {
    dialog.querySelector('.cancel').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => dialog.querySelectorAll('form').forEach(reset)); // no password stays in the page
  }
  connectProofs('step-up', {
    prove: async (proof) => {
      replaceAccessToken(await request('POST', 'v1/oauth/step_up', proof));
      stepUp.close('done');
    },
    passkey: async () => use(await beginLogIn()),
    problems: { SECOND_FACTOR_REQUIRED: { text: 'secondFactor' } },
  });
  connect(confirmation.querySelector('form'), { send: () => confirmation.close('done') });
  connect(naming.querySelector('form'), {
    send: async ({ name }) => {
      await rename(name);
      naming.close('done');
    },
    problems: { name: { field: 'name', text: 'badName' } },
  });
}

// closeDialogs closes the dialogs, because the session has ended.
export function closeDialogs() {
  for (const dialog of dialogs) dialog.close();
}
