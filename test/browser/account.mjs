// Actions on the page /account, by mouse or by keyboard alone.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { auditPage } from './audit.mjs';
import { inBrowser, languages, service } from './browser.mjs';
import { follow, openMail, textLink } from './mailbox.mjs';
import { text } from './words.mjs';

// pageWords are the texts of the page, in each language.
export const pageWords = Object.fromEntries(await Promise.all(Object.keys(languages).map(async (language) => {
  const source = readFileSync(new URL(`../../impl/account/words-${language}.js`, import.meta.url), 'utf8');
  return [language, (await import(`data:text/javascript,${encodeURIComponent(source)}`)).default];
})));

// A Hand uses a page as a person does, in a language.
export class Hand {
  constructor(page, { language, width, byKeyboard = false }) {
    Object.assign(this, { page, language, width, byKeyboard, words: pageWords[language] });
  }

  // at returns the same hand on another page.
  at(page) {
    return new Hand(page, this);
  }

  async open() {
    await this.page.goto(`${service.publicURL}/account`);
    await this.title('titleLogIn');
  }

  async type(name, value) {
    const field = this.page.getByLabel(this.words[name] ?? name, { exact: true }).and(this.page.locator('input:visible'));
    if (!this.byKeyboard) return field.fill(value);
    await this.reach(field);
    await this.page.keyboard.press('ControlOrMeta+a');
    await this.page.keyboard.type(value);
  }

  button(name) {
    return this.page.getByRole('button', { name: this.words[name] ?? name, exact: true });
  }

  async press(name) {
    await this.use(this.button(name));
  }

  async followLink(name) {
    await this.use(this.page.getByRole('link', { name: this.words[name] ?? name, exact: true }));
  }

  async use(element) {
    if (!this.byKeyboard) return element.click();
    await this.reach(element);
    await this.page.keyboard.press('Enter');
  }

  // reach presses Tab until the focus, which must be visible, is on an element.
  async reach(element) {
    await element.waitFor();
    await element.evaluate((wanted) => { globalThis.isReached = () => wanted.matches(':focus-visible'); });
    for (let i = 0; i < 100; i++) {
      if (await this.page.evaluate(() => globalThis.isReached())) return;
      await this.page.keyboard.press('Tab');
    }
    assert.fail(`${element} is not reached by pressing Tab`);
  }

  // title waits for a view. The focus is on its title, so that a screen reader says where the user is.
  async title(name) {
    await this.page.getByRole('heading', { level: 1, name: this.words[name] ?? name, exact: true }).waitFor();
  }

  // says waits for a message that has the focus or belongs to the focused field, in the language of the page, with or without values.
  async says(name) {
    const [start] = this.words[name].split('{');
    await this.page.waitForFunction((start) => {
      const { activeElement: focused } = document;
      const described = (focused.getAttribute('aria-describedby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent);
      return [focused.textContent, ...described].some((message) => message?.startsWith(start));
    }, start, { timeout: 20_000 });
  }

  async audit() {
    await auditPage(this.page, this);
    const small = await this.page.locator('button:visible, input:visible, a:visible').evaluateAll((all) => all.flatMap((element) => {
      const { width, height } = element.getBoundingClientRect();
      return width >= 43.5 && height >= 43.5 ? [] : [`${element.outerHTML.slice(0, 80)}: ${width} x ${height}`];
    }));
    assert.deepEqual(small, [], 'targets of less than 44 px');
  }

  async logIn(email, password) {
    await this.type('email', email);
    await this.type('password', password);
    await this.press('logIn');
    await this.account(email);
  }

  // account waits for the view of the account.
  async account(email) {
    await this.title('titleAccount');
    await this.page.locator('#email-now').filter({ hasText: email }).waitFor();
  }

  // confirm opens a mailed link and submits its page, with a new password if it asks for one.
  async confirm(mailbox, email, kind, purpose, newPassword) {
    const mail = (name) => text(this.language, name);
    await openMail(mailbox, email, mail(`mail/${kind}`).Subject);
    const opened = this.at(await follow(mailbox, textLink(mailbox)));
    if (newPassword) await opened.type(mail('page/choose').Label, newPassword);
    await opened.press(mail(`page/open_${purpose}`).Submit);
    await opened.title(mail(`page/used_${purpose}`).Title);
    return opened;
  }
}

// setFault breaks the service's database, or repairs it: see browser_test.go.
export async function setFault(fault) {
  const response = await fetch(`${service.faultsURL}/${fault}`, { method: 'POST' });
  assert.equal(response.status, 204, await response.text());
}

export const api = (path) => `${service.publicURL}/v1/${path}`;

// password is that of the users of withUser.
export const password = 'seven green boats at noon';

// withUser is a test with a page on which a new user has logged in.
export function withUser(name, options, steps) {
  inBrowser(name, options, async (t) => {
    const me = new Hand(t.page, t);
    const email = `p${randomUUID()}@example.com`;
    const response = await fetch(`http://${service.httpAddr}/v1/user/signup`, {
      method: 'POST',
      headers: { 'request-id': randomUUID(), 'content-type': 'application/json' },
      body: JSON.stringify({ email, inviteCode: service.inviteCode, language: t.language, choosePassword: true }),
    });
    assert.equal(response.status, 204, await response.text());
    const mailbox = await t.context.newPage();
    await (await me.confirm(mailbox, email, 'signup_choose_link', 'signup', password)).page.close();
    await mailbox.close();
    await me.open();
    await me.logIn(email, password);
    await steps({ ...t, me, email });
  });
}
