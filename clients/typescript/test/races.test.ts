// What happens while tokens are being stored, and what a session does not let happen.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MemoryStore, RefreshError, Session, type EndReason, type Tokens } from "@financelime/authorization";
import { gateway, type Verdict } from "./gateway.js";
import { expired, url, User } from "./service.js";

const user = new User();
before(() => user.join());

/** Returns a promise and what settles it. */
function signal() {
  let give = () => {};
  return { given: new Promise<void>((resolve) => (give = resolve)), give };
}

/** A store that takes its time to save the next tokens, like a file or the database of a BFF. */
class SlowStore extends MemoryStore {
  readonly saving = signal();
  readonly release = signal();
  slow = true;

  override async save(tokens: Tokens | undefined): Promise<void> {
    if (this.slow) {
      this.slow = false;
      this.saving.give();
      await this.release.given;
    }
    super.save(tokens);
  }
}

test("a logout while refreshed tokens are being stored is final", async () => {
  const { tokens } = await user.logIn();
  const store = new SlowStore(expired(tokens));
  const session = new Session(url, { store });
  const ends: EndReason[] = [];
  session.onEnd((reason) => ends.push(reason));
  const refreshed = session.refresh();
  await store.saving.given;
  const loggedOut = session.logOut();
  store.release.give();
  await refreshed;
  assert.ok((await loggedOut).ok);
  assert.equal(await session.tokens(), undefined);
  assert.deepEqual([ends, session.state], [["loggedOut"], "loggedOut"]);
  const list = await (await user.logIn()).auth.sessions();
  assert.ok(list.ok && !list.data.some((s) => s.sessionID === tokens.sessionID));
});

test("a login while refreshed tokens of an older session are being stored is not overwritten", async () => {
  const { tokens: older } = await user.logIn();
  const { tokens: newer } = await user.logIn();
  const store = new SlowStore(expired(older));
  const session = new Session(url, { store });
  const refreshed = session.refresh();
  await store.saving.given;
  const started = session.start(newer);
  store.release.give();
  await Promise.all([refreshed, started]);
  assert.equal((await session.tokens())?.sessionID, newer.sessionID);
});

test("refreshed tokens survive a store that fails for longer than the service repeats them", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, () => "forward");
  let full = true;
  const store = new (class extends MemoryStore {
    override save(saved: Tokens | undefined): void {
      if (full) {
        throw new Error("the disk is full");
      }
      super.save(saved);
    }
  })(expired(tokens));
  const session = new Session(proxy.url, { store });
  await assert.rejects(session.refresh(), /the disk is full/);
  await assert.rejects(session.refresh(), /the disk is full/);
  full = false;
  const renewed = await session.refresh();
  assert.ok(renewed && renewed.refreshToken !== tokens.refreshToken);
  assert.deepEqual(store.load(), renewed);
  assert.equal(proxy.count("/v1/oauth/refresh"), 1); // another one could be too late
  assert.equal((await session.refresh())?.sessionID, tokens.sessionID);
  assert.equal(proxy.count("/v1/oauth/refresh"), 2);
});

for (const [name, status, age] of [["after a 401", 401, undefined], ["before a call", 200, 599_000]] as const) {
  test(`a request of one session is not sent with the tokens of the next: a login during the refresh ${name}`, async (t) => {
    const { tokens: older } = await user.logIn();
    const { tokens: newer } = await user.logIn();
    const api = await gateway(t, () => ({ status }));
    const [refreshing, release] = [signal(), signal()];
    const proxy = await gateway(t, async (): Promise<Verdict> => {
      refreshing.give();
      await release.given;
      return "forward";
    });
    const stale = age ? { ...older, receivedAt: Date.now() - age } : expired(older);
    const session = new Session(proxy.url, { store: new MemoryStore(stale), origins: [api.url] });
    const response = session.fetch(`${api.url}/orders`, { method: "POST", body: "1 chair" });
    await refreshing.given;
    await session.start(newer);
    release.give();
    assert.equal((await response).status, status);
    assert.deepEqual(api.calls.map((c) => c.headers.authorization), [`Bearer ${stale.accessToken}`]);
  });
}

test("a listener that throws stops neither a logout nor other listeners", async (t) => {
  const { session, tokens } = await user.logIn();
  const reported: unknown[] = [];
  const queue = globalThis.queueMicrotask;
  t.mock.method(globalThis, "queueMicrotask", (work: () => void) =>
    queue(() => {
      try {
        work();
      } catch (error) {
        reported.push(error); // otherwise it is an uncaught exception, as in a listener of an EventTarget
      }
    }),
  );
  const defect = new Error("a defect of the page");
  session.onEnd(() => {
    throw defect;
  });
  const ends: EndReason[] = [];
  session.onEnd((reason) => ends.push(reason));
  assert.ok((await session.logOut()).ok);
  assert.deepEqual([ends, reported], [["loggedOut"], [defect]]);
  const list = await (await user.logIn()).auth.sessions();
  assert.ok(list.ok && !list.data.some((s) => s.sessionID === tokens.sessionID));
});

test("a refresh whose response a gateway has lost is repeated soon: later it would end the session", async (t) => {
  for (const status of [502, 504]) {
    const { tokens } = await user.logIn();
    let losing = true;
    const proxy = await gateway(t, async (call): Promise<Verdict> => {
      if (!losing) {
        return "forward";
      }
      losing = false;
      const headers = { "content-type": "application/json", "request-id": String(call.headers["request-id"]) };
      const body = JSON.stringify({ refreshToken: tokens.refreshToken });
      assert.equal((await fetch(url + call.path, { method: "PUT", headers, body })).status, 200);
      return { status, headers: { "content-type": "text/html" }, body: "<h1>Bad Gateway</h1>" };
    });
    const renewed = await new Session(proxy.url, { store: new MemoryStore(tokens) }).refresh();
    assert.ok(renewed && renewed.refreshToken !== tokens.refreshToken);
    assert.equal(proxy.calls.length, 2);
  }
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, () => ({ status: 502 }));
  await assert.rejects(new Session(proxy.url, { store: new MemoryStore(tokens) }).refresh(), RefreshError);
  assert.equal(proxy.calls.length, 3);
});
