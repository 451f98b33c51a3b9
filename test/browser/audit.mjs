// Checks that a page is accessible: with a screen reader, on a phone, in dark mode.
import assert from 'node:assert/strict';
import axe from 'axe-core';

// auditPage checks a page with all rules of axe, in light and dark, and what axe does not measure.
export async function auditPage(page, { language, width }) {
  await checkPage(page, { language, width });
  await inLightAndDark(page, () => assertNoViolations(page, page.url()));
}

// auditReference checks the API reference, which should look the same in light and dark. In the part of its tables that scrolls, axe
// cannot measure the contrast; the same styles are measured where they are visible.
export async function auditReference(page, { width }) {
  await checkPage(page, { language: 'en', width });
  for (const [colorScheme, options] of [['light', {}], ['dark', { runOnly: ['color-contrast'] }]]) { // all else has no color
    await page.emulateMedia({ colorScheme });
    const { violations } = await runAxe(page, options);
    assert.deepEqual(violations.map(describe), [], `axe about ${page.url()} in ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

async function checkPage(page, { language, width }) {
  const found = await page.evaluate(() => ({
    language: document.documentElement.lang,
    title: document.title.trim(),
    headings: [...document.querySelectorAll('h1')].map((h) => h.innerText.trim()),
    mains: document.querySelectorAll('main').length,
    width: document.documentElement.scrollWidth,
  }));
  assert.equal(found.language, language, 'the language of the page');
  assert.notEqual(found.title, '', 'the title of the page');
  assert.equal(found.headings.length, 1, `one h1: ${found.headings}`);
  assert.equal(found.mains, 1, 'one main landmark');
  assert.ok(found.width <= width, `${page.url()} is ${found.width} px wide on a screen of ${width}`);
}

// auditMail checks the HTML part of a mail with the rules of WCAG. It is not a page, so it needs no landmarks. The mailbox shows it
// in a sandbox, where axe cannot run, so it is loaded into a page of its own that is as wide as the frame.
export async function auditMail(mailbox, { language }) {
  const frame = mailbox.locator('iframe');
  const address = await frame.evaluate((f) => f.src);
  const width = await frame.evaluate((f) => f.clientWidth);
  const page = await mailbox.context().newPage();
  await page.setViewportSize({ width, height: 800 });
  await page.setContent(await (await fetch(address)).text());
  await page.addStyleTag({ content: ':root { background: Canvas }' }); // the background behind a mail; axe assumes white
  const found = await page.evaluate(() => ({ language: document.documentElement.lang, width: document.documentElement.scrollWidth }));
  assert.equal(found.language, language, 'the language of the mail');
  assert.ok(found.width <= width, `the mail is ${found.width} px wide in a frame of ${width}`);
  await inLightAndDark(page, () => assertNoViolations(page, address, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
  }));
  await page.close();
}

async function inLightAndDark(page, audit) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await audit();
  }
  await page.emulateMedia({ colorScheme: null });
}

async function assertNoViolations(page, where, options) {
  const { violations, undecided } = await runAxe(page, options);
  assert.deepEqual([...violations, ...undecided].map(describe), [], `axe about ${where}`);
}

// runAxe returns what axe finds in a page. undecided are the contrasts that it could not measure. Frames are skipped: their
// content is audited on its own.
export async function runAxe(page, options = {}) {
  await page.evaluate(axe.source);
  const { violations, incomplete } = await page.evaluate(
    (options) => globalThis.axe.run(document, { iframes: false, ...options }),
    options,
  );
  return { violations, undecided: incomplete.filter(({ id }) => id === 'color-contrast') };
}

// describe returns a finding of axe as one line.
export function describe({ impact, id, help, nodes }) {
  const first = nodes[0];
  return `${impact}: ${id} (${help}), ${nodes.length} times, such as ${first.target.join(' ')}: ${first.html.slice(0, 200)} ${first.any.map((c) => c.message)}`;
}
