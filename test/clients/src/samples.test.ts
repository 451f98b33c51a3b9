// The samples of orval and hey-api against the service.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as heyAPI from "./hey-api.js";
import { setBase as setOrvalBase } from "./orval-fetch.js";
import * as orval from "./orval.js";

const { AUTH_URL: url, AUTH_INVITE: inviteCode } = process.env;
assert.ok(url && inviteCode, 'run these tests with "make test-clients"');
setOrvalBase(url);
heyAPI.setBase(url);

for (const [name, client] of Object.entries({ orval, heyAPI })) {
  test(`the client of ${name} distinguishes the codes`, async () => {
    const body = { email: `u${crypto.randomUUID()}@example.com`, inviteCode, language: "en" };
    assert.equal(await client.signUp({ ...body, inviteCode: "no-such-code" }), "404");
    assert.equal(await client.signUp(body), "204");
    assert.match(await client.signUp(body), /^You have signed up already/);
  });
}
