// The first minutes of a developer with `serve --dev`: everything by the forms of /docs, with the examples that they have.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { auditReference } from './audit.mjs';
import { devices, inBrowser, service } from './browser.mjs';
import { follow, openMail, readPassword, textLink } from './mailbox.mjs';
import { authorize, openReference, tryExample } from './reference.mjs';
import { words } from './words.mjs';

for (const device of Object.keys(devices)) {
  inBrowser('log in, list, refresh, sign up, confirm and log in with the examples', { device }, async ({ page, context, width }) => {
    const succeed = async (status, id, change) => {
      const response = await tryExample(page, id, change);
      assert.equal(response.status, status, `${id}: ${response.text}`);
      assert.match(response.text, /^ ?x-dev: /m, `${id}: the response does not say that the service is for development`);
      return response;
    };
    await openReference(page);

    // The example user exists.
    const { sent: login, body: session } = await succeed(200, 'create_access_token');
    await authorize(page, session.accessToken);
    const { body: sessions } = await succeed(200, 'get_list_active_sessions');
    assert.deepEqual(sessions.filter((s) => s.current).map((s) => s.sessionID), [session.sessionID]);
    await succeed(200, 'refresh_access_token'); // the example of a refresh token
    const { body: refreshed } = await succeed(200, 'refresh_access_token', { refreshToken: session.refreshToken });
    assert.equal(refreshed.sessionID, session.sessionID);
    assert.notEqual(refreshed.refreshToken, session.refreshToken);
    await authorize(page, refreshed.accessToken);
    await succeed(204, 'verify_access_token');

    // The example of a sign-up is another user, who does not exist yet. (On the phone another one: the mailbox has the mails to this one.)
    const { sent: signUp } = await succeed(204, 'signup', device === 'phone' ? { email: `p${randomUUID()}@example.com` } : undefined);
    assert.notEqual(signUp.email, login.email);
    const mailbox = await context.newPage();
    await openMail(mailbox, signUp.email, words.en.mail.signup_link);
    const confirmed = await follow(mailbox, textLink(mailbox));
    await confirmed.getByRole('heading', { level: 1, name: words.en.page.signup.Title }).waitFor();
    await confirmed.close();
    await openMail(mailbox, signUp.email, words.en.mail.password);
    const password = await readPassword(mailbox);

    await page.bringToFront();
    const { body: first } = await succeed(200, 'create_access_token', { email: signUp.email, password });
    await authorize(page, first.accessToken);
    const { body: own } = await succeed(200, 'get_list_active_sessions');
    assert.deepEqual(own.map((s) => [s.sessionID, s.current]), [[first.sessionID, true]]);
    await auditReference(page, { width });
  });
}

// Nothing has to be filled in but the access token.
inBrowser('every form has an example of a request ID, and of a body', {}, async ({ page }) => {
  await openReference(page);
  const { paths } = await (await fetch(`http://${service.httpAddr}/openapi.json`)).json();
  for (const { operationId, requestBody, tags } of Object.values(paths).flatMap(Object.values)) {
    const part = page.locator(`#operations-${tags[0]}-${operationId}`);
    const control = part.locator('.opblock-summary-control');
    await control.click();
    await part.getByRole('button', { name: 'Execute' }).waitFor();
    for (const field of await part.locator('tr.parameters:has(.parameter__name.required) input').all()) {
      assert.notEqual(await field.inputValue(), '', `${operationId}: the parameter ${await field.getAttribute('placeholder')} has an example`);
    }
    if (requestBody) assert.ok(Object.keys(JSON.parse(await part.locator('textarea.body-param__text').inputValue())).length > 0, operationId);
    await control.click();
  }
});
