// Changes of the password and step-ups at the same time as refreshes, logins and logouts.
import assert from "node:assert/strict";
import { before, test, type TestContext } from "node:test";
import { MemoryStore, Session, type Tokens } from "@financelime/authorization";
import { gateway, type Call, type Verdict } from "./gateway.js";
import { client, url, User } from "./service.js";

const user = new User();
before(() => user.join());

const passwordPath = "/v1/user/password";
const refreshPath = "/v1/oauth/refresh";
const stepUpPath = "/v1/oauth/step_up";

/** Starts a gateway that holds the first request of a path until `release` is called, after `arrived`. */
async function holding(t: TestContext, path: string) {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let arrive = () => {};
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  let first = true;
  const proxy = await gateway(t, async (call: Call): Promise<Verdict> => {
    if (call.path === path && first) {
      first = false;
      arrive();
      await held;
    }
    return "forward";
  });
  return { ...proxy, arrived, release };
}

/** A store that several sessions share, with a lock, like BrowserStore. */
class SharedStore extends MemoryStore {
  #turn: Promise<unknown> = Promise.resolve();

  lock<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

for (const [first, path] of [["refresh", refreshPath], ["stepUp", stepUpPath]] as const) {
  for (const sharing of ["one session", "two tabs"]) {
    test(`a step-up and a refresh at the same time, the ${first} first, in ${sharing}: both are kept`, async (t) => {
      const { tokens } = await user.logIn();
      const proxy = await holding(t, path);
      const store = new SharedStore(tokens);
      const auth = client({ baseUrl: proxy.url, store });
      const other = sharing === "one session" ? auth.session : new Session(proxy.url, { store });
      const calls = { refresh: () => other.refresh(), stepUp: () => auth.stepUp(user.password) };
      const one = calls[first]();
      await proxy.arrived;
      const two = calls[first === "refresh" ? "stepUp" : "refresh"]();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(proxy.calls.length, 1); // the second waits for the first
      proxy.release();
      await Promise.all([one, two]);
      assert.deepEqual(proxy.calls.map((call) => call.path), first === "refresh" ? [refreshPath, stepUpPath] : [stepUpPath, refreshPath]);
      const proven = await (first === "stepUp" ? one : two);
      assert.ok(proven && "ok" in proven && proven.ok, JSON.stringify(proven));
      const stored = store.load();
      assert.notEqual(stored?.refreshToken, tokens.refreshToken);
      assert.equal(stored?.accessToken === proven.data.accessToken, first === "refresh"); // otherwise the refreshed one is newer
      const claims = JSON.parse(Buffer.from(stored?.accessToken.split(".")[1] ?? "", "base64url").toString()) as { auth_time: number };
      assert.equal(claims.auth_time, Math.floor(Date.parse(proven.data.authenticatedAt) / 1000));
      assert.ok((await auth.sessions()).ok);
      assert.equal((await auth.session.refresh())?.sessionID, tokens.sessionID);
    });
  }
}

test("a change of the password and a refresh at the same time leave the newest tokens, ten times", async (t) => {
  const person = await new User().join();
  const { store, tokens } = await person.logIn();
  const proxy = await gateway(t, () => "forward");
  const auth = client({ baseUrl: proxy.url, store });
  for (let i = 0; i < 10; i++) {
    const chosen = `seven green boats at noon ${i}`;
    const both = [() => auth.changePassword(person.password, chosen), () => auth.session.refresh()];
    const results = await Promise.all((i % 2 ? both : both.reverse()).map((call) => call()));
    assert.ok(results.some((result) => result && "ok" in result && result.ok), JSON.stringify(results));
    person.password = chosen;
    assert.equal((await auth.session.refresh())?.sessionID, tokens.sessionID);
  }
});

for (const path of [passwordPath, stepUpPath]) {
  const call = (auth: ReturnType<typeof client>, password: string) =>
    path === stepUpPath ? auth.stepUp(password) : auth.changePassword(password, "seven green boats at noon");

  test(`a logout while ${path} is under way is final`, async (t) => {
    const person = await new User().join();
    const { store, tokens } = await person.logIn();
    const proxy = await holding(t, path);
    const auth = client({ baseUrl: proxy.url, store });
    const result = call(auth, person.password);
    await proxy.arrived;
    assert.ok((await auth.logOut()).ok);
    proxy.release();
    assert.equal((await result).ok, false);
    assert.equal(await store.load(), undefined);
    const { session } = client({ store: new MemoryStore(tokens) });
    assert.equal(await session.refresh(), undefined);
  });

  test(`a login while ${path} is under way is not overwritten`, async (t) => {
    const person = await new User().join();
    const { store } = await person.logIn();
    const { tokens: newer } = await user.logIn();
    const proxy = await holding(t, path);
    const auth = client({ baseUrl: proxy.url, store });
    const result = call(auth, person.password);
    await proxy.arrived;
    await auth.session.start(newer);
    proxy.release();
    assert.ok((await result).ok);
    assert.equal((await store.load())?.accessToken, newer.accessToken);
  });
}

test("tokens that a change of the password could not store are stored by the next refresh", async () => {
  const person = await new User().join();
  const { tokens } = await person.logIn();
  let full = true;
  const store = new (class extends MemoryStore {
    override save(saved: Tokens | undefined): void {
      if (full) {
        throw new Error("the disk is full");
      }
      super.save(saved);
    }
  })(tokens);
  const auth = client({ store });
  await assert.rejects(auth.changePassword(person.password, "seven green boats at noon"), /the disk is full/);
  assert.equal(store.load()?.refreshToken, tokens.refreshToken);
  full = false;
  const renewed = await auth.session.refresh();
  assert.notEqual(renewed?.refreshToken, tokens.refreshToken);
  assert.deepEqual(store.load(), renewed);
  assert.equal((await auth.session.refresh())?.sessionID, tokens.sessionID);
  assert.equal(new Session(url).state, "unknown");
});
