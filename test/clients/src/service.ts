// The service under test and its mailbox.
import assert from "node:assert/strict";
import { connect, Session, type API, type Fetch, type Tokens, type TokenStore } from "./client.js";

function setting(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} must be set: see clients_test.go`);
  return value;
}

export const url = setting("AUTH_URL");
export const inviteCode = setting("AUTH_INVITE");
const mailbox = setting("AUTH_MAILBOX");

type Mail = { to: string; subject: string; text: string };

/** Waits for the n-th mail to an address and returns its text. */
export async function mail(to: string, n: number): Promise<string> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const mails = (await (await fetch(`${mailbox}/mail.json`)).json()) as Mail[];
    const found = mails.filter((m) => m.to.includes(to)).reverse(); // the newest comes first
    const nth = found[n - 1];
    if (nth) {
      return nth.text;
    }
    await new Promise((resolve) => setTimeout(resolve, 20)); // between two checks
  }
  throw new Error(`no mail number ${n} to ${to}`);
}

/** Returns the link that is alone on a line of a mail. */
export function linkIn(text: string): { confirmationKey: string; rid: string } {
  const link = new URL(/^https?:\/\/\S+\/u\/\S+$/m.exec(text)?.[0] ?? "");
  return { confirmationKey: link.pathname.replace("/u/", ""), rid: link.searchParams.get("rid") ?? "" };
}

/** Returns the password that is alone on a line of a mail. */
export function passwordIn(text: string): string {
  return /^[0-9a-z]{4}(?:-[0-9a-z]{4}){6}$/m.exec(text)?.[0] ?? "";
}

/** Stores tokens in memory. */
export class Memory implements TokenStore {
  constructor(private tokens?: Tokens) {}
  load() {
    return this.tokens;
  }
  save(tokens: Tokens | undefined) {
    this.tokens = tokens;
  }
}

/** A user with a password, and a client that is not logged in. */
export class User {
  readonly email = `u${crypto.randomUUID()}@example.com`;
  readonly api: API = connect(url);
  password = "";
  #mails = 0;

  nextMail(): Promise<string> {
    return mail(this.email, ++this.#mails);
  }

  async join(): Promise<this> {
    const signedUp = await this.api.POST("/v1/user/signup", { body: { email: this.email, inviteCode, language: "en" } });
    assert.equal(signedUp.response.status, 204);
    await this.openLink();
    this.password = passwordIn(await this.nextMail());
    return this;
  }

  async openLink() {
    const { confirmationKey, rid } = linkIn(await this.nextMail());
    const opened = await this.api.GET("/u/{confirmationKey}", {
      params: { path: { confirmationKey }, query: { rid } },
      headers: { accept: "application/json" },
    });
    assert.equal(opened.response.status, 200);
    return opened.data;
  }

  async login(): Promise<Tokens> {
    const { data, error } = await this.api.POST("/v1/oauth/create", {
      body: { email: this.email, password: this.password, clientID: "typescript_v1", device: { platform: "Node" } },
    });
    assert.ok(data, JSON.stringify(error));
    return data;
  }
}

/** Returns a client that is logged in. */
export function loggedIn(tokens: Tokens, next?: Fetch) {
  const store = new Memory(tokens);
  const session = new Session(store, connect(url, next), next);
  return { store, session, api: connect(url, session.fetch) };
}
