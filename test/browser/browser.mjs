// Runs Chromium with the pages of the service.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Watch } from './watch.mjs';

// The addresses of the service, as browser_test.go sets them.
export const service = {
  publicURL: setting('PUBLIC_URL'), // what the mailed links begin with; the browser finds it at httpAddr
  httpAddr: setting('HTTP_ADDR'),
  adminURL: setting('ADMIN_URL'),
  pagesURL: setting('PAGES_URL'), // every page of impl/page, at /LANGUAGE/NAME
  appURL: setting('APP_URL'), // where the pages and mails of app.test.mjs lead
  faultsURL: setting('FAULTS_URL'), // breaks the service's database
  inviteCode: setting('INVITE_CODE'),
};

function setting(name) {
  if (!process.env[name]) throw new Error(`${name} is not set: run these tests with "make test-browser"`);
  return process.env[name];
}

export const devices = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};

export const languages = { en: 'en-US', ru: 'ru-RU' };

let browser;

before(async () => {
  browser = await chromium.launch({ // with a new profile, which is gone when it closes
    executablePath: setting('CHROMIUM'),
    chromiumSandbox: process.getuid() !== 0, // Chromium refuses to give root one
    args: [
      '--headless=new', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // No other host resolves, so a request to another host fails.
      `--host-resolver-rules=MAP ${new URL(service.publicURL).host} ${service.httpAddr}, ${process.env.HOSTS ?? ''}MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
      // The public keys of test certificates, so no other certificate is accepted.
      ...(process.env.CERTIFICATE_KEYS ? [`--ignore-certificate-errors-spki-list=${process.env.CERTIFICATE_KEYS}`] : []),
    ],
  });
});

after(() => browser?.close());

// inBrowser is a test with its own browser window, on a device and in a language. It also fails for what Watch finds. A failed test
// writes screenshots of its pages.
export function inBrowser(name, { device = 'desktop', language = 'en' }, steps) {
  test(`${name} (${device}, ${language})`, { timeout: 300_000 }, async (t) => {
    const context = await browser.newContext({ ...devices[device], locale: languages[language] });
    const watch = new Watch(context, [service.publicURL, service.adminURL, service.pagesURL, service.appURL]);
    try {
      await steps({ context, page: await context.newPage(), watch, language, width: devices[device].viewport.width, t });
      watch.assertNoProblems();
    } catch (error) {
      await takePictures(context, t);
      throw error;
    } finally {
      await context.close();
    }
  });
}

async function takePictures(context, t) {
  const directory = await mkdtemp(join(tmpdir(), 'financelime-auth-browser-'));
  for (const [i, page] of context.pages().entries()) {
    const path = join(directory, `${i + 1}.png`);
    await page.screenshot({ path, fullPage: true }).then(
      () => t.diagnostic(`picture of ${page.url()}: ${path}`),
      (error) => t.diagnostic(`no picture of ${page.url()}: ${error.message}`),
    );
  }
}
