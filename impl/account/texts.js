// Writes the texts of the page in the user's language, and writes them again when the language changes.

const languages = { en: () => import('./words-en.js'), ru: () => import('./words-ru.js') }; // a user loads one
const key = 'financelime-account-language';
const given = new WeakMap(); // the values in the text of an element

let language;
let words; // of the language
let wanted; // the language that is loading

// say shows a text in an element: its key in words-en.js, and the values in it. Without a key the element is empty.
export function say(element, name = '', values = {}) {
  element.dataset.t = name;
  given.set(element, values);
  write(element);
}

// text returns a text. {name} is a value, {name:format} one with a format.
function text(name, values = {}) {
  const all = { ...document.body.dataset, ...values };
  return words[name].replace(/\{(\w+)(?::(\w+))?\}/g, (_, value, format) => (formats[format] ?? String)(all[value]));
}

const formats = {
  date: (value) => new Intl.DateTimeFormat(language, { dateStyle: 'long' }).format(new Date(value)),
  moment: (value) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(value)),
  clock: (value) => formats[new Date(value).toDateString() === new Date().toDateString() ? 'time' : 'moment'](value),
  time: (value) => new Intl.DateTimeFormat(language, { timeStyle: 'short' }).format(new Date(value)),
  wait: (seconds) => relative(seconds, ([, length]) => seconds >= length), // "in 5 minutes", rounded up
  exactly: (seconds) => relative(seconds, ([, length]) => seconds % length === 0),
};

function relative(seconds, fits) {
  const [unit, length] = [['day', 86_400], ['hour', 3600], ['minute', 60]].find(fits) ?? ['second', 1];
  return new Intl.RelativeTimeFormat(language).format(Math.ceil(seconds / length), unit);
}

function write(element) {
  element.textContent = element.dataset.t ? text(element.dataset.t, given.get(element)) : '';
}

// prefer switches to a language of the service, unless the user has chosen one on this page. Without a response, the language stays.
export const prefer = (other = '') => use(stored() ?? closest([other]) ?? language).catch(() => {});

async function use(next) {
  wanted = next;
  const { default: loaded } = await languages[next]();
  if (wanted !== next) return;
  words = loaded;
  language = next;
  document.documentElement.lang = next;
  for (const element of document.querySelectorAll('[data-t]:not([data-t=""])')) write(element);
  for (const element of document.querySelectorAll('[data-label]')) element.ariaLabel = text(element.dataset.label, given.get(element));
  for (const button of document.querySelectorAll('[data-language]')) button.ariaPressed = String(button.dataset.language === next);
  writeTitle();
}

// sayTitle shows the title of a view.
export function sayTitle(name) {
  say(document.querySelector('#title'), name);
  writeTitle();
}

function writeTitle() {
  const { service } = document.body.dataset;
  document.title = document.querySelector('#title').textContent + (service && ` – ${service}`);
}

// sayLabel gives an element a name for screen readers that is longer than its text.
export function sayLabel(element, name, values) {
  element.dataset.label = name;
  given.set(element, values);
  element.ariaLabel = text(name, values);
}

// startTexts writes all texts, in the language that the user has chosen on this page, or in that of the browser.
export async function startTexts() {
  await use(stored() ?? closest(navigator.languages) ?? 'en');
  for (const button of document.querySelectorAll('[data-language]')) {
    button.addEventListener('click', () => {
      try {
        sessionStorage.setItem(key, button.dataset.language);
      } catch {
        // blocked: the choice is lost with the page
      }
      prefer(button.dataset.language);
    });
  }
}

export const currentLanguage = () => language;

function stored() {
  try {
    return closest([sessionStorage.getItem(key) ?? '']);
  } catch {
    return undefined;
  }
}

function closest(tags) {
  return tags.map((tag) => tag.split('-')[0].toLowerCase()).find((tag) => Object.hasOwn(languages, tag));
}
