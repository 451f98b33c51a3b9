// The view of the account: profile, password, address, sessions, export, deletion.
import { Failure, isLost } from './api.js';
import { confirmDeletion, recently } from './dialogs.js';
import { clear, connect, reset, succeed } from './forms.js';
import { connectFactorParts, emptyFactor, loadPasskeys, save, showFactor } from './factors.js';
import { forget, refresh, request, SessionEnded, start } from './session.js';
import { prefer, say, sayLabel } from './texts.js';
import { leave } from './views.js';

const $ = (selector) => document.querySelector(selector);
const view = $('[data-view=account]');
const grace = Number(document.body.dataset.grace); // seconds
const form = Object.fromEntries(
  ['change-password', 'change-email', 'cancel-email', 'end-session', 'end-others', 'export', 'delete'].map((id) => [id, $(`form#${id}`)]),
);

// load reads the account and shows it.
export async function load() {
  const [user, sessions, passkeys] = await Promise.all([request('GET', 'v1/user'), request('GET', 'v1/session/list'), loadPasskeys()]);
  await prefer(user.language);
  showUser(user);
  showSessions(sessions);
  showFactor(user.secondFactor, passkeys);
}

// empty removes what the view has shown and what was typed, so that nothing of a user is left for the next.
export function empty() {
  for (const one of view.querySelectorAll('form')) reset(one);
  for (const element of view.querySelectorAll('dd, #pending')) say(element);
  for (const field of document.querySelectorAll('[name=username]')) field.defaultValue = '';
  $('#session-list').replaceChildren();
  emptyFactor();
}

function showUser({ email, createdAt, passwordChosen, pendingEmail }) {
  $('#email-now').textContent = email;
  say($('#since'), 'sinceDate', { createdAt });
  say($('#password-now'), passwordChosen ? 'passwordChosen' : 'passwordMade');
  form['cancel-email'].hidden = !pendingEmail;
  say($('#pending'), pendingEmail && 'pendingEmail', { pendingEmail });
  for (const field of document.querySelectorAll('[name=username]')) field.defaultValue = email; // for password managers; survives a reset
}

function showSessions(sessions) {
  $('#session-list').replaceChildren(...sessions.map(sessionItem));
  form['end-others'].hidden = sessions.every(({ current }) => current);
}

function sessionItem({ sessionID, platform, clientID, remoteAddr, createdAt, updatedAt, current }) {
  const item = document.createElement('li');
  const add = (tag, name, values) => {
    const element = item.appendChild(document.createElement(tag));
    say(element, name, values);
    return element;
  };
  const device = add('strong', platform ? '' : 'unknownDevice');
  if (platform) device.textContent = platform;
  if (current) add('span', 'thisSession').className = 'mark';
  add('p', 'sessionDetails', { clientID, remoteAddr, createdAt, updatedAt }).className = 'hint';
  if (!current) {
    const button = add('button', 'endSession');
    button.className = 'button quiet';
    button.value = sessionID;
    sayLabel(button, 'endSessionOn', { platform, clientID, createdAt });
  }
  return item;
}

// update shows what an operation has changed, later than the message about its success. If it cannot be read now, the message stays.
async function update() {
  try {
    await load();
  } catch (error) {
    if (!(error instanceof Failure || error instanceof SessionEnded)) throw error;
  }
}

const policy = (text) => ({ field: 'newPassword', text });

// connectAccount connects the forms of the view.
export function connectAccount() {
  connect(form['change-password'], {
    send: changePassword,
    lost: 'lostPasswordChange',
    problems: {
      WRONG_PASSWORD: { field: 'password', text: 'wrongPassword' },
      PASSWORD_TOO_SHORT: policy('tooShort'),
      PASSWORD_KNOWN: policy('known'),
      PASSWORD_GUESSABLE: policy('guessable'),
      PASSWORD_UNCHANGED: policy('unchanged'),
      currentPassword: { field: 'password', text: 'wrongPassword' },
      newPassword: policy('badPassword'),
    },
  });
  connect(form['change-email'], {
    send: async ({ newEmail }) => {
      await recently(() => request('POST', 'v1/user/email', { newEmail }));
      clear(form['cancel-email']);
      succeed(form['change-email'], 'emailAsked', { newEmail });
      update();
    },
    problems: {
      EMAIL_TAKEN: { field: 'newEmail', text: 'takenNewEmail' },
      EMAIL_UNCHANGED: { field: 'newEmail', text: 'unchangedEmail' },
      newEmail: { field: 'newEmail', text: 'badEmail' },
    },
  });
  connect(form['cancel-email'], {
    send: async () => {
      await request('DELETE', 'v1/user/email');
      succeed(form['change-email'], 'emailCancelled');
      update();
    },
  });
  connect(form['end-session'], {
    send: async (_, { value }) => {
      await request('DELETE', `v1/session/${encodeURIComponent(value)}`);
      succeed(form['end-session'], 'sessionEnded');
      update();
    },
  });
  connect(form['end-others'], {
    send: async () => {
      await request('POST', 'v1/session/remove_others');
      succeed(form['end-session'], 'othersEnded');
      update();
    },
  });
  connect(form.export, {
    send: async () => {
      const data = await recently(() => request('GET', 'v1/user/export'));
      save(`account-${new Date().toISOString().slice(0, 10)}.json`, 'application/json', JSON.stringify(data, null, 2));
      succeed(form.export, 'downloaded');
    },
  });
  connectFactorParts(update);
  connect(form.delete, { send: deleteAccount, lost: grace ? 'lostDeletion' : 'lostDeletionNow' });
}

async function changePassword({ password, newPassword }) {
  let tokens;
  try {
    tokens = await recently(() => request('PUT', 'v1/user/password', { currentPassword: password, newPassword }));
  } catch (failure) {
    // The password may have changed, and the refresh token with it. For minutes the old one still gets the new.
    const heal = () => refresh().catch(() => {});
    if (isLost(failure)) navigator.onLine === false ? addEventListener('online', heal, { once: true }) : heal();
    throw failure;
  }
  await start(tokens);
  succeed(form['change-password'], 'passwordChanged');
  update();
}

async function deleteAccount() {
  say($('#confirm-grace'), grace ? 'graceLead' : 'noGraceLead', { grace });
  await confirmDeletion();
  await recently(() => request('DELETE', 'v1/user'));
  forget();
  empty();
  say($('#closed'), grace ? 'closedGrace' : 'closedNow', { grace });
  leave('closed');
}
