// The local mailbox, as a person uses it.
import { service } from './browser.mjs';

// openMail opens the mail to an address with a subject, from the list, by clicking, as soon as it has come.
export async function openMail(page, to, subject) {
  await page.bringToFront();
  await page.goto(`${service.adminURL}/mail`);
  const mail = page.getByRole('listitem').filter({ hasText: to }).getByRole('link', { name: subject, exact: true }).first();
  const deadline = Date.now() + 30_000;
  while (!(await mail.isVisible())) {
    if (Date.now() > deadline) throw new Error(`no mail "${subject}" to ${to} after 30 s:\n${await page.locator('main').innerText()}`);
    await page.waitForTimeout(100); // between two looks
    await page.reload();
  }
  await mail.click();
  await page.getByRole('heading', { level: 1, name: subject }).waitFor();
}

export const textLink = (page) => page.locator('pre').getByRole('link');
export const htmlPart = (page) => page.frameLocator('iframe');

// follow clicks a link and returns the page that it opens. A frame that has only just come may not feel the mouse yet.
export async function follow(page, link) {
  await page.bringToFront();
  const deadline = Date.now() + 30_000;
  do {
    if (Date.now() > deadline) throw new Error(`${link} does not feel the mouse`);
    await link.hover();
  } while (!(await link.locator(':scope:hover').count()));
  const [opened] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await opened.waitForLoadState();
  return opened;
}

// readPassword reads the password where it stands in the text of the opened mail.
export async function readPassword(page) {
  const text = await page.locator('pre').innerText();
  const [password] = text.match(/^[0-9a-z]{4}(?:-[0-9a-z]{4}){6}$/m) ?? [];
  if (!password) throw new Error(`no password in the mail:\n${text}`);
  return password;
}

// newerPassword reads the password of the newest mail that has one, as soon as it is not the first one.
export async function newerPassword(mailbox, email, subject, first) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    await openMail(mailbox, email, subject);
    const password = await readPassword(mailbox);
    if (password !== first) return password;
    if (Date.now() > deadline) throw new Error('no new password after 30 s');
    await mailbox.waitForTimeout(100); // between two looks
  }
}
