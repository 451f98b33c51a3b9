// The service under test, its mailbox, and users. test/clients/typescript_test.go starts the service.
import assert from "node:assert/strict";
import { Auth, connect, MemoryStore, type AuthOptions, type Tokens } from "@financelime/authorization";

function setting(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} must be set: run these tests with "make test-clients"`);
  return value;
}

export const url = setting("AUTH_URL");
export const inviteCode = setting("AUTH_INVITE");
const mailbox = setting("AUTH_MAILBOX");
const aging = setting("AUTH_AGING");

/** Polls until a condition holds. */
export async function until<T>(what: string, condition: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const value = await condition();
    if (value) {
      return value;
    }
    await new Promise((resolve) => setTimeout(resolve, 20)); // between two checks
  }
  throw new Error(`not within a minute: ${what}`);
}

/** A user of the service with a password, and the mails to them. */
export class User {
  readonly email = `u${crypto.randomUUID()}@example.com`;
  password = "";
  #mails = 0;

  /** Waits for the next mail to the user and returns its text. */
  nextMail(): Promise<string> {
    const n = this.#mails++;
    return until(`mail ${n} to ${this.email}`, async () => {
      const mails = (await (await fetch(`${mailbox}/mail.json`)).json()) as { to: string; text: string }[];
      return mails.filter((mail) => mail.to.includes(this.email)).reverse()[n]?.text; // the newest comes first
    });
  }

  /** Opens the link of the next mail and returns what the service says. */
  async openLink() {
    const link = new URL(/^https?:\/\/\S+\/u\/\S+$/m.exec(await this.nextMail())?.[0] ?? "");
    const { data, response } = await connect(url).GET("/u/{confirmationKey}", {
      params: { path: { confirmationKey: link.pathname.replace("/u/", "") }, query: { rid: link.searchParams.get("rid") ?? "" } },
    });
    assert.equal(response.status, 200);
    return data;
  }

  /** Takes the password from the next mail. */
  async readPassword(): Promise<void> {
    this.password = /^[0-9a-z]{4}(?:-[0-9a-z]{4}){6}$/m.exec(await this.nextMail())?.[0] ?? "";
  }

  /** Signs up. */
  async join(): Promise<this> {
    const joined = await client().signUp({ email: this.email, inviteCode, language: "en" });
    assert.ok(joined.ok, JSON.stringify(joined));
    await this.openLink();
    await this.readPassword();
    return this;
  }

  /** Logs in with a new client, and returns it with its store and the tokens of the login. */
  async logIn(options: Partial<AuthOptions> & { baseUrl?: string } = {}) {
    const store = options.store ?? new MemoryStore();
    const auth = client({ ...options, store });
    const result = await auth.logIn(this);
    assert.ok(result.ok, JSON.stringify(result));
    return { auth, session: auth.session, store, tokens: (await store.load())! };
  }
}

/** Makes the last authentication of every session of the service old, as if the users had been away. */
export async function ageAuthentications(): Promise<void> {
  assert.equal((await fetch(aging, { method: "POST" })).status, 204);
}

/** Returns a client that is not logged in. */
export function client({ baseUrl = url, ...options }: Partial<AuthOptions> & { baseUrl?: string } = {}): Auth {
  return new Auth(baseUrl, { clientID: "typescript_v1", ...options });
}

/** Returns tokens whose access token the service rejects as if it had expired, and whose age is not known. */
export function expired({ sessionID, refreshToken }: Tokens): Tokens {
  return { sessionID, refreshToken, accessToken: "expired" };
}
