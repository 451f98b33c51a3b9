// Where tokens go, and what is sent again: against real servers, the own services of a team and foreign ones.
import assert from "node:assert/strict";
import { before, test, type TestContext } from "node:test";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BrowserStore, MemoryStore, Session, type Tokens } from "@financelime/authorization";
import { gateway } from "./gateway.js";
import { client, expired, inviteCode, url, User } from "./service.js";

const user = new User();
let tokens: Tokens;
before(async () => {
  ({ tokens } = await (await user.join()).logIn());
});

/** Starts a server that records the authorization headers and bodies that it gets. */
async function server(t: TestContext, respond: (request: IncomingMessage, response: ServerResponse) => void) {
  const seen: { authorization: string | undefined; body: string }[] = [];
  const listening = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) {
      body += chunk as string;
    }
    seen.push({ authorization: request.headers.authorization, body });
    respond(request, response);
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    listening.close();
    listening.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}`, seen };
}

/** Responds with 401 to an expired access token. */
const guarded = (request: IncomingMessage, response: ServerResponse) => {
  response.writeHead(request.headers.authorization === "Bearer expired" ? 401 : 200).end();
};

test("a token goes to the listed origins only", async (t) => {
  const own = await server(t, guarded);
  const foreign = await server(t, guarded);
  const session = new Session(url, { store: new MemoryStore(tokens), origins: [own.url] });
  assert.equal((await session.fetch(`${own.url}/orders`)).status, 200);
  assert.deepEqual(own.seen.map((s) => s.authorization), [`Bearer ${tokens.accessToken}`]);
  for (const address of [
    foreign.url,
    own.url.replace("127.0.0.1", "localhost"), // another host
    own.url.replace("http:", "https:"), // another scheme
    own.url.replace("http://", `http://${new URL(own.url).host}@`).replace(/:\d+$/, ":1"), // another port, and a user that looks like a host
    "data:text/plain,x",
  ]) {
    await assert.rejects(session.fetch(address), { name: "TypeError" }, address);
  }
  assert.deepEqual(foreign.seen, []);
  assert.equal(own.seen.length, 1);
});

test("origins must be origins", () => {
  for (const origin of ["https://api.example.com/v1", "https://*.example.com/x", "*", "api.example.com", "capacitor://localhost", ""]) {
    assert.throws(() => new Session(url, { origins: [origin] }), TypeError, origin);
  }
  new Session(url, { origins: ["https://api.example.com", "https://api.example.com/", "http://localhost:3000"] });
});

test("no token and no body crosses a redirect", async (t) => {
  const foreign = await server(t, guarded);
  const own = await server(t, (_, response) => response.writeHead(307, { location: foreign.url }).end());
  const store = new MemoryStore(tokens);
  const session = new Session(url, { store, origins: [own.url] });
  await assert.rejects(session.fetch(`${own.url}/orders`, { method: "POST", body: "secret" }), TypeError);
  const manual = await session.fetch(`${own.url}/orders`, { redirect: "manual" });
  assert.equal(manual.status, 307);

  const auth = client({ baseUrl: own.url, attempts: 1 }); // the service behind a gateway that redirects
  const login = await auth.logIn({ email: user.email, password: user.password });
  assert.equal(!login.ok && login.failure.status, "network");
  await assert.rejects(new Session(own.url, { store, attempts: 1 }).refresh(), { name: "RefreshError" });
  assert.deepEqual(foreign.seen, []);
  assert.deepEqual(store.load(), tokens);
});

test("bodies are sent again after a 401", async (t) => {
  const own = await server(t, guarded);
  const { tokens } = await user.logIn();
  for (const [body, text] of [
    ["text", "text"],
    [new URLSearchParams({ a: "b" }), "a=b"],
    [new Blob(["blob"]), "blob"],
    [new TextEncoder().encode("bytes"), "bytes"],
  ] as const) {
    const store = new MemoryStore(expired((await user.logIn()).tokens));
    const session = new Session(url, { store, origins: [own.url] });
    own.seen.length = 0;
    assert.equal((await session.fetch(own.url, { method: "POST", body })).status, 200);
    assert.deepEqual(own.seen.map((s) => s.body), [text, text]);
    own.seen.length = 0;
    store.save(expired(store.load()!));
    assert.equal((await session.fetch(new Request(own.url, { method: "POST", body }))).status, 200);
    assert.deepEqual(own.seen.map((s) => s.body), [text, text]);
  }
  assert.ok(tokens);
});

test("a stream is sent once: the tokens are refreshed, and the 401 is returned", async (t) => {
  const own = await server(t, guarded);
  const store = new MemoryStore(expired((await user.logIn()).tokens));
  const session = new Session(url, { store, origins: [own.url] });
  const stream = () => new Blob(["stream"]).stream();
  const send = () => session.fetch(own.url, { method: "POST", body: stream(), duplex: "half" } as RequestInit);
  assert.equal((await send()).status, 401);
  assert.notEqual(store.load()?.accessToken, "expired");
  assert.equal((await send()).status, 200);
  assert.deepEqual(own.seen.map((s) => s.body), ["stream", "stream"]);
});

