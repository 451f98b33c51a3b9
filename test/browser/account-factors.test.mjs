// The second factor and passkeys on /account: an authenticator app that computes codes, recovery codes, and a virtual authenticator of Chromium.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { api, password, setFault, withUser } from './account.mjs';

const step = 30_000; // milliseconds

// App is an authenticator app. The service accepts the codes of the time step before, now and after, each once and in increasing order.
class App {
  #secret;
  #last = 0;

  constructor(base32) {
    const bits = [...base32.replace(/\s/g, '')].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
    this.#secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  }

  at(counter) {
    const message = Buffer.alloc(8);
    message.writeBigUInt64BE(BigInt(counter));
    const hash = createHmac('sha1', this.#secret).update(message).digest();
    return String((hash.readUInt32BE(hash.at(-1) & 15) & 0x7fffffff) % 1e6).padStart(6, '0');
  }

  // next returns a code that was not used yet. It waits for its time step if all that are accepted now were used.
  async next(page) {
    const early = Date.now() % step < step / 2 ? 1 : 0; // otherwise the step before now may end before the request arrives
    this.#last = Math.max(this.#last + 1, Math.floor(Date.now() / step) - early);
    await page.waitForFunction((from) => Date.now() >= from, (this.#last - 1) * step, { timeout: step + 5000 });
    return this.at(this.#last);
  }

  // used returns the last code again.
  used() {
    return this.at(this.#last);
  }

  // wrong returns a code that is not accepted now.
  wrong() {
    const now = Math.floor(Date.now() / step);
    const right = [-2, -1, 0, 1, 2].map((n) => this.at(now + n));
    return ['000000', '000001', '000002', '000003', '000004', '000005'].find((code) => !right.includes(code));
  }
}

// Key is an authenticator in the device. While it is away, it waits for its user.
class Key {
  static async plugIn(page) {
    const key = new Key();
    key.cdp = await page.context().newCDPSession(page);
    await key.cdp.send('WebAuthn.enable');
    const { authenticatorId } = await key.cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
    });
    key.authenticatorId = authenticatorId;
    return key;
  }

  async touch(enabled) {
    await this.cdp.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId: this.authenticatorId, enabled });
  }

  async verify(isUserVerified) {
    await this.cdp.send('WebAuthn.setUserVerified', { authenticatorId: this.authenticatorId, isUserVerified });
  }
}

const state = (me, name, left) => me.page.locator('#factor-state').filter({ hasText: me.words[name].replace('{recoveryCodesLeft}', left) }).waitFor();

async function logOut(me) {
  await Promise.all([me.page.waitForResponse(/\/v1\/session\/[^/]+$/), me.press('logOut')]);
  await me.says('loggedOut');
}

// beginLogIn gives the right password, which is not enough.
async function beginLogIn(me, email) {
  await me.type('email', email);
  await me.type('password', password);
  await me.press('logIn');
  await me.title('titleFactor');
}

// setUp sets an authenticator app up. message is what the page says then.
async function setUp(me, message = 'codes') {
  await me.press('setUpTOTP');
  await me.page.locator('#confirm-totp').waitFor();
  await me.page.waitForFunction(() => document.querySelector('#qr').naturalWidth > 0);
  await me.audit();
  const app = new App(await me.page.locator('#totp-secret').innerText());
  await me.type('code', app.wrong());
  await me.press('confirmCode');
  await me.says('wrongCode');
  await me.audit();
  const code = await app.next(me.page);
  await me.type('code', `${code.slice(0, 3)} ${code.slice(3)}`);
  await me.press('confirmCode');
  await me.says(message);
  assert.equal(await me.page.locator('#totp-secret').textContent(), '', 'the secret is gone');
  return app;
}

// saveCodes downloads and prints the recovery codes, and returns them.
async function saveCodes(me) {
  await me.audit();
  const codes = await me.page.locator('#code-list li').allInnerTexts();
  assert.equal(new Set(codes).size, 10);
  const [download] = await Promise.all([me.page.waitForEvent('download'), me.use(me.page.locator('#download-codes'))]);
  assert.equal(download.suggestedFilename(), 'recovery-codes.txt');
  assert.deepEqual((await readFile(await download.path(), 'utf8')).trim().split('\n'), codes);
  await me.page.evaluate(() => { globalThis.print = () => { globalThis.printed = true; }; });
  await me.press('printCodes');
  assert.equal(await me.page.evaluate(() => globalThis.printed), true);
  await me.page.emulateMedia({ media: 'print' });
  assert.deepEqual(await me.page.locator('h1:visible, h2:visible').allInnerTexts(), [me.words.codes], 'only the codes are printed');
  await me.page.emulateMedia({ media: null });
  await me.press('closeCodes');
  await me.says('secondFactorTitle');
  assert.equal(await me.page.locator('#codes').isVisible(), false);
  assert.equal(await me.page.locator('#code-list li').count(), 0, 'the codes are gone');
  return codes;
}

// stepUp performs an operation whose last authentication is too long ago.
async function stepUp(me, operation, prove) {
  await setFault('aged');
  await operation();
  await me.page.getByRole('dialog', { name: me.words.stepUp }).waitFor();
  assert.equal(await me.page.locator('#step-up-password').isVisible(), false, 'the password is no proof while the second factor is on');
  await me.audit();
  await prove();
  await me.page.getByRole('dialog', { name: me.words.stepUp }).waitFor({ state: 'hidden' });
}

for (const options of [{ device: 'desktop', language: 'en', byKeyboard: true }, { device: 'phone', language: 'ru' }]) {
  withUser('an authenticator app and recovery codes', options, async ({ me, email, watch }) => {
    for (const path of ['oauth/create', 'oauth/second_factor', 'oauth/step_up', 'user/totp', 'user/recovery_codes']) watch.allowFailure(api(path));
    await state(me, 'factorOff');
    const app = await setUp(me);
    const codes = await saveCodes(me);
    await state(me, 'factorOn', 10);
    await me.page.reload();
    await me.account(email);
    assert.equal(await me.page.locator('#codes').isVisible(), false, 'they are shown once');

    await logOut(me);
    await beginLogIn(me, email);
    assert.equal(await me.page.locator('#login-by-passkey').isVisible(), false, 'the user has none');
    await me.audit();
    for (const code of [app.wrong(), app.used()]) {
      await me.type('code', code);
      await me.press('continue');
      await me.says('wrongCode');
      await me.page.locator('#login-by-code[aria-busy=false]').waitFor();
    }
    await me.audit();
    await me.type('code', await app.next(me.page));
    await me.press('continue');
    await me.account(email);

    await logOut(me);
    await beginLogIn(me, email);
    await me.type('recoveryCode', codes[0].toLowerCase());
    await me.press('useRecoveryCode');
    await me.account(email);
    await state(me, 'factorOn', 9);

    await stepUp(me, () => me.press('renewCodes'), async () => {
      await me.type('recoveryCode', codes[0]);
      await me.press('useRecoveryCode');
      await me.says('wrongRecoveryCode');
      await me.type('code', await app.next(me.page));
      await me.press('continue');
    });
    await me.says('codes');
    const renewed = await saveCodes(me);
    assert.equal(renewed.some((code) => codes.includes(code)), false);
    await state(me, 'factorOn', 10);

    await me.press('turnOff');
    await me.says('turnedOff');
    await state(me, 'factorOff');
    await me.audit();
    await logOut(me);
    await me.logIn(email, password);
  });

  withUser('passkeys', options, async ({ me, email, page, watch }) => {
    for (const path of ['oauth/create', 'user/recovery_codes', 'user/totp']) watch.allowFailure(api(path));
    const key = await Key.plugIn(page);
    const name = 'My <b>phone</b>';
    const add = async () => {
      await me.type('passkeyName', name);
      await me.press('addPasskey');
    };
    await key.verify(false);
    await add();
    await me.says('noPasskey'); // the user has not shown that it is them
    await me.audit();
    await key.verify(true);
    await me.press('addPasskey'); // the name is still there
    await me.says('passkeyAdded');
    const item = page.locator('#passkey-list li').filter({ hasText: name });
    await item.getByText(me.words.passkeyBound, { exact: true }).waitFor();
    await me.audit();
    await add();
    await me.says('passkeyHere');
    await page.locator('#passkey-name').fill('');

    await me.press(me.words.renamePasskey.replace('{name}', name));
    const dialog = page.getByRole('dialog', { name: me.words.renameTitle });
    await dialog.waitFor();
    await me.audit();
    await me.type('newName', 'Laptop');
    await me.press('continue');
    await me.says('passkeyRenamed');
    await page.locator('#passkey-list strong').filter({ hasText: 'Laptop' }).waitFor();

    // With the passkey alone, while the second factor is off. The key is away, so that the field of the address offers it without end.
    await key.touch(false);
    await logOut(me);
    await me.audit();
    await key.touch(true);
    await key.verify(false);
    await me.press('logInByPasskey');
    await me.says('noPasskey');
    await me.audit();
    await key.verify(true);
    await me.press('logInByPasskey');
    await me.account(email);

    // The browser offers the passkey beside the field of the address (conditional UI). This key accepts immediately.
    await Promise.all([page.waitForResponse(api('oauth/passkey')), me.press('logOut')]);
    await me.account(email);

    await me.press('turnOn');
    await me.says('codes');
    await saveCodes(me);
    await state(me, 'factorOn', 10);
    await stepUp(me, () => me.press('renewCodes'), () => me.press('usePasskey'));
    await me.says('codes');
    await me.press('closeCodes');

    // With the password and the passkey.
    await key.touch(false);
    await logOut(me);
    await beginLogIn(me, email);
    await me.audit();
    await key.touch(true);
    await me.press('usePasskey');
    await me.account(email);

    // An authenticator app too: the recovery codes stay as they are.
    await setUp(me, 'totpAdded');
    assert.equal(await page.locator('#codes').isVisible(), false);
    await me.press('removeTOTP');
    await me.says('totpRemoved');

    const remove = me.words.removePasskey.replace('{name}', 'Laptop');
    watch.allowFailure(api(`user/passkey/${await me.button(remove).getAttribute('value')}`));
    await me.press(remove);
    await me.says('lastFactor');
    await me.audit();
    await me.press('turnOff');
    await me.says('turnedOff');
    await me.press(remove);
    await me.says('passkeyRemoved');
    await page.locator('#passkey-list li').waitFor({ state: 'detached' });

    // The authenticator still has the passkey that the service has forgotten.
    watch.allowFailure(api('oauth/passkey'));
    await key.touch(false);
    await logOut(me);
    await key.touch(true);
    await me.press('logInByPasskey');
    await me.says('wrongPasskey');
    await me.audit();
  });
}

withUser('a login that waited too long begins again', {}, async ({ me, email, page, watch }) => {
  for (const path of ['oauth/create', 'oauth/second_factor', 'user/totp']) watch.allowFailure(api(path));
  const app = await setUp(me);
  await logOut(me);
  await beginLogIn(me, email);
  await page.route(api('oauth/second_factor'), (route) => { // the service does not know this ticket any more
    const body = route.request().postDataJSON();
    return route.continue({ postData: JSON.stringify({ ...body, ticket: `${body.ticket.slice(0, -8)}AAAAAAAA` }) });
  });
  await me.type('code', await app.next(page));
  await me.press('continue');
  await me.title('titleLogIn');
  await me.says('loginExpired');
  await me.audit();
  await page.unroute(api('oauth/second_factor'));
  await beginLogIn(me, email);
  await me.type('code', await app.next(page));
  await me.press('continue');
  await me.account(email);
});

withUser('a browser without passkeys shows nothing about them', {}, async ({ me, email, page }) => {
  await page.addInitScript(() => { delete globalThis.PublicKeyCredential; });
  await page.reload();
  await me.account(email);
  assert.equal(await page.locator('#passkeys').isVisible(), false);
  await logOut(me);
  assert.equal(await me.button('logInByPasskey').isVisible(), false);
});
