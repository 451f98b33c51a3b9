// The types of responses, for generators that do not distinguish them by status. docs/clients.md quotes the region.
import type { operations } from "./generated/openapi.js";

// #region response
/** The responses of an operation, as a union that is discriminated by the status. */
export type Documented<Bodies> = { [Status in keyof Bodies]: { status: Status; body: Bodies[Status]; requestID: string } }[keyof Bodies];

/** Converts the result of a call to one of the documented responses. */
export function documented<Bodies>(result: { data?: unknown; error?: unknown; response: Response }): Documented<Bodies> {
  const { status, headers } = result.response;
  return { status, body: result.data ?? result.error, requestID: headers.get("request-id") } as Documented<Bodies>;
}
// #endregion

/** The bodies of an operation's responses, by status, in the types of openapi-typescript. */
export type Bodies<Operation extends keyof operations> = {
  [Status in keyof operations[Operation]["responses"]]: operations[Operation]["responses"][Status] extends {
    content: { "application/json": infer Body };
  }
    ? Body
    : undefined;
};
