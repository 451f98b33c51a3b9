// Shows one view at a time. The address has the name of the view after #, so that links and Back work.
import { isLoggedIn } from './session.js';
import { say, sayTitle } from './texts.js';

const titles = {
  loading: 'titleAccount', account: 'titleAccount', 'login': 'titleLogIn', forgot: 'titleForgot', 'sign-up': 'signUp', sent: 'titleSent',
  closed: 'titleClosed', 'second-factor': 'titleFactor',
};
const title = document.querySelector('#title');
const notice = document.querySelector('#notice');
let current;
let listener = () => {};

// onView calls a function with the name of each view that is shown in place of another.
export function onView(call) {
  listener = call;
}

// show shows a view, and a notice about why. The focus moves to the notice or to the title, except when the page opens.
export function show(view, noticeText = '') {
  const first = current === undefined;
  const changed = view !== current;
  current = view;
  for (const element of document.querySelectorAll('[data-view]')) element.hidden = element.dataset.view !== view;
  document.querySelector('#log-out').hidden = !isLoggedIn();
  sayTitle(titles[view]);
  say(notice, noticeText);
  if (noticeText) notice.focus();
  else if (changed && !first && view !== 'loading') title.focus();
  if (changed) listener(view);
}

// showByAddress shows what the address names: a view while nobody is logged in, otherwise a part of the account.
export function showByAddress() {
  const name = location.hash.slice(1);
  if (!isLoggedIn()) {
    show(['forgot', 'sign-up'].includes(name) ? name : 'login');
  } else if (current === 'account') {
    document.querySelector(`#${CSS.escape(name)}-title`)?.focus(); // such as #password, after /.well-known/change-password
  }
}

// leave shows a view without an address.
export function leave(view, noticeText) {
  history.replaceState(null, '', location.pathname);
  show(view, noticeText);
}
