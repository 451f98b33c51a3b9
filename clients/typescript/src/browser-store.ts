// Tokens that all tabs of an origin share.
import type { TokenStore } from "./store.js";
import { isTokens, type Tokens } from "./tokens.js";

/** How long a tab waits for another tab's refresh, in milliseconds. That tab may be suspended, and then keeps the lock. */
const lockPatience = 10_000;

/**
 * Keeps tokens in localStorage, which the tabs of an origin share, also after a restart of the browser. Any script on the page can
 * read them: docs/browsers.md compares this with memory and with a BFF.
 *
 * - Web Locks make refreshes single-flight across tabs. Where there are none (a page without TLS, Safari before 15.4), each tab may
 *   send its own refresh, and gets the same tokens.
 * - If storage is blocked or full, the tokens stay in the memory of this tab.
 * - Damaged content counts as no tokens.
 * - Without a window (rendering on a server) there are no tokens, and `save` throws: one store would serve all users.
 */
export class BrowserStore implements TokenStore {
  readonly #key: string;
  #fallback: Tokens | undefined; // what could not be stored

  /** Creates a store. Stores with the same key share their tokens; use one key for each service. */
  constructor(key = "financelime-authorization") {
    this.#key = key;
  }

  /** Returns the tokens that any tab has stored last. */
  load(): Tokens | undefined {
    try {
      const tokens: unknown = JSON.parse(window.localStorage.getItem(this.#key) ?? "null");
      if (isTokens(tokens)) {
        return tokens;
      }
    } catch {
      // blocked, damaged, or no window
    }
    return this.#fallback;
  }

  /** Stores the tokens for all tabs. */
  save(tokens: Tokens | undefined): void {
    if (typeof window === "undefined") {
      throw new Error("BrowserStore: no window");
    }
    this.#fallback = undefined;
    try {
      if (tokens) {
        return window.localStorage.setItem(this.#key, JSON.stringify(tokens));
      }
    } catch {
      this.#fallback = tokens; // blocked or full
    }
    try {
      window.localStorage.removeItem(this.#key); // also if storage is full: no tab may find the old tokens and use them again
    } catch {
      // blocked: there is nothing to delete
    }
  }

  /**
   * Runs work while no other tab runs its work, if the browser has Web Locks. After another tab it waits for that tab's tokens,
   * at most 250 ms: browsers copy localStorage from process to process later than they pass a lock on.
   */
  async lock<T>(work: () => Promise<T>): Promise<T> {
    const before = this.load()?.accessToken;
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), lockPatience);
    let mine = false;
    try {
      const { locks } = navigator;
      const result = await locks.request(this.#key, { ifAvailable: true }, async (lock) => lock && { value: await ((mine = true), work()) });
      return result
        ? result.value
        : await locks.request(this.#key, { signal: waiting.signal }, async () => {
            mine = true;
            for (let i = 0; i++ < 25 && this.load()?.accessToken === before; ) {
              await new Promise((resolve) => setTimeout(resolve, 10)); // between two checks
            }
            return work();
          });
    } catch (error) {
      if (mine) {
        throw error; // of work
      }
      return work(); // no locks, or not in time
    } finally {
      clearTimeout(timer);
    }
  }

  /** Calls listener when another tab has changed the tokens, and when the page returns from the back/forward cache. */
  subscribe(listener: () => void): () => void {
    if (typeof window === "undefined") {
      return () => {};
    }
    const changed = ({ key }: StorageEvent) => {
      if (key === this.#key || key === null) {
        listener(); // null: everything was deleted
      }
    };
    addEventListener("storage", changed);
    addEventListener("pageshow", listener); // a page in the cache gets no storage events
    return () => {
      removeEventListener("storage", changed);
      removeEventListener("pageshow", listener);
    };
  }
}
