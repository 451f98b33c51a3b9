// What must never happen on a page of ours, whatever a test is about.
import assert from 'node:assert/strict';

// Watch records everything that is amiss in a browser window: errors and warnings on the console (a violation of the content
// security policy is one), uncaught errors, requests to hosts that are not ours, requests that fail or are refused.
export class Watch {
  #complaints = [];
  #allowed = [];

  constructor(context, ours) {
    const origins = ours.map((url) => new URL(url).origin);
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        this.#complain(message.location().url, `${message.type()} on the console: ${message.text()}`);
      }
    });
    context.on('weberror', (error) => this.#complain(error.page()?.url(), `uncaught: ${error.error()}`));
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol !== 'data:' && !origins.includes(url.origin)) this.#complain(request.url(), 'a request to a foreign host');
    });
    context.on('requestfailed', (request) => this.#complain(request.url(), `failed: ${request.failure()?.errorText}`));
    context.on('response', (response) => {
      if (response.status() >= 400) this.#complain(response.url(), `answered ${response.status()}`);
    });
  }

  #complain(url, what) {
    this.#complaints.push({ url, what });
  }

  // allowFailure says that an address is meant to be refused: Chromium tells the console about it.
  allowFailure(url) {
    this.#allowed.push(url);
  }

  // forgive forgets what was seen so far.
  forgive() {
    this.#complaints = [];
  }

  get complaints() {
    return this.#complaints.filter(({ url }) => !this.#allowed.includes(url)).map(({ url, what }) => `${what} (${url})`);
  }

  assertNothingAmiss() {
    assert.deepEqual(this.complaints, [], 'something was amiss on a page');
  }
}
