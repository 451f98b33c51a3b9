// The types of openapi-typescript must match the contract. This file is only compiled.
import type { Bodies } from "../response.js";
import type { components, operations } from "../generated/openapi.js";
import type { Codes, CodesOf, Equal, Expect, AnyJSON, Untyped } from "./contract.js";

type Responses = { [Operation in keyof operations]: Bodies<Operation> };
type Contents = {
  [Operation in keyof operations]: {
    [Status in keyof operations[Operation]["responses"]]: operations[Operation]["responses"][Status] extends { content: infer Content }
      ? Content
      : never;
  };
};
type Parameters = { [Operation in keyof operations]: operations[Operation]["parameters"] };
type Requests = { [Operation in keyof operations]: operations[Operation] extends { requestBody: infer Body } ? Body : never };

export type Proofs = [
  Expect<Equal<CodesOf<Responses>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email" | "open_link", keyof operations>>,
  Expect<Equal<Untyped<Parameters, "parameters">, never>>,
  Expect<Equal<Untyped<Requests, "requests">, never>>,
  Expect<Equal<Exclude<Untyped<Contents, "">, AnyJSON<".get_openapi_json.200.application/json">>, never>>,
  Expect<Equal<Exclude<Untyped<components["schemas"], "">, AnyJSON<".OpenAPIDocument">>, never>>,
];
