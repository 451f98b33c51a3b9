// Whether a page can be used by everybody: with a screen reader, on a phone, in the dark.
import assert from 'node:assert/strict';
import axe from 'axe-core';

// auditPage holds one of our pages to all rules of axe, in light and dark, and to what axe does not measure.
export async function auditPage(page, { language, width }) {
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
  await inLightAndDark(page, () => assertNoViolations(page, page.url()));
}

// auditMail holds the HTML part of a mail to the rules of WCAG: it is no page, so it needs no landmarks. In the mailbox its frame is
// a sandbox, where no judge can work either; so it is looked at in a page of its own, as wide as the frame.
export async function auditMail(mailbox, { language }) {
  const frame = mailbox.locator('iframe');
  const address = await frame.evaluate((f) => f.src);
  const width = await frame.evaluate((f) => f.clientWidth);
  const page = await mailbox.context().newPage();
  await page.setViewportSize({ width, height: 800 });
  await page.setContent(await (await fetch(address)).text());
  await page.addStyleTag({ content: ':root { background: Canvas }' }); // what is painted behind a mail, which axe takes for white
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

// runAxe returns what axe has found in a page, or in the part of it that context selects; undecided are the contrasts that it
// could not measure. Frames are left out: what they show is audited on its own.
export async function runAxe(page, options = {}, context = undefined) {
  await page.evaluate(axe.source);
  const { violations, incomplete } = await page.evaluate(
    ([options, context]) => globalThis.axe.run(context ?? document, { iframes: false, ...options }),
    [options, context],
  );
  return { violations, undecided: incomplete.filter(({ id }) => id === 'color-contrast') };
}

// describe is one finding of axe as a line.
export function describe({ impact, id, help, nodes }) {
  const first = nodes[0];
  return `${impact}: ${id} (${help}), ${nodes.length} times, such as ${first.target.join(' ')}: ${first.html.slice(0, 200)} ${first.any.map((c) => c.message)}`;
}
