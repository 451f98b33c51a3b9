// The dialogs: the password again before a sensitive operation, and the confirmation of a deletion.
import { Cancelled, connect, reset } from './forms.js';
import { replaceAccessToken, request } from './session.js';

const stepUp = document.querySelector('#step-up');
const confirmation = document.querySelector('#confirm');

// open shows a dialog and returns a promise: resolved after its form has succeeded, rejected with Cancelled if the user closes it.
function open(dialog) {
  reset(dialog.querySelector('form'));
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener('close', () => (dialog.returnValue === 'done' ? resolve() : reject(new Cancelled())), { once: true });
  });
}

// recently performs an operation, again after the user has entered the password if it needs a recent authentication.
export async function recently(operation) {
  for (;;) {
    try {
      return await operation();
    } catch (failure) {
      if (failure.status !== 403 || failure.code !== 'RECENT_AUTHENTICATION_REQUIRED') throw failure;
    }
    await open(stepUp);
  }
}

// confirmDeletion returns when the user has confirmed the deletion, and throws Cancelled if not.
export const confirmDeletion = () => open(confirmation);

// connectDialogs connects the forms and buttons of the dialogs.
export function connectDialogs() {
  for (const dialog of [stepUp, confirmation]) {
    dialog.querySelector('.cancel').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => reset(dialog.querySelector('form'))); // no password stays in the page
  }
  connect(stepUp.querySelector('form'), {
    send: async ({ password }) => {
      replaceAccessToken(await request('POST', 'v1/oauth/step_up', { password }));
      stepUp.close('done');
    },
    problems: {
      AUTHENTICATION_FAILED: { field: 'password', text: 'wrongPassword' },
      SECOND_FACTOR_REQUIRED: { text: 'secondFactor' },
      password: { field: 'password', text: 'wrongPassword' },
    },
  });
  connect(confirmation.querySelector('form'), { send: () => confirmation.close('done') });
}

// closeDialogs closes the dialogs, because the session has ended.
export function closeDialogs() {
  for (const dialog of [stepUp, confirmation]) dialog.close();
}
