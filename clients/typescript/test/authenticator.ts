// What a user has for a second factor: an authenticator app, and a browser with passkeys (ES256, no attestation).
import { createHash, createHmac, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Returns the code that an authenticator app shows (RFC 6238) so many periods of 30 s from now. */
export function totp(secret: string, periods = 0): string {
  const bits = Array.from(secret, (digit) => digits.indexOf(digit).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + periods));
  const hash = createHmac("sha1", key).update(counter).digest();
  return String((hash.readUInt32BE(hash[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

interface Options {
  publicKey: { challenge: string; rpId?: string; rp?: { id: string }; user?: { id: string } };
  signal?: AbortSignal;
}

/** A browser's `PublicKeyCredential` and `navigator.credentials`, with one passkey. */
export class Browser {
  /** The next call is refused with this error, as if the user had cancelled. */
  refusal: Error | undefined;
  readonly calls: Options[] = [];
  readonly #origin = "https://auth.example.test"; // that of the public URL of the service under test
  readonly #id = randomBytes(16);
  #key: KeyObject | undefined;
  #userHandle = "";

  /** Makes this the browser of the process. */
  install(): void {
    const same = (options: unknown) => options;
    const credentials = { create: async (options: Options) => this.#create(options), get: async (options: Options) => this.#get(options) };
    Object.assign(globalThis, { PublicKeyCredential: { parseRequestOptionsFromJSON: same, parseCreationOptionsFromJSON: same } });
    Object.defineProperty(globalThis, "navigator", { value: { platform: "Test", language: "en", credentials }, configurable: true });
  }

  #create({ publicKey, signal }: Options) {
    this.#called({ publicKey, ...(signal && { signal }) });
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = pair.privateKey;
    this.#userHandle = publicKey.user!.id;
    const { x, y } = pair.publicKey.export({ format: "jwk" });
    const cose = Buffer.concat([Buffer.from("a5010203262001215820", "hex"), Buffer.from(x!, "base64url"), Buffer.from("225820", "hex"), Buffer.from(y!, "base64url")]);
    const data = Buffer.concat([this.#data(publicKey.rp!.id, 0x45), Buffer.alloc(16), Buffer.from([0, this.#id.length]), this.#id, cose]);
    // {"fmt": "none", "attStmt": {}, "authData": data} in CBOR
    const attestation = Buffer.concat([Buffer.from("a363666d74646e6f6e656761747453746d74a068617574684461746158", "hex"), Buffer.from([data.length]), data]);
    return this.#credential({ clientDataJSON: this.#clientData("webauthn.create", publicKey.challenge), attestationObject: attestation });
  }

  #get({ publicKey, signal }: Options) {
    this.#called({ publicKey, ...(signal && { signal }) });
    const clientDataJSON = this.#clientData("webauthn.get", publicKey.challenge);
    const authenticatorData = this.#data(publicKey.rpId!, 0x05);
    const signed = Buffer.concat([authenticatorData, createHash("sha256").update(clientDataJSON).digest()]);
    const signature = sign("sha256", signed, this.#key!);
    return this.#credential({ clientDataJSON, authenticatorData, signature, userHandle: Buffer.from(this.#userHandle, "base64url") });
  }

  #called(options: Options): void {
    this.calls.push(options);
    if (this.refusal) {
      throw this.refusal;
    }
  }

  #clientData(type: string, challenge: string): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.#origin, crossOrigin: false }));
  }

  #data(rpId: string, flags: number): Buffer {
    return Buffer.concat([createHash("sha256").update(rpId).digest(), Buffer.from([flags, 0, 0, 0, 0])]);
  }

  #credential(response: Record<string, Buffer>) {
    const id = this.#id.toString("base64url");
    const encoded = Object.fromEntries(Object.entries(response).map(([name, value]) => [name, value.toString("base64url")]));
    return { toJSON: () => ({ id, rawId: id, type: "public-key", clientExtensionResults: {}, response: encoded }) };
  }
}
