// FileStore, with files and processes, and BrowserStore without a browser. test/browser has the rest.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { Session, type Tokens } from "@financelime/authorization";
import { FileStore } from "@financelime/authorization/node";
import { gateway } from "./gateway.js";
import { expired, User } from "./service.js";

const run = promisify(execFile);
const tokens: Tokens = { sessionID: "s", accessToken: "a", refreshToken: "r", expiresIn: 600, receivedAt: 1 };
const user = new User();
before(() => user.join());

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "financelime-authorization-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test("a file that only its owner can read, replaced as a whole", async (t) => {
  const path = join(await directory(t), "new", "tokens.json");
  const store = new FileStore(path);
  assert.equal(await store.load(), undefined);
  await store.save(undefined); // nothing to delete
  await store.save(tokens);
  assert.deepEqual(await store.load(), tokens);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(join(path, ".."))).mode & 0o777, 0o700);
  await writeFile(path, "{}", { mode: 0o644 });
  await store.save(tokens);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(path, "..")), ["tokens.json"]);
  await store.save(undefined);
  assert.deepEqual(await readdir(join(path, "..")), []);
});

test("damaged files have no tokens; a file that cannot be read is an error", async (t) => {
  const path = join(await directory(t), "tokens.json");
  for (const content of ["", "{", "null", "[]", '"x"', '{"sessionID":"s"}', '{"sessionID":"s","accessToken":"","refreshToken":"r"}']) {
    await writeFile(path, content);
    assert.equal(await new FileStore(path).load(), undefined, content);
  }
  await assert.rejects(new FileStore(tmpdir()).load(), /EISDIR/);
  await writeFile(path, "{}");
  await assert.rejects(new FileStore(join(path, "below")).save(tokens), /ENOTDIR|EEXIST/);
});

test("readers never see half a file", async (t) => {
  const store = new FileStore(join(await directory(t), "tokens.json"));
  const large = { ...tokens, accessToken: "a".repeat(1 << 20) };
  await store.save(large);
  let writing = true;
  const written = (async () => {
    for (let i = 0; i < 20; i++) {
      await store.save(large);
    }
    writing = false;
  })();
  let reads = 0;
  for (; writing; reads++) {
    assert.equal((await store.load())?.accessToken.length, 1 << 20);
  }
  await written;
  assert.ok(reads > 1);
});

test("processes that share a file send one refresh", async (t) => {
  const { tokens } = await user.logIn();
  const proxy = await gateway(t, () => "forward");
  const path = join(await directory(t), "tokens.json");
  await new FileStore(path).save(expired(tokens));
  const program = `
    import { Session } from "@financelime/authorization";
    import { FileStore } from "@financelime/authorization/node";
    const session = new Session(process.argv[1], { store: new FileStore(process.argv[2]) });
    const calls = Array.from({ length: 5 }, () => session.fetch(process.argv[1] + "/v1/oauth/verify"));
    console.log((await Promise.all(calls)).map((r) => r.status).join());`;
  const processes = Array.from({ length: 3 }, () => run("node", ["--input-type=module", "--eval", program, proxy.url, path]));
  for (const { stdout } of await Promise.all(processes)) {
    assert.equal(stdout, "204,204,204,204,204\n");
  }
  assert.equal(proxy.count("/v1/oauth/refresh"), 1);
  assert.ok(!(await readFile(path, "utf8")).includes(tokens.refreshToken));
  assert.deepEqual(await readdir(join(path, "..")), ["tokens.json"]);
});

test("the lock of a process that has died is removed", async (t) => {
  const path = join(await directory(t), "tokens.json");
  for (const age of [61_000, -3600_000]) { // negative: the clock was set back after it had died
    await writeFile(`${path}.lock`, "");
    const then = new Date(Date.now() - age);
    await utimes(`${path}.lock`, then, then);
    const began = performance.now();
    assert.equal(await new FileStore(path).lock(async () => "done"), "done");
    assert.ok(performance.now() - began < 5000);
    assert.deepEqual(await readdir(join(path, "..")), []);
  }
});

test("the lock is released when work fails, and a directory without room for it is no obstacle", async (t) => {
  const path = join(await directory(t), "tokens.json");
  const store = new FileStore(path);
  await assert.rejects(store.lock(() => Promise.reject(new Error("no"))), /no/);
  assert.deepEqual(await readdir(join(path, "..")), []);
  assert.equal(await new FileStore(join(path, "missing", "x")).lock(async () => "done"), "done");
});

test("a session with a FileStore survives the process", async (t) => {
  const path = join(await directory(t), "tokens.json");
  const { tokens } = await user.logIn({ store: new FileStore(path) });
  const again = new Session("http://127.0.0.1:1", { store: new FileStore(path) });
  assert.deepEqual(await again.tokens(), tokens);
});
