// Tokens in a file, for command-line programs and services on Node.
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { TokenStore } from "./store.js";
import { isTokens, type Tokens } from "./tokens.js";

/** How long a process waits for another one's refresh, in milliseconds. After that it refreshes too: the service allows it. */
const lockPatience = 10_000;

/** The age at which a lock file belongs to a process that has died, in milliseconds. No refresh takes that long. */
const lockLifetime = 60_000;

/**
 * Keeps the tokens of one user in a file that only the owner may read and write (mode 0600; on Windows, the permissions of its
 * directory). It is replaced atomically: a crash leaves the old tokens or the new ones. Processes on one machine may share the file;
 * a second file, with the suffix `.lock`, makes their refreshes single-flight. On a network file system without atomic creation of
 * files, the processes may refresh at the same time, and get the same tokens.
 */
export class FileStore implements TokenStore {
  readonly #path: string;

  /** Creates a store in a file. The file and its directory are created when tokens are saved. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Reads the tokens. A missing or damaged file has none; a file that cannot be read is an error. */
  async load(): Promise<Tokens | undefined> {
    try {
      const tokens: unknown = JSON.parse(await readFile(this.#path, "utf8"));
      return isTokens(tokens) ? tokens : undefined;
    } catch (error) {
      if (error instanceof SyntaxError || hasCode(error, "ENOENT")) {
        return undefined;
      }
      throw error;
    }
  }

  /** Replaces the file, or deletes it. */
  async save(tokens: Tokens | undefined): Promise<void> {
    if (!tokens) {
      return rm(this.#path, { force: true });
    }
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const temporary = `${this.#path}.${randomUUID()}`;
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(JSON.stringify(tokens));
        await file.sync(); // before the rename, so that a power failure does not leave an empty file
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** Runs work while no other process that shares the file runs its work. */
  async lock<T>(work: () => Promise<T>): Promise<T> {
    const lock = `${this.#path}.lock`;
    const mine = await acquire(lock);
    try {
      return await work();
    } finally {
      if (mine) {
        await rm(lock, { force: true });
      }
    }
  }
}

/** Creates the lock file, and reports whether it could: not in time, or not in this directory, means false. */
async function acquire(lock: string): Promise<boolean> {
  for (const deadline = performance.now() + lockPatience; performance.now() < deadline; ) {
    try {
      await (await open(lock, "wx", 0o600)).close();
      return true;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) {
        return false; // a read-only directory: save reports it
      }
    }
    await removeAbandoned(lock);
    await delay(20); // between two attempts
  }
  return false;
}

/** Removes the lock of a process that has died. Two processes may then both get the lock, which costs one more refresh. */
async function removeAbandoned(lock: string): Promise<void> {
  try {
    const age = Date.now() - (await stat(lock)).mtimeMs;
    if (Math.abs(age) > lockLifetime) { // negative: somebody has set the clock back
      await rm(lock, { force: true });
    }
  } catch (error) {
    if (!hasCode(error, "ENOENT")) {
      throw error;
    }
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
