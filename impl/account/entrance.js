// The views without a session: login, second factor, password reset, sign-up.
import { call } from './api.js';
import { connectProofs, showProofs } from './proofs.js';
import { complain, connect, reset } from './forms.js';
import { beginLogIn, offerPasskeys, stopOffering, supported, use } from './passkeys.js';
import { start } from './session.js';
import { currentLanguage, say } from './texts.js';
import { leave, onView } from './views.js';

// An operator that lists the clients in AUTH_CLIENT_IDS must list this one.
const clientID = 'account_v1';

const forms = ['#login', '#forgot', '#sign-up'].map((id) => document.querySelector(`form${id}`));
const [logIn, forgot, signUp] = forms;
const byPasskey = document.querySelector('#passkey-login');
let begun; // the login that needs a second factor: CreateAccessTokenFailure403
const refused = { clientID: { text: 'clientRefused' } };
const badEmail = { field: 'email', text: 'badEmail' };

// connectEntrance connects the forms. loggedIn is called after a login.
export function connectEntrance(loggedIn) {
  const enter = async (tokens) => {
    await start(tokens);
    begun = undefined;
    resetEntrance();
    await loggedIn();
  };
  const enterByPasskey = async (proof) => enter(await call('POST', 'v1/oauth/passkey', { body: { ...proof, clientID, device: thisDevice() } }));
  const offer = async () => {
    const proof = await offerPasskeys();
    if (proof) await enterByPasskey(proof).catch((error) => complain(byPasskey, error, { USER_NOT_FOUND: { text: 'wrongPasskey' }, ...refused }));
  };
  connect(logIn, {
    send: async ({ email, password }) => {
      let tokens;
      try {
        tokens = await call('POST', 'v1/oauth/create', { body: { email, password, clientID, device: thisDevice() } });
      } catch (failure) {
        if (failure.code !== 'SECOND_FACTOR_REQUIRED') throw failure;
        askFactor(failure.body);
        return;
      }
      await enter(tokens);
    },
    problems: {
      USER_NOT_FOUND: { field: 'password', text: 'wrongLogin' },
      ...refused,
      email: badEmail,
      password: { field: 'password', text: 'wrongLogin' },
    },
  });
  byPasskey.hidden = !supported;
  connect(byPasskey, { send: async () => enterByPasskey(await use(await beginLogIn())), problems: { USER_NOT_FOUND: { text: 'wrongPasskey' }, ...refused } });
  onView((view) => {
    if (view !== 'login') return stopOffering();
    offer();
  });
  connectProofs('login', {
    prove: async (proof) => {
      try {
        await enter(await call('POST', 'v1/oauth/second_factor', { body: { ticket: begun.ticket, ...proof } }));
      } catch (failure) {
        if (failure.code !== 'LOG_IN_EXPIRED') throw failure;
        begun = undefined;
        leave('login', 'loginExpired');
      }
    },
    passkey: () => use(begun.passkey),
    problems: refused,
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

// askFactor shows the forms for the second factor of a login whose password was right.
function askFactor(login) {
  begun = login;
  resetEntrance();
  showProofs('login', login.methods);
  leave('second-factor');
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