test("own services get no repetition after 503, and an own service that always responds with 401 gets two requests", async (t) => {
  const busy = await server(t, (_, response) => response.writeHead(503, { "retry-after": "0" }).end());
  const broken = await server(t, (_, response) => response.writeHead(401).end());
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, () => "forward");
  const session = new Session(proxy.url, { store: new MemoryStore(tokens), origins: [busy.url, broken.url] });
  assert.equal((await session.fetch(busy.url, { method: "POST" })).status, 503);
  assert.equal(busy.seen.length, 1);
  assert.equal((await session.fetch(broken.url)).status, 401);
  assert.equal(broken.seen.length, 2);
  assert.equal(proxy.count("/v1/oauth/refresh"), 1);
});

test("every failure of the service is told apart", async () => {
  const auth = client();
  const of = async (call: Promise<{ ok: boolean; failure?: { status: unknown; message: string } }>) => {
    const result = await call;
    return !result.ok && [result.failure?.status, result.failure?.message];
  };
  const body = { email: user.email, inviteCode, language: "en" };
  assert.deepEqual(await of(auth.signUp(body)), [409, "USER_ALREADY_EXIST"]);
  assert.deepEqual(await of(auth.signUp({ ...body, inviteCode: "no-such-code" })), [404, "INVITE_NOT_FOUND"]);
  assert.deepEqual(await of(auth.signUp({ ...body, language: "x".repeat(20_000) })), [413, "413 Request Entity Too Large"]);
  assert.deepEqual(await of(auth.resetPassword("nobody@example.com")), [404, "USER_NOT_FOUND"]);
  assert.deepEqual(await of(auth.logIn({ email: user.email, password: "wrong" })), [404, "USER_NOT_FOUND"]);
  assert.deepEqual(await of(auth.sessions()), [401, "401 Unauthorized"]);
  assert.deepEqual(await of(auth.endSession("any")), [401, "401 Unauthorized"]);
  const bad = await auth.signUp({ ...body, language: "xx", email: "nobody" });
  assert.ok(!bad.ok && bad.failure.status === 400);
  assert.deepEqual([...bad.failure.parameters].sort(), ["email", "language"]);
  assert.match(bad.failure.requestID ?? "", /^[0-9a-f]{32}$/);
});

test("what is no response of the service is a failure of its own", async (t) => {
  const cases: [number, string, Record<string, string>, unknown][] = [
    [502, "<h1>Bad Gateway</h1>", {}, ["undocumented", "UNDOCUMENTED", 502]],
    [200, "<h1>Captive portal</h1>", {}, ["undocumented", "UNDOCUMENTED", 0]],
    [200, "{}", { "content-type": "application/json" }, ["undocumented", "UNDOCUMENTED", 200]],
    [409, '{"code":409,"message":"A_NEW_CODE"}', {}, ["undocumented", "UNDOCUMENTED", 409]],
    [409, '{"code":409,"message":"constructor"}', {}, ["undocumented", "UNDOCUMENTED", 409]],
    [404, "null", {}, ["undocumented", "UNDOCUMENTED", 404]],
    [429, "Slow down", { "retry-after": "7" }, [429, "429 Too Many Requests", undefined]],
    [503, "", { "retry-after": "999" }, [503, "503 Service Unavailable", undefined]],
  ];
  for (const [status, body, headers, want] of cases) {
    const broken = await gateway(t, () => ({ status, body, headers }));
    const result = await client({ baseUrl: broken.url }).logIn({ email: "a@example.com", password: "x" });
    assert.ok(!result.ok);
    const { failure } = result;
    assert.deepEqual([failure.status, failure.message, "httpStatus" in failure ? failure.httpStatus : undefined], want);
    if (headers["retry-after"]) {
      assert.equal("retryAfter" in failure && failure.retryAfter, Number(headers["retry-after"]));
    }
  }
  const nobody = await client({ baseUrl: "http://127.0.0.1:1", attempts: 1 }).resetPassword("a@example.com");
  assert.ok(!nobody.ok && nobody.failure.status === "network" && nobody.failure.cause instanceof TypeError);
  await assert.rejects(client().resetPassword("a@example.com", { signal: AbortSignal.abort(new Error("the user left")) }), /the user left/);
});

test("on a server there is no window: no tokens, and a login cannot be shared by all users", async () => {
  const store = new BrowserStore();
  assert.equal(store.load(), undefined);
  const session = new Session(url, { store });
  session.subscribe(() => assert.fail("nobody logs in"))();
  assert.equal(await session.tokens(), undefined);
  await assert.rejects(session.start(tokens), /no window/);
  assert.equal(store.load(), undefined);
});
