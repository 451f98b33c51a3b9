// Tests Watch and axe themselves: if they found nothing, every other test would pass.
import assert from 'node:assert/strict';
import { describe, measureContrast, runAxe } from './audit.mjs';
import { inBrowser, service } from './browser.mjs';

inBrowser('Watch finds problems', {}, async ({ page, watch }) => {
  const bad = `${service.publicURL}/v1/user/signup`;
  await page.goto(`${service.publicURL}/docs`);
  await page.evaluate(async (bad) => {
    console.error('said to the console');
    setTimeout(() => { throw new Error('nobody catches this'); });
    await fetch(bad, { method: 'POST' });
    await fetch('https://elsewhere.example/').catch(() => {});
    await new Promise((done) => {
      addEventListener('securitypolicyviolation', () => setTimeout(done));
      const script = document.createElement('script');
      script.textContent = 'globalThis.ran = true';
      document.body.append(script);
    });
  }, bad);
  assert.equal(await page.evaluate(() => globalThis.ran), undefined, 'the policy allowed a script');
  await assert.rejects(page.goto('http://elsewhere.example/'), /ERR_NAME_NOT_RESOLVED/);
  const seen = watch.problems.join('\n');
  for (const expected of [
    'error on the console: said to the console', 'uncaught: Error: nobody catches this', `answered 400 (${bad})`,
    /elsewhere\.example.* violates the following Content Security Policy/, /inline script violates the following Content Security Policy/,
    'a request to a foreign host (http://elsewhere.example/)', /failed: .*\(http:\/\/elsewhere\.example\/\)/,
  ]) {
    assert.ok(expected instanceof RegExp ? expected.test(seen) : seen.includes(expected), `not seen: ${expected}\n${seen}`);
  }
  watch.discard();
});

inBrowser('axe finds problems', {}, async ({ page }) => {
  await page.setContent('<p style="color: #aaa; background: #fff">grey on white</p><img src="data:,"><input>');
  const { violations } = await runAxe(page);
  const found = violations.map(({ id }) => id);
  for (const id of ['color-contrast', 'document-title', 'html-has-lang', 'image-alt', 'label', 'landmark-one-main', 'page-has-heading-one']) {
    assert.ok(found.includes(id), `not found: ${id}\n${violations.map(describe).join('\n')}`);
  }
});

inBrowser('contrasts are measured as axe measures them', {}, async ({ page }) => {
  await page.setContent('<main style="background: #fff"><p id="low" style="color: #949494">a</p><p id="large" style="color: #949494; font-size: 24px">a</p>'
    + '<p id="half" style="background: rgb(0 0 0 / 50%); color: #fff">a</p><p id="good" style="color: #000">a</p></main>');
  const measured = await page.evaluate(measureContrast, ['#low', '#large', '#half', '#good']);
  assert.deepEqual(measured.map(({ contrast, needed }) => [contrast.toFixed(1), needed]), [['3.0', 4.5], ['3.0', 3], ['4.0', 4.5], ['21.0', 4.5]]);
});
