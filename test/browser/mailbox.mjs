// Actions in the local mailbox.
import { service } from './browser.mjs';

// openMail waits for the mail with a subject to an address and opens it from the list.
export async function openMail(page, to, subject) {
  await page.bringToFront();
  await page.goto(`${service.adminURL}/mail`);
  const mail = page.getByRole('listitem').filter({ hasText: to }).getByRole('link', { name: subject, exact: true }).first();
  const deadline = Date.now() + 30_000;
  while (!(await mail.isVisible())) {
    if (Date.now() > deadline) throw new Error(`no mail "${subject}" to ${to} after 30 s:\n${await page.locator('main').innerText()}`);
    await page.waitForTimeout(100); // then look again
    await page.reload();
  }
  await mail.click();
  await page.getByRole('heading', { level: 1, name: subject }).waitFor();
  await page.waitForLoadState(); // with the frame that has the HTML: leaving earlier would abort its request
}

export const textLink = (page) => page.locator('pre').getByRole('link');
export const htmlPart = (page) => page.frameLocator('iframe');

// follow clicks a link and returns the page that it opens. A new frame may not receive mouse events yet, so it hovers first.
export async function follow(page, link) {
  await page.bringToFront();
  const deadline = Date.now() + 30_000;
  do {
    if (Date.now() > deadline) throw new Error(`${link} does not receive mouse events`);
    await link.hover();
  } while (!(await link.locator(':scope:hover').count()));
  const [opened] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await opened.waitForLoadState();
  return opened;
}

// readPassword returns the password in the text of the open mail.
export async function readPassword(page) {
  const text = await page.locator('pre').innerText();
  const [password] = text.match(/^[0-9a-z]{4}(?:-[0-9a-z]{4}){6}$/m) ?? [];
  if (!password) throw new Error(`no password in the mail:\n${text}`);
  return password;
}

// newerPassword waits for a mail with another password than the first one and returns it.
export async function newerPassword(mailbox, email, subject, first) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    await openMail(mailbox, email, subject);
    const password = await readPassword(mailbox);
    if (password !== first) return password;
    if (Date.now() > deadline) throw new Error('no new password after 30 s');
    await mailbox.waitForTimeout(100); // then look again
  }
}
