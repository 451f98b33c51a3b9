// The views without a session: login, password reset, sign-up.
import { call } from './api.js';
import { connect, reset } from './forms.js';
import { start } from './session.js';
import { currentLanguage, say } from './texts.js';
import { leave } from './views.js';

// An operator that lists the clients in AUTH_CLIENT_IDS must list this one.
const clientID = 'account_v1';

const forms = ['#login', '#forgot', '#sign-up'].map((id) => document.querySelector(`form${id}`));
const [logIn, forgot, signUp] = forms;
const badEmail = { field: 'email', text: 'badEmail' };

// connectEntrance connects the forms. loggedIn is called after a login.
export function connectEntrance(loggedIn) {
  connect(logIn, {
    send: async ({ email, password }) => {
      await start(await call('POST', 'v1/oauth/create', { body: { email, password, clientID, device: thisDevice() } }));
      resetEntrance();
      await loggedIn();
    },
    problems: {
      USER_NOT_FOUND: { field: 'password', text: 'wrongLogin' },
      clientID: { text: 'clientRefused' },
      email: badEmail,
      password: { field: 'password', text: 'wrongLogin' },
    },
  });
  connect(forgot, {
    send: async ({ email }) => {
      await call('POST', 'v1/user/password', { body: { email, choosePassword: true } });
      sent('sentReset', email);
    },
    problems: { USER_NOT_FOUND: { field: 'email', text: 'unknownEmail' }, email: badEmail },
  });
  connect(signUp, {
    send: async ({ email, inviteCode }) => {
      await call('POST', 'v1/user/signup', { body: { email, inviteCode, language: currentLanguage(), choosePassword: true } });
      sent('sentSignUp', email);
    },
    problems: {
      USER_ALREADY_EXIST: { field: 'email', text: 'takenEmail' },
      INVITE_NOT_FOUND: { field: 'inviteCode', text: 'unknownInvite' },
      INVITE_HAS_ENDED: { field: 'inviteCode', text: 'endedInvite' },
      email: badEmail,
      inviteCode: { field: 'inviteCode', text: 'unknownInvite' },
    },
  });
  for (const form of forms) {
    form.addEventListener('input', ({ target }) => { // the address is typed once
      if (target.name === 'email') for (const { elements } of forms) elements.email.value = target.value;
    });
  }
}

function sent(text, email) {
  resetEntrance();
  say(document.querySelector('#sent'), text, { email });
  leave('sent');
}

function resetEntrance() {
  for (const form of forms) reset(form);
}

function thisDevice() {
  const { platform, language } = navigator;
  return { ...(platform && { platform }), ...(language && { language }) };
}
