// The patience of the client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, withRetry, type Patience } from "@financelime/authorization";
import { gateway, type Verdict } from "./gateway.js";
import { url } from "./service.js";

const busy = (headers: Record<string, string> = { "retry-after": "0" }): Verdict => ({ status: 503, headers });

/** Returns a fetch function behind a gateway that has these verdicts, one after the other. */
async function behind(t: Parameters<typeof gateway>[0], verdicts: Verdict[], patience?: Patience) {
  const proxy = await gateway(t, () => verdicts.shift() ?? "forward");
  const fetch = withRetry((request) => globalThis.fetch(request), patience);
  const send = (method: string, path = "/v1/version", init: RequestInit = {}) =>
    fetch(new Request(proxy.url + path, { method, headers: { "request-id": "12345678" }, ...init }));
  return { proxy, send };
}

test("503 is repeated with every method, with the same body and request ID", async (t) => {
  const { proxy, send } = await behind(t, [busy(), busy()]);
  const response = await send("POST", "/v1/user/password", {
    body: JSON.stringify({ email: "nobody@example.com" }),
    headers: { "content-type": "application/json", "request-id": "12345678" },
  });
  assert.equal(response.status, 404); // of the service: it has read the body
  assert.deepEqual(proxy.calls.map((c) => c.headers["request-id"]), Array(3).fill("12345678"));
});

test("a service that stays unavailable gets three requests", async (t) => {
  const { proxy, send } = await behind(t, [busy(), busy(), busy(), busy()]);
  assert.equal((await send("GET")).status, 503);
  assert.equal(proxy.calls.length, 3);
});

test("attempts: 1 repeats nothing", async (t) => {
  const { proxy, send } = await behind(t, [busy(), "drop"], { attempts: 1 });
  assert.equal((await send("GET")).status, 503);
  await assert.rejects(send("GET"), TypeError);
  assert.equal(proxy.calls.length, 2);
});

test("a Retry-After that is longer than maxWait is for the caller", async (t) => {
  const { proxy, send } = await behind(t, [busy({ "retry-after": "11" })]);
  assert.equal((await send("GET")).headers.get("retry-after"), "11");
  assert.equal(proxy.calls.length, 1);
});

test("Retry-After in seconds is waited for", async (t) => {
  const { send } = await behind(t, [busy({ "retry-after": "1" })]);
  const began = performance.now();
  assert.equal((await send("GET")).status, 200);
  assert.ok(performance.now() - began >= 1000);
});

test("Retry-After as a date is compared with the response's Date", async (t) => {
  const date = (second: number) => new Date(Date.UTC(2001, 0, 1, 0, 0, second)).toUTCString(); // the gateway's clock is years behind
  const { proxy, send } = await behind(t, [
    busy({ date: date(0), "retry-after": date(0) }),
    busy({ date: date(0), "retry-after": date(11) }), // longer than maxWait
  ]);
  const response = await send("GET");
  assert.equal(response.status, 503);
  assert.equal(proxy.calls.length, 2);
});

test("a malformed Retry-After means a second", async (t) => {
  for (const value of ["soon", "-5", "1.5"]) {
    const { send } = await behind(t, [busy({ "retry-after": value })]);
    const began = performance.now();
    assert.equal((await send("GET")).status, 200);
    assert.ok(performance.now() - began >= 1000, value);
  }
});

test("a huge Retry-After is for the caller", async (t) => {
  const { proxy, send } = await behind(t, [busy({ "retry-after": "9".repeat(400) })]);
  assert.equal((await send("GET")).status, 503);
  assert.equal(proxy.calls.length, 1);
});

test("other failures are not repeated", async (t) => {
  for (const status of [400, 401, 404, 409, 413, 429, 500]) {
    const { proxy, send } = await behind(t, [{ status, headers: { "retry-after": "0" } }]);
    assert.equal((await send("GET")).status, status);
    assert.equal(proxy.calls.length, 1);
  }
});

test("a network error, and a gateway that got no response, are repeated only where that is safe", async (t) => {
  const page: Verdict = { status: 502, headers: { "content-type": "text/html" }, body: "<h1>Bad Gateway</h1>" };
  for (const method of ["GET", "PUT", "DELETE"]) {
    for (const verdicts of [["drop", "lose"], [page, { status: 504 }]] satisfies Verdict[][]) {
      const { proxy, send } = await behind(t, verdicts);
      assert.notEqual((await send(method)).status, 502);
      assert.equal(proxy.calls.length, 3);
    }
  }
  const lost = await behind(t, [page, page]);
  assert.equal((await lost.send("POST")).status, 502);
  assert.equal((await lost.send("GET", `/u/${"x".repeat(43)}?rid=12345678`)).status, 502);
  assert.equal(lost.proxy.calls.length, 2);
  const { proxy, send } = await behind(t, ["drop", "drop"]);
  await assert.rejects(send("POST"), TypeError);
  await assert.rejects(send("GET", `/u/${"x".repeat(43)}?rid=12345678`), TypeError); // the link may have been used up
  assert.equal(proxy.calls.length, 2);
});

test("an aborted signal ends the wait", async (t) => {
  const { proxy, send } = await behind(t, [busy({ "retry-after": "9" })]);
  const controller = new AbortController();
  const sent = send("GET", "/v1/version", { signal: controller.signal });
  const began = performance.now();
  setTimeout(() => controller.abort(new Error("the user left")), 50);
  await assert.rejects(sent, /the user left/);
  assert.ok(performance.now() - began < 5000);
  assert.equal(proxy.calls.length, 1);
});

test("connect sets a request ID, sends no cookies and follows no redirect", async (t) => {
  const { data, response } = await connect(url).GET("/v1/version");
  assert.ok(data?.number);
  assert.match(response.headers.get("request-id") ?? "", /^[0-9a-f]{32}$/);
  const sent: Request[] = [];
  const api = connect(`${url}/`, {
    fetch: (request) => {
      sent.push(request);
      return fetch(request);
    },
  });
  await api.GET("/v1/version");
  assert.deepEqual(sent.map((r) => [r.url, r.credentials, r.redirect]), [[`${url}/v1/version`, "omit", "error"]]);
  const redirecting = await gateway(t, () => ({ status: 302, headers: { location: url } }));
  await assert.rejects(connect(redirecting.url, { attempts: 1 }).GET("/v1/version"), TypeError);
});
