// Starts the page /account: connects its elements to the modules beside this one.
import { onWaiting } from './api.js';
import { closeDialogs, connectDialogs } from './dialogs.js';
import { connectEntrance } from './entrance.js';
import { complain, connect } from './forms.js';
import { connectAccount, empty, load } from './manage.js';
import { isLoggedIn, logOut, onEnd, restore } from './session.js';
import { say, startTexts } from './texts.js';
import { leave, show, showByAddress } from './views.js';

const connection = document.querySelector('#connection');
const reload = document.querySelector('#reload');
const again = reload.querySelector('button');

// open shows the account. If it cannot be read now, the user can try again.
async function open() {
  again.hidden = true;
  show('loading');
  try {
    await load();
  } catch (error) {
    if (!isLoggedIn()) return; // the session's listener has shown the login form
    again.hidden = false;
    complain(reload, error, {});
    return;
  }
  show('account');
  showByAddress();
}

await startTexts();
connectDialogs();
connectEntrance(open);
connectAccount();
connect(reload, { send: open });
connect(document.querySelector('form#log-out'), {
  send: async () => {
    const done = logOut();
    empty();
    leave('login', 'loggedOut');
    await done.catch(() => isLoggedIn() || leave('login', 'loggedOutHere'));
  },
});
onEnd(() => {
  closeDialogs();
  empty();
  leave('login', 'endedElsewhere');
});
onWaiting((waiting) => say(connection, waiting ? 'waiting' : offline()));
addEventListener('hashchange', showByAddress);
for (const event of ['online', 'offline']) addEventListener(event, () => say(connection, offline()));

const offline = () => (navigator.onLine === false ? 'offline' : '');

await restore();
if (isLoggedIn()) {
  await open();
} else {
  showByAddress();
}
