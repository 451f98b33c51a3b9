// Connects forms to operations: sends what was typed, and shows why it was refused, in the form and next to the field.
import { Failure, isLost } from './api.js';
import { SessionEnded } from './session.js';
import { say } from './texts.js';

// Cancelled means that the user has closed a dialog: nothing is sent, and there is nothing to say.
export class Cancelled extends Error {}

// Problem is a failure in the browser: its message is the name of a text.
export class Problem extends Error {}

// connect calls send with the values of a form when it is submitted. problems has the failures that the user can correct, by code or malformed
// parameter: the name of the field (or none) and the text. The form keeps what was typed until send has succeeded.
export function connect(form, { send, problems = {}, lost = 'noResponse' }) {
  prepare(form);
  form.addEventListener('input', ({ target }) => saySomethingAbout(target, ''));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (form.ariaBusy === 'true') return;
    clear(form);
    const empty = [...form.elements].filter((field) => field.required && field.value === '');
    for (const field of empty) saySomethingAbout(field, 'fillIn');
    if (empty.length) return empty[0].focus();
    form.ariaBusy = 'true';
    try {
      await send(Object.fromEntries(new FormData(form)), event.submitter);
    } catch (error) {
      complain(form, error, problems, lost);
    } finally {
      form.ariaBusy = 'false';
    }
  });
}

// clear removes the messages of a form.
export function clear(form) {
  for (const message of form.querySelectorAll('.problem, .done')) say(message);
  for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
}

// reset empties a form, hides the passwords in it and removes its messages.
export function reset(form) {
  form.reset();
  clear(form);
  for (const button of form.querySelectorAll('.reveal')) reveal(button, false);
}

// succeed empties a form and says what it has done.
export function succeed(form, name, values) {
  reset(form);
  const done = form.querySelector('.done');
  say(done, name, values);
  done.focus();
}

// complain shows why a form has failed, and moves the focus there.
export function complain(form, error, problems, lost = 'noResponse') {
  if (error instanceof Cancelled || error instanceof SessionEnded) return; // the session's listener shows the login form
  if (error instanceof Problem) return report(form, error.message);
  if (!(error instanceof Failure)) {
    report(form, 'defect', { requestID: '–' });
    throw error;
  }
  const reason = [error.code, ...error.parameters].find((name) => Object.hasOwn(problems, name));
  const { field: name, text, values } = problems[reason] ?? {};
  const field = name && form.elements[name];
  if (field) {
    saySomethingAbout(field, text, values);
    field.focus();
  } else if (text) {
    report(form, text, values);
  } else {
    report(form, ...common(error, lost));
  }
}

// common returns the text about a failure that every operation can have, and its values.
function common({ status, retryAfter = 60, requestID }, lost) {
  if (status === 429) return ['tooMany', { retryAfter, at: Date.now() + retryAfter * 1000 }];
  if (status === 503) return ['unavailable'];
  if (isLost({ status })) return [navigator.onLine === false ? 'offline' : lost];
  return ['defect', { requestID }];
}

function report(form, name, values) {
  const problem = form.querySelector('[role=alert]');
  say(problem, name, values);
  problem.focus();
}

function saySomethingAbout(field, name, values) {
  const problem = document.getElementById(`${field.id}-problem`);
  if (!problem) return;
  say(problem, name, values);
  if (name) field.ariaInvalid = 'true';
  else field.removeAttribute('aria-invalid');
}

// prepare adds the elements for messages to a form, and to each password a button that shows it.
function prepare(form) {
  form.noValidate = true; // the messages of browsers are not in the language of the page
  for (const field of form.querySelectorAll('.field input')) {
    const problem = create('p', { className: 'problem', id: `${field.id}-problem` });
    field.parentElement.append(problem);
    field.setAttribute('aria-describedby', [field.getAttribute('aria-describedby'), problem.id].filter(Boolean).join(' '));
    if (field.type === 'password') addReveal(field);
  }
  const button = form.querySelector(':scope > button, :scope > .buttons');
  form.insertBefore(create('p', { className: 'problem', role: 'alert', tabIndex: -1 }), button);
  form.insertBefore(create('p', { className: 'done', role: 'status', tabIndex: -1 }), button);
}

function create(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

// addReveal lets the user see what they type (NIST SP 800-63B-4, section 3.1.1.2).
function addReveal(field) {
  const button = create('button', { type: 'button', className: 'reveal', ariaPressed: 'false' });
  button.setAttribute('aria-controls', field.id);
  button.addEventListener('click', () => reveal(button, button.ariaPressed === 'false'));
  const both = create('div', { className: 'secret' });
  field.replaceWith(both);
  both.append(field, button);
  say(button, 'show');
}

function reveal(button, shown) {
  button.ariaPressed = String(shown);
  document.getElementById(button.getAttribute('aria-controls')).type = shown ? 'text' : 'password';
}
