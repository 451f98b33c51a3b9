// Tells the user interface who is logged in.
import type { TokenStore } from "./store.js";
import type { Tokens } from "./tokens.js";

/** Why a session ended. */
export type EndReason = "ended" | "loggedOut" | "elsewhere";

/** Whether somebody is logged in. */
export type SessionState = "unknown" | "loggedIn" | "loggedOut";

/** The listeners of a session, and what they were told last. The store is watched only while there are listeners. */
export class Watchers {
  readonly #store: TokenStore;
  readonly #listeners = new Set<{ tell: (reason?: EndReason) => unknown }>();
  #sessionID: string | undefined | null = null; // null: not known yet
  #unsubscribe: (() => void) | undefined;

  constructor(store: TokenStore) {
    this.#store = store;
  }

  get state(): SessionState {
    return this.#sessionID === null ? "unknown" : this.#sessionID ? "loggedIn" : "loggedOut";
  }

  /** Notes the tokens of the store, and tells the listeners if another session, or none, has taken the place of the last one. */
  saw(tokens: Tokens | undefined, reason: EndReason): void {
    const before = this.#sessionID;
    const after = tokens?.sessionID;
    if (after === before) {
      return;
    }
    this.#sessionID = after;
    for (const listener of this.#listeners) {
      // What a listener throws is an uncaught exception, as of an event listener: it must not stop a logout or a request.
      queueMicrotask(() => this.#listeners.has(listener) && listener.tell(before && !after ? reason : undefined));
    }
  }

  /** Adds a listener, and returns a function that removes it. */
  add(tell: (reason?: EndReason) => unknown): () => void {
    const listener = { tell };
    this.#listeners.add(listener);
    const read = async () => this.saw(await this.#store.load(), "elsewhere");
    const look = () => void read().catch(() => {}); // the next call that needs the tokens reports the error
    this.#unsubscribe ??= this.#store.subscribe?.(look);
    look();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) {
        this.#unsubscribe?.();
        this.#unsubscribe = undefined;
      }
    };
  }
}
