// The API reference, /docs, is accessible.
import { auditReference } from './audit.mjs';
import { devices, inBrowser } from './browser.mjs';
import { expectStatus, openReference, unfold } from './reference.mjs';

for (const device of Object.keys(devices)) {
  inBrowser('the page is accessible', { device }, async ({ page, width }) => {
    await openReference(page);
    await auditReference(page, { width });
    await expectStatus(page, 200, 'get_version');
    for (const id of ['signup', 'revoke_session']) await unfold(page, id);
    await auditReference(page, { width });
    await page.getByRole('button', { name: 'Authorize' }).first().click();
    await page.locator('.dialog-ux').waitFor();
    await auditReference(page, { width });
  });

  inBrowser('the schemas are accessible', { device }, async ({ page, width }) => {
    await openReference(page);
    await page.locator('section.models .json-schema-2020-12-accordion, section.models .model-box-control').first().waitFor();
    for (const name of ['SignUpRequest', 'AccessTokenResponse', 'Session']) {
      await page.locator('section.models').getByRole('button', { name }).first().click();
    }
    await auditReference(page, { width });
  });
}
