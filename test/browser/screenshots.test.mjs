// The README's pictures: a mail in the local mailbox, and the page that its link opens. `make screenshots` writes them to
// docs/images; without SCREENSHOTS they are only taken, so that `make test-browser` proves that they can be.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inBrowser, service } from './browser.mjs';
import { follow, openMail, textLink } from './mailbox.mjs';
import { words } from './words.mjs';

const maxBytes = 150_000;

async function picture(page, name) {
  await page.setViewportSize({ width: 820, height: 700 });
  await page.bringToFront();
  const png = await page.screenshot({ animations: 'disabled' });
  assert.ok(png.length < maxBytes, `${name}.png has ${png.length} bytes, more than ${maxBytes}`);
  if (process.env.SCREENSHOTS) await writeFile(join(process.env.SCREENSHOTS, `${name}.png`), png);
}

inBrowser('the pictures of the README', {}, async ({ page }) => {
  const email = 'me@example.com';
  const response = await fetch(`http://${service.httpAddr}/v1/user/signup`, {
    method: 'POST',
    headers: { 'request-id': randomUUID(), 'content-type': 'application/json' },
    body: JSON.stringify({ email, inviteCode: service.inviteCode, language: 'en' }),
  });
  assert.equal(response.status, 204);
  await openMail(page, email, words.en.mail.signup_link);
  await picture(page, 'mailbox');
  const confirmed = await follow(page, textLink(page));
  await confirmed.getByRole('heading', { level: 1, name: words.en.page.signup.Title }).waitFor();
  await picture(confirmed, 'confirmation');
});
