// The failures of the contract, written by hand. The types of every generated client must be identical.

/** The codes of each operation's failures, by status. */
export type Codes = {
  signup: { 400: "BAD_PARAMETERS"; 404: "INVITE_NOT_FOUND"; 409: "USER_ALREADY_EXIST" | "INVITE_HAS_ENDED" };
  get_user: { 400: "BAD_PARAMETERS" };
  delete_user: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED" };
  export_user_data: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED" };
  change_user_password: {
    400: "BAD_PARAMETERS";
    403: "WRONG_PASSWORD" | "RECENT_AUTHENTICATION_REQUIRED";
    422: "PASSWORD_TOO_SHORT" | "PASSWORD_KNOWN" | "PASSWORD_GUESSABLE" | "PASSWORD_UNCHANGED";
  };
  use_link: {
    400: "BAD_PARAMETERS";
    409: "EMAIL_TAKEN";
    422: "PASSWORD_TOO_SHORT" | "PASSWORD_KNOWN" | "PASSWORD_GUESSABLE";
  };
  request_email_change: {
    400: "BAD_PARAMETERS";
    403: "RECENT_AUTHENTICATION_REQUIRED";
    409: "EMAIL_TAKEN" | "EMAIL_UNCHANGED";
  };
  cancel_email_change: { 400: "BAD_PARAMETERS" };
  step_up_session: { 400: "BAD_PARAMETERS"; 403: "AUTHENTICATION_FAILED" | "SECOND_FACTOR_REQUIRED" };
  user_password_reset: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  create_access_token: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  refresh_access_token: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  verify_access_token: { 400: "BAD_PARAMETERS" };
  get_list_active_sessions: { 400: "BAD_PARAMETERS" };
  revoke_refresh_token: { 400: "BAD_PARAMETERS" };
  revoke_other_sessions: { 400: "BAD_PARAMETERS" };
  revoke_session: { 400: "BAD_PARAMETERS" };
  get_version: { 400: "BAD_PARAMETERS" };
  get_jwks: { 400: "BAD_PARAMETERS" };
  get_openid_configuration: { 400: "BAD_PARAMETERS" };
  get_openapi_json: { 400: "BAD_PARAMETERS" };
  get_openapi_yaml: { 400: "BAD_PARAMETERS" };
  get_docs: { 400: "BAD_PARAMETERS" };
  get_docs_asset: { 400: "BAD_PARAMETERS" };
  get_account_page: { 400: "BAD_PARAMETERS" };
  get_account_asset: { 400: "BAD_PARAMETERS" };
  get_change_password: { 400: "BAD_PARAMETERS" };
};

/** The codes of a client's types, in the same form, from the types of its bodies. */
export type CodesOf<Bodies extends { [Operation in keyof Codes]: { [Status in keyof Codes[Operation]]: { message: string } } }> = {
  [Operation in keyof Codes]: { [Status in keyof Codes[Operation]]: MessageOf<Bodies[Operation], Status> };
};
type MessageOf<Bodies, Status> = Status extends keyof Bodies
  ? Bodies[Status] extends { message: infer Message }
    ? Message
    : never
  : never;

/** Compiles only if its argument is `true`. */
export type Expect<T extends true> = T;

/** `true` if two types are identical, including `any` and `unknown`. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** The paths in a type, at any depth, that are `any` or `unknown`; `never` if there are none. */
export type Untyped<T, At extends string> = 0 extends 1 & T
  ? `${At}: any`
  : unknown extends T
    ? `${At}: unknown`
    : T extends string | number | boolean | null | undefined | void
      ? never
      : T extends readonly (infer Item)[]
        ? Untyped<Item, `${At}[]`>
        : { [K in keyof T & (string | number)]-?: Untyped<T[K], `${At}.${K}`> }[keyof T & (string | number)];

/** The only value without a precise type in the contract: the OpenAPI document as JSON. */
export type AnyJSON<At extends string> = `${At}.${string}: unknown` | `${At}.${number}: unknown`;
