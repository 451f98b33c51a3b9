// The app of the tests: a page that uses deploy/bff/session.mjs.
import { changePassword, login, logout, session, stepUp } from './session.mjs';

const show = (text) => (document.querySelector('[role=status]').textContent = text);

async function start(options) {
  show('Loading');
  try {
    const current = await session(options);
    show(current ? `Session ${current.sessionID}` : 'Please log in');
    return current;
  } catch {
    show('Please try again later');
  }
}

document.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  const status = await login(email.value, password.value);
  if (status === 200) await start();
  else show(`Login failed: ${status}`);
});
document.querySelector('#logout').addEventListener('click', async () => {
  show('Loading');
  show((await logout()) ? 'Please log in' : 'Logged out here only');
});
document.querySelector('#retry').addEventListener('click', () => start());

globalThis.app = { changePassword, session, start, stepUp }; // for the tests
start();
