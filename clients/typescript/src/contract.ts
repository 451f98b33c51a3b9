// Types that are derived from openapi.yaml. This file has no code.
import type { components, operations, paths } from "./generated/openapi.js";

export type { components, operations, paths };

type Schemas = components["schemas"];

/** The body of a sign-up. `language` selects the language of the user's emails. */
export type SignUpRequest = Schemas["SignUpRequest"];

/** Information about the device of a login. The user sees `platform` in the list of sessions. */
export type Device = Schemas["Device"];

/** A login of the user on one device. Times are in UTC, in the format of RFC 3339. */
export type SessionInfo = Schemas["Session"];

/** What the browser needs to let the user choose a passkey. */
export type PasskeyRequest = Schemas["PasskeyRequest"];

/** What the browser needs to create a passkey. */
export type PasskeyCreation = Schemas["PasskeyCreation"];

/** What proves a passkey. */
export type PasskeyAssertion = Schemas["PasskeyAssertion"];

/** What the service stores of a new passkey, without its name. */
export type PasskeyRegistration = Omit<Schemas["AddPasskeyRequest"], "name">;

/** A passkey of the user. */
export type Passkey = Schemas["Passkey"];

/** What completes a login: the six digits of the authenticator app, one of the recovery codes, or a passkey. */
export type SecondFactor = { code: string } | { recoveryCode: string } | { passkey: PasskeyAssertion };

/** What proves that the user is present. With the second factor on, a password is not enough. */
export type Proof = { password: string } | SecondFactor;

/** The contract's paths without the header `request-id`, because the client sets it. */
export type PathsWithoutRequestID = {
  [Path in keyof paths]: { [Method in keyof paths[Path]]: WithoutRequestID<paths[Path][Method]> };
};

type WithoutRequestID<Operation> = Operation extends { parameters: { header?: infer Header } }
  ? Omit<Operation, "parameters"> & {
      parameters: Omit<Operation["parameters"], "header"> & { header?: Omit<NonNullable<Header>, "request-id"> };
    }
  : Operation;

/** The name of an operation, as in openapi.yaml: `signup`, `create_access_token`, ... */
export type OperationName = keyof operations;

/** The JSON body of a response of an operation; `undefined` if it has none. */
export type Body<Operation extends OperationName, Status extends keyof operations[Operation]["responses"]> =
  operations[Operation]["responses"][Status] extends { content: { "application/json": infer JSON } } ? JSON : undefined;

/** The statuses of an operation that mean success. */
export type SuccessStatus<Operation extends OperationName> = keyof operations[Operation]["responses"] & (200 | 201 | 204);

/** The statuses of an operation that mean failure. */
export type FailureStatus<Operation extends OperationName> = Exclude<keyof operations[Operation]["responses"], 200 | 201 | 204> & number;

/** The values of `message` that a failure of an operation can have. */
export type Message<Operation extends OperationName, Status extends FailureStatus<Operation>> =
  Body<Operation, Status & keyof operations[Operation]["responses"]> extends { message: infer M extends string } ? OfStatus<M, Status> : never;

/** Messages of shared failures begin with their status. One schema has those of 404 and 500. */
type OfStatus<M extends string, Status extends number> = [Extract<M, `${Status} ${string}`>] extends [never]
  ? M
  : Extract<M, `${Status} ${string}`>;
