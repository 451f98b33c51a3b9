// Finds what must never happen on a page, whatever a test is about.
import assert from 'node:assert/strict';

// Watch records every problem in a browser window: errors and warnings on the console, including violations of the content security
// policy, uncaught errors, requests to other hosts, and requests that fail or get an error status.
export class Watch {
  #problems = [];
  #allowed = [];
  #origins;

  constructor(context, ours) {
    this.#origins = ours.map((url) => new URL(url).origin);
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) {
        this.#report(message.location().url, `${message.type()} on the console: ${message.text()}`);
      }
    });
    context.on('weberror', (error) => this.#report(error.page()?.url(), `uncaught: ${error.error()}`));
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol !== 'data:' && !this.#origins.includes(url.origin)) this.#report(request.url(), 'a request to a foreign host');
    });
    context.on('requestfailed', (request) => this.#report(request.url(), `failed: ${request.failure()?.errorText}`));
    context.on('response', (response) => {
      if (response.status() >= 400) this.#report(response.url(), `answered ${response.status()}`);
    });
  }

  #report(url, what) {
    this.#problems.push({ url, what });
  }

  // allowOrigin says that the test has one more origin.
  allowOrigin(url) {
    this.#origins.push(new URL(url).origin);
  }

  // allowFailure ignores problems with an address that is expected to fail: Chromium writes them to the console.
  allowFailure(url) {
    this.#allowed.push(url);
  }

  // discard discards the problems so far.
  discard() {
    this.#problems = [];
  }

  get problems() {
    return this.#problems.filter(({ url }) => !this.#allowed.includes(url)).map(({ url, what }) => `${what} (${url})`);
  }

  assertNoProblems() {
    assert.deepEqual(this.problems, [], 'problems on a page');
  }
}
