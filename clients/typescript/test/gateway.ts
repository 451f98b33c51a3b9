// A reverse proxy in front of the service that does to requests and responses what gateways and networks do.
import { createServer, request as send, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { url } from "./service.js";

/** A request that has reached the gateway. */
export interface Call {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
}

/** A response of the gateway itself. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/**
 * What the gateway does: forward the request with `headers` as they are then; lose the response of the service; drop the request; or
 * reply by itself.
 */
export type Verdict = "forward" | "lose" | "drop" | Reply;

/** Starts a gateway, which ends with the test. It records the calls. */
export async function gateway(t: TestContext, decide: (call: Call) => Verdict | Promise<Verdict>, service = url) {
  const calls: Call[] = [];
  const server = createServer((incoming, outgoing) => void handle(incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    /** Counts the calls of a path. */
    count: (path: string) => calls.filter((call) => call.path === path).length,
  };

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse) {
    const call: Call = { method: incoming.method ?? "", path: incoming.url ?? "", headers: { ...incoming.headers } };
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) {
      chunks.push(chunk as Buffer);
    }
    calls.push({ ...call, headers: { ...call.headers } });
    const verdict = await decide(call);
    if (verdict === "drop") {
      outgoing.destroy();
    } else if (typeof verdict === "object") {
      outgoing.writeHead(verdict.status, verdict.headers).end(verdict.body);
    } else {
      delete call.headers.connection; // between the client and this gateway
      const forwarded = send(service + call.path, { method: call.method, headers: call.headers, agent: false }, (response) => {
        if (verdict === "lose") {
          response.resume().on("end", () => outgoing.destroy());
        } else {
          outgoing.writeHead(response.statusCode ?? 502, response.headers);
          response.pipe(outgoing);
        }
      });
      outgoing.on("close", () => forwarded.destroy()); // so that the process can end
      forwarded.on("error", () => outgoing.destroy());
      forwarded.end(Buffer.concat(chunks));
    }
  }
}
