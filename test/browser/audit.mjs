// Checks that a page is accessible: with a screen reader, on a phone, in dark mode.
import assert from 'node:assert/strict';
import axe from 'axe-core';

// auditPage checks a page with all rules of axe, and what axe does not measure. In dark it checks the contrasts: all else has no color.
export async function auditPage(page, { language, width }) {
  await checkPage(page, { language, width });
  await inLightAndDark(page, (colorScheme) => assertNoViolations(page, `${page.url()} in ${colorScheme}`, colorScheme === 'dark' ? { runOnly: ['color-contrast'] } : {}));
}

// auditReference checks the API reference, which should look the same in light and dark. axe does not measure the contrast of text in a
// part that scrolls or beside a drawn line: measureContrast does.
export async function auditReference(page, { width }) {
  await checkPage(page, { language: 'en', width });
  for (const [colorScheme, options] of [['light', {}], ['dark', { runOnly: ['color-contrast'] }]]) { // all else has no color
    await page.emulateMedia({ colorScheme });
    const { violations, undecided } = await runAxe(page, options);
    assert.deepEqual(violations.map(describe), [], `axe about ${page.url()} in ${colorScheme}`);
    const selectors = undecided.flatMap(({ nodes }) => nodes.map(({ target }) => target.join(' ')));
    const low = (await page.evaluate(measureContrast, selectors)).filter(({ contrast, needed }) => !(contrast >= needed));
    assert.deepEqual(low, [], `contrasts that axe did not measure, in ${colorScheme}`);
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
    await audit(colorScheme);
  }
  await page.emulateMedia({ colorScheme: null });
}

async function assertNoViolations(page, where, options) {
  const { violations, undecided } = await runAxe(page, options);
  assert.deepEqual([...violations, ...undecided].map(describe), [], `axe about ${where}`);
}

// measureContrast returns the contrast of the texts of elements to the backgrounds behind them, and the one that WCAG 2.2, 1.4.3 needs.
// It runs in the page.
export function measureContrast(selectors) {
  const parse = (color) => { // a computed color: rgb(...) or rgba(...)
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = ({ rgb, a }, below) => rgb.map((c, i) => c * a + below[i] * (1 - a));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const color = parse(getComputedStyle(element).backgroundColor);
    return color.a === 1 ? color.rgb : over(color, background(element.parentElement));
  };
  return selectors.map((selector) => {
    const element = document.querySelector(selector);
    const style = getComputedStyle(element);
    const behind = background(element);
    const [dark, light] = [luminance(over(parse(style.color), behind)), luminance(behind)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    return { selector, text: element.innerText.slice(0, 40), contrast: (light + 0.05) / (dark + 0.05), needed: large ? 3 : 4.5 };
  });
}

// runAxe returns what axe finds in a page. undecided are the contrasts that it could not measure. Frames are skipped: their
// content is audited on its own.
export async function runAxe(page, options = {}) {
  if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(axe.source); // once for each page: half a megabyte
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
