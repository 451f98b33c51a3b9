// The types of openapi-typescript must match the contract. This file is only compiled.
import type { Bodies } from "../response.js";
import type { components, operations } from "../generated/openapi.js";
import type { AnyMember, AnyJSON, Codes, CodesOf, Equal, Expect, Passkeys, Untyped } from "./contract.js";

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

type Schemas = components["schemas"];
type PasskeyTypes = {
  creation: Schemas["PasskeyCreationOptions"];
  request: Schemas["PasskeyRequestOptions"];
  credential: Schemas["PasskeyCredential"];
};

export type Proofs = [
  Expect<Equal<Passkeys<PasskeyTypes>, [true, true, true, true]>>,
  Expect<Equal<CodesOf<Responses>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email" | "open_link", keyof operations>>,
  Expect<Equal<Untyped<Parameters, "parameters">, never>>,
  Expect<Equal<Exclude<Untyped<Requests, "requests">, AnyMember>, never>>,
  Expect<Equal<Exclude<Untyped<Contents, "">, AnyJSON<".get_openapi_json.200.application/json">>, never>>,
  Expect<Equal<Exclude<Untyped<components["schemas"], "">, AnyJSON<".OpenAPIDocument"> | AnyMember>, never>>,
];
