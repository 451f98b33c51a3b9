// The way back to the app, AUTH_APP_URL: a button on the pages that mailed links open, and in mails with a password.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditMail, auditPage } from './audit.mjs';
import { devices, inBrowser, languages, service } from './browser.mjs';
import { follow, htmlPart, openMail, readPassword, textLink } from './mailbox.mjs';
import { words } from './words.mjs';

// signUp returns the address of a new user, to whom a link was mailed.
async function signUp(language) {
  const email = `p${randomUUID()}@example.com`;
  await api('/v1/user/signup', { email, inviteCode: service.inviteCode, language });
  return email;
}

async function api(path, body) {
  const response = await fetch(`http://${service.httpAddr}${path}`, {
    method: 'POST', headers: { 'request-id': randomUUID(), 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  assert.equal(response.status, 204, `${path}: ${await response.text()}`);
}

const button = (page, language, name) => page.getByRole('link', { name: words[language].page[name].Button, exact: true });

// mustArrive checks that the app is open, and that it learns nothing of the page or mail that led to it.
async function mustArrive(page) {
  await page.getByRole('heading', { level: 1, name: 'The app' }).waitFor();
  assert.equal(page.url(), service.appURL);
  assert.equal(await page.locator('#referer').innerText(), 'none', 'the Referer that the app receives');
  assert.equal(await page.evaluate(() => document.referrer), '', 'the referrer that scripts of the app see');
}

for (const device of Object.keys(devices)) {
  for (const language of Object.keys(languages)) {
    const at = { language, width: devices[device].viewport.width };

    inBrowser('every page that leads to the app', { device, language }, async ({ page, watch }) => {
      for (const name of Object.keys(words[language].page)) {
        const address = `${service.pagesURL}/app/${language}/${name}`;
        watch.allowFailure(address);
        await page.goto(address);
        const links = page.getByRole('link');
        assert.equal(await links.count(), ['signup', 'password', '404'].includes(name) ? 1 : 0, `links on the page ${name}`);
        await auditPage(page, at);
        if (await links.count()) await checkButton(page, button(page, language, name), at.width);
      }
    });

    inBrowser('from the mailed link to the app and from the mailed password to the app', { device, language }, async ({ page, watch }) => {
      const email = await signUp(language);
      const { mail, openApp } = words[language];
      await openMail(page, email, mail.signup_link);
      assert.equal(await textLink(page).count(), 1, 'the mail with a link leads nowhere else');
      const confirmed = await follow(page, textLink(page));
      await auditPage(confirmed, at);
      await button(confirmed, language, 'signup').click();
      await mustArrive(confirmed);
      await confirmed.close();

      const used = textLink(page);
      watch.allowFailure(await used.getAttribute('href'));
      const failed = await follow(page, used);
      await auditPage(failed, at);
      await button(failed, language, '404').click();
      await mustArrive(failed);
      await failed.close();

      await openMail(page, email, mail.password);
      await readPassword(page);
      await auditMail(page, { language });
      assert.equal(await htmlPart(page).getByRole('link').nth(1).getAttribute('href'), service.appURL, 'the address below the button');
      for (const link of [textLink(page), htmlPart(page).getByRole('link', { name: openApp, exact: true })]) {
        assert.equal(await link.getAttribute('href'), service.appURL);
        const opened = await follow(page, link);
        await mustArrive(opened);
        await opened.close();
      }

      await api('/v1/user/password', { email });
      await openMail(page, email, mail.password_link);
      const reset = await follow(page, htmlPart(page).getByRole('link').first());
      await auditPage(reset, at);
      await button(reset, language, 'password').click();
      await mustArrive(reset);
    });
  }
}

// checkButton checks what axe does not: the size of the button, its place, and that its focus is visible in light and dark.
async function checkButton(page, link, width) {
  const box = await link.boundingBox();
  assert.ok(box.height >= 44 && box.width >= 44, `a button of ${box.width} x ${box.height} px is hard to tap`);
  assert.ok(box.x >= 0 && box.x + box.width <= width, `the button ends at ${box.x + box.width} px of ${width}`);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.reload(); // so that the first Tab is the first
    await page.keyboard.press('Tab');
    await link.and(page.locator(':focus-visible')).waitFor({ timeout: 5_000 });
    const { ring, offset, contrast } = await link.evaluate(focusRing);
    assert.ok(ring >= 2 && offset >= 0, `a focus ring of ${ring} px at ${offset} px`);
    assert.ok(contrast >= 3, `the focus ring has a contrast of ${contrast} in ${colorScheme}: WCAG 2.2, 1.4.11`);
  }
  await page.emulateMedia({ colorScheme: null });
}

// focusRing measures the outline of a focused element, in the page: its width, its distance, and its contrast to what is around it.
function focusRing(element) {
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const { outlineStyle, outlineWidth, outlineOffset, outlineColor } = getComputedStyle(element);
  const [dark, light] = [luminance(outlineColor), luminance(getComputedStyle(document.querySelector('main')).backgroundColor)].sort((a, b) => a - b);
  return { ring: outlineStyle === 'none' ? 0 : parseFloat(outlineWidth), offset: parseFloat(outlineOffset), contrast: (light + 0.05) / (dark + 0.05) };
}

inBrowser('from the confirmation page to the app by keyboard alone', {}, async ({ page }) => {
  const email = await signUp('en');
  await openMail(page, email, words.en.mail.signup_link);
  const confirmed = await follow(page, textLink(page));
  await confirmed.keyboard.press('Tab');
  await button(confirmed, 'en', 'signup').and(confirmed.locator(':focus-visible')).waitFor({ timeout: 5_000 });
  await confirmed.keyboard.press('Enter');
  await mustArrive(confirmed);
});

// A link in a mail cannot be given a page to lead to.
inBrowser('no parameter leads elsewhere', {}, async ({ page, watch }) => {
  const evil = 'https://evil.example/';
  const parameters = ['redirect', 'redirect_uri', 'next', 'app', 'app_url', 'url', 'return_to', 'continue'].map((name) => `${name}=${encodeURIComponent(evil)}`).join('&');
  const email = await signUp('en');
  await openMail(page, email, words.en.mail.signup_link);
  const address = `${await textLink(page).getAttribute('href')}&${parameters}`;
  watch.allowFailure(address);
  for (const name of ['signup', '404']) {
    await page.goto(address);
    await page.getByRole('heading', { level: 1, name: words.en.page[name].Title }).waitFor();
    assert.deepEqual(await page.getByRole('link').evaluateAll((all) => all.map((a) => a.href)), [service.appURL]);
    assert.ok(!(await page.content()).includes('evil.example'), 'the page has something of the parameters');
  }
});
