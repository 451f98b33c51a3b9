// The parts of the account for passkeys and the second factor.
import { askName, recently } from './dialogs.js';
import { tidy } from './proofs.js';
import { clear, connect, succeed } from './forms.js';
import { make, supported } from './passkeys.js';
import { request } from './session.js';
import { say, sayLabel } from './texts.js';

const $ = (selector) => document.querySelector(selector);
const form = Object.fromEntries(
  ['add-passkey', 'edit-passkeys', 'begin-totp', 'confirm-totp', 'remove-totp', 'turn-on', 'turn-off', 'renew-codes'].map((id) => [id, $(`form#${id}`)]),
);
const codes = $('#codes');
let shown = []; // the recovery codes on the page

// loadPasskeys reads the passkeys of the user.
export const loadPasskeys = () => request('GET', 'v1/user/passkey/list');

// showFactor shows what the user has.
export function showFactor({ on, totp, passkeys, recoveryCodesLeft }, list) {
  say($('#factor-state'), on ? 'factorOn' : 'factorOff', { recoveryCodesLeft });
  say(form['begin-totp'].querySelector('button'), totp ? 'replaceTOTP' : 'setUpTOTP');
  form['remove-totp'].hidden = !totp || !passkeys; // the last factor is turned off
  form['turn-on'].hidden = on || !passkeys;
  form['turn-off'].hidden = form['renew-codes'].hidden = !on;
  $('#passkeys').hidden = !supported && !list.length;
  form['add-passkey'].hidden = !supported;
  $('#passkey-list').replaceChildren(...list.map(passkeyItem));
}

// emptyFactor removes what showFactor and the setup have shown.
export function emptyFactor() {
  $('#passkey-list').replaceChildren();
  say($('#factor-state'));
  closeSetup();
  closeCodes();
}

function passkeyItem({ passkeyID, name, createdAt, usedAt, synced, usable }) {
  const item = document.createElement('li');
  const add = (tag, text, values) => {
    const element = item.appendChild(document.createElement(tag));
    say(element, text, values);
    return element;
  };
  add('strong').textContent = name;
  if (!usable) add('span', 'passkeyUnusable').className = 'mark';
  add('p', usedAt ? 'passkeyUsed' : 'passkeyUnused', { createdAt, usedAt }).className = 'hint';
  add('p', synced ? 'passkeySynced' : 'passkeyBound').className = 'hint';
  const buttons = item.appendChild(document.createElement('p'));
  buttons.className = 'buttons';
  for (const [action, text, label] of [['rename', 'rename', 'renamePasskey'], ['remove', 'remove', 'removePasskey']]) {
    const button = buttons.appendChild(document.createElement('button'));
    button.className = 'button quiet';
    Object.assign(button, { name: action, value: passkeyID });
    button.dataset.name = name;
    say(button, text);
    sayLabel(button, label, { name });
  }
  return item;
}

const last = { LAST_FACTOR: { text: 'lastFactor' } };

// connectFactorParts connects the forms. update shows what has changed.
export function connectFactorParts(update) {
  connect(form['add-passkey'], {
    send: async ({ name }) => {
      const created = await recently(() => request('POST', 'v1/user/passkey/options'));
      const made = await make(created);
      await recently(() => request('POST', 'v1/user/passkey/add', { ...made, name }));
      succeed(form['add-passkey'], 'passkeyAdded');
      update();
    },
    lost: 'lostChange',
    problems: {
      TOO_MANY_PASSKEYS: { text: 'tooManyPasskeys' },
      PASSKEY_ALREADY_ADDED: { text: 'passkeyHere' },
      CEREMONY_EXPIRED: { text: 'passkeyExpired' },
      credential: { text: 'wrongPasskey' },
      name: { field: 'name', text: 'badName' },
    },
  });
  connect(form['edit-passkeys'], {
    send: async (_, { name: action, value, dataset }) => {
      const path = `v1/user/passkey/${encodeURIComponent(value)}`;
      if (action === 'rename') await askName(dataset.name, (name) => request('PUT', path, { name }));
      else await recently(() => request('DELETE', path));
      succeed(form['edit-passkeys'], action === 'rename' ? 'passkeyRenamed' : 'passkeyRemoved');
      update();
    },
    problems: last,
  });
  connect(form['begin-totp'], { send: beginTOTP });
  connect(form['confirm-totp'], {
    send: async ({ code }) => {
      const { recoveryCodes } = await recently(() => request('PUT', 'v1/user/totp', { code: tidy(code) }));
      closeSetup();
      done('totpAdded', recoveryCodes, update);
    },
    lost: 'lostChange',
    problems: {
      WRONG_CODE: { field: 'code', text: 'wrongCode' },
      code: { field: 'code', text: 'wrongCode' },
      TOTP_NOT_BEGUN: { text: 'setUpExpired' },
    },
  });
  change('remove-totp', 'DELETE', 'v1/user/totp', 'totpRemoved', last);
  change('turn-on', 'POST', 'v1/user/second_factor', 'turnedOn', { NO_FACTOR: { text: 'noFactor' }, ALREADY_ON: { text: 'alreadyOn' } });
  change('turn-off', 'DELETE', 'v1/user/second_factor', 'turnedOff');
  change('renew-codes', 'POST', 'v1/user/recovery_codes', 'codesRenewed', { SECOND_FACTOR_OFF: { text: 'alreadyOff' } });
  $('#download-codes').addEventListener('click', () => save('recovery-codes.txt', 'text/plain', shown.join('\n') + '\n'));
  $('#print-codes').addEventListener('click', () => print());
  $('#close-codes').addEventListener('click', () => {
    closeCodes();
    $('#second-factor-title').focus();
  });

  function change(id, method, path, text, problems = {}) {
    connect(form[id], {
      send: async () => {
        const answer = await recently(() => request(method, path));
        done(text, answer?.recoveryCodes, update);
      },
      lost: 'lostChange',
      problems,
    });
  }
}

// done says what has changed, and shows new recovery codes.
function done(text, recoveryCodes = [], update) {
  for (const one of document.querySelectorAll('#second-factor form')) clear(one);
  succeed(form['begin-totp'], text);
  update();
  if (!recoveryCodes.length) return closeCodes();
  shown = recoveryCodes;
  $('#code-list').replaceChildren(...recoveryCodes.map((code) => Object.assign(document.createElement('li'), { textContent: code })));
  codes.hidden = false;
  $('#codes-title').focus();
}

function closeCodes() {
  shown = [];
  codes.hidden = true;
  $('#code-list').replaceChildren();
}

async function beginTOTP() {
  const { secret, qrPNG } = await recently(() => request('POST', 'v1/user/totp'));
  closeSetup();
  const png = Uint8Array.from(atob(qrPNG), (letter) => letter.charCodeAt(0));
  $('#qr').src = URL.createObjectURL(new Blob([png], { type: 'image/png' }));
  $('#totp-secret').textContent = secret.match(/.{1,4}/g).join(' ');
  form['confirm-totp'].hidden = false;
  form['confirm-totp'].elements.code.focus();
}

function closeSetup() {
  URL.revokeObjectURL($('#qr').src);
  $('#qr').removeAttribute('src');
  $('#totp-secret').textContent = '';
  form['confirm-totp'].reset();
  clear(form['confirm-totp']);
  form['confirm-totp'].hidden = true;
}

// save saves a file.
export function save(name, type, content) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later
}
