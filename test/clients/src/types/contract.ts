// What the contract says of failures, written down once by hand; every generated client must agree, type for type.

/** The codes of each operation's failures, by status. */
export type Codes = {
  signup: { 400: "BAD_PARAMETERS"; 404: "INVITE_NOT_FOUND"; 409: "USER_ALREADY_EXIST" | "INVITE_HAS_ENDED" };
  user_password_reset: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  create_access_token: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  refresh_access_token: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  verify_access_token: { 400: "BAD_PARAMETERS" };
  get_list_active_sessions: { 400: "BAD_PARAMETERS" };
  revoke_refresh_token: { 400: "BAD_PARAMETERS" };
  revoke_session: { 400: "BAD_PARAMETERS" };
  get_version: { 400: "BAD_PARAMETERS" };
  get_jwks: { 400: "BAD_PARAMETERS" };
  get_openid_configuration: { 400: "BAD_PARAMETERS" };
  get_openapi_json: { 400: "BAD_PARAMETERS" };
  get_openapi_yaml: { 400: "BAD_PARAMETERS" };
  get_docs: { 400: "BAD_PARAMETERS" };
  get_docs_asset: { 400: "BAD_PARAMETERS" };
};

/** The codes that a client's types have, in the same form, from the bodies that they have. */
export type CodesOf<Bodies extends { [Operation in keyof Codes]: { [Status in keyof Codes[Operation]]: { message: string } } }> = {
  [Operation in keyof Codes]: { [Status in keyof Codes[Operation]]: MessageOf<Bodies[Operation], Status> };
};
type MessageOf<Bodies, Status> = Status extends keyof Bodies
  ? Bodies[Status] extends { message: infer Message }
    ? Message
    : never
  : never;

/** Refuses to compile unless it is given `true`. */
export type Expect<T extends true> = T;

/** Whether two types are the very same, `any` and `unknown` included. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Where a type is `any` or `unknown`, at any depth, as paths into it; `never` when nowhere. */
export type Vague<T, At extends string> = 0 extends 1 & T
  ? `${At}: any`
  : unknown extends T
    ? `${At}: unknown`
    : T extends string | number | boolean | null | undefined | void
      ? never
      : T extends readonly (infer Item)[]
        ? Vague<Item, `${At}[]`>
        : { [K in keyof T & (string | number)]-?: Vague<T[K], `${At}.${K}`> }[keyof T & (string | number)];

/** The one thing of which the contract says no more: the OpenAPI document as JSON. */
export type Free<At extends string> = `${At}.${string}: unknown` | `${At}.${number}: unknown`;
