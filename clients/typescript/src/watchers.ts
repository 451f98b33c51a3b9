// Tells the user interface who is logged in.
import type { EndReason, SessionState } from "./session.js";
import type { TokenStore } from "./store.js";
import type { Tokens } from "./tokens.js";

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
    for (const { tell } of [...this.#listeners]) {
      tell(before && !after ? reason : undefined);
    }
  }

  /** Adds a listener, and returns a function that removes it. */
  add(tell: (reason?: EndReason) => unknown): () => void {
    const listener = { tell };
    this.#listeners.add(listener);
    const look = async () => {
      try {
        this.saw(await this.#store.load(), "elsewhere");
      } catch {
        // The next call that needs the tokens reports it.
      }
    };
    this.#unsubscribe ??= this.#store.subscribe?.(() => void look());
    void look();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) {
        this.#unsubscribe?.();
        this.#unsubscribe = undefined;
      }
    };
  }
}
