// The words that users read, from the service's own files.
import { readFileSync } from 'node:fs';
import { languages } from './browser.mjs';

// text returns the fields and paragraphs of a text of impl/locale.
export function text(language, name) {
  const source = readFileSync(new URL(`../../impl/locale/messages/${language}/${name}.txt`, import.meta.url), 'utf8')
    .replaceAll('{{.Service}}', 'Financelime');
  const [head, ...paragraphs] = source.trim().split('\n\n');
  return { ...Object.fromEntries(head.split('\n').map((line) => line.split(/: (.*)/))), paragraphs };
}

// words are the texts in each language: mails by kind, pages by name.
export const words = Object.fromEntries(Object.keys(languages).map((language) => [language, {
  mail: Object.fromEntries(['signup_link', 'password_link', 'password', 'signup_notice', 'login_notice', 'password_notice', 'signup_choose_link', 'password_choose_link'].map(
    (kind) => [kind, text(language, `mail/${kind}`).Subject],
  )),
  openApp: text(language, 'mail/password').Button, // in a mail with a password
  page: Object.fromEntries(['signup', 'password', '400', '404', '405', '413', '429', '500', '503'].map(
    (name) => [name, text(language, `page/${name}`)],
  )),
  // The pages of the links that open a page, by name, and the words around the field for a password.
  link: Object.fromEntries([
    ...['signup', 'password', 'email', 'email_undo', 'deletion_undo'].flatMap((purpose) => [`open_${purpose}`, `used_${purpose}`]),
    ...['400', '404', '409', '413', '500', '503'].map((status) => `link_${status}`),
  ].map((name) => [name, text(language, `page/${name}`)])),
  choose: text(language, 'page/choose'),
}]));
