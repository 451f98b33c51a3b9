// The types of openapi-typescript must match the contract. This file is only compiled.
import type { Bodies } from "../client.js";
import type { components, operations } from "../generated/openapi.js";
import type { Codes, CodesOf, Equal, Expect, Free, Vague } from "./contract.js";

type Answers = { [Operation in keyof operations]: Bodies<Operation> };
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
  Expect<Equal<CodesOf<Answers>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email", keyof operations>>,
  Expect<Equal<Vague<Parameters, "parameters">, never>>,
  Expect<Equal<Vague<Requests, "requests">, never>>,
  Expect<Equal<Exclude<Vague<Contents, "">, Free<".get_openapi_json.200.application/json">>, never>>,
  Expect<Equal<Exclude<Vague<components["schemas"], "">, Free<".OpenAPIDocument">>, never>>,
];
