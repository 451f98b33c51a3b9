// Where a session keeps its tokens.
import type { Tokens } from "./tokens.js";

/**
 * Storage of the tokens of one session. Every method may be synchronous or asynchronous, so a team can write its own: for the
 * sessions of a BFF, or for the keychain of a phone.
 */
export interface TokenStore {
  /** Returns the newest tokens, or `undefined` if there are none or they are damaged. */
  load(): Tokens | undefined | PromiseLike<Tokens | undefined>;

  /**
   * Replaces the tokens; `undefined` deletes them. When it returns, `load` must return them, also in other tabs and processes.
   * If it cannot store the tokens, it must throw: the session then does not use them, and asks the service for them again.
   */
  save(tokens: Tokens | undefined): void | PromiseLike<void>;

  /**
   * Runs work, which asks for new tokens and saves them, while no other tab or process that shares the store runs its work. It may
   * give up waiting after some seconds and run the work anyway: the service gives concurrent refreshes with the same token the same
   * new tokens. Without this method, refreshes are single-flight in one `Session` only.
   */
  lock?<T>(work: () => Promise<T>): Promise<T>;

  /** Calls listener when another tab or process may have changed the tokens. Returns a function that ends this. */
  subscribe?(listener: () => void): () => void;
}

/** Keeps tokens in memory: they are gone when the page is reloaded or the process ends. */
export class MemoryStore implements TokenStore {
  #tokens: Tokens | undefined;

  /** Creates a store, by default an empty one. */
  constructor(tokens?: Tokens) {
    this.#tokens = tokens;
  }

  /** Returns the tokens. */
  load(): Tokens | undefined {
    return this.#tokens;
  }

  /** Replaces or deletes the tokens. */
  save(tokens: Tokens | undefined): void {
    this.#tokens = tokens;
  }
}
