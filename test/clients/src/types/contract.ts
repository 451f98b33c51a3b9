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
  create_access_token: { 400: "BAD_PARAMETERS"; 403: "SECOND_FACTOR_REQUIRED"; 404: "USER_NOT_FOUND" };
  create_access_token_by_second_factor: { 400: "BAD_PARAMETERS"; 403: "WRONG_CODE"; 404: "LOG_IN_EXPIRED" };
  begin_passkey_log_in: { 400: "BAD_PARAMETERS" };
  create_access_token_by_passkey: { 400: "BAD_PARAMETERS"; 404: "USER_NOT_FOUND" };
  begin_totp: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED" };
  confirm_totp: { 400: "BAD_PARAMETERS"; 403: "WRONG_CODE" | "RECENT_AUTHENTICATION_REQUIRED"; 409: "TOTP_NOT_BEGUN" };
  remove_totp: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED"; 409: "LAST_FACTOR" };
  turn_on_second_factor: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED"; 409: "NO_FACTOR" | "ALREADY_ON" };
  turn_off_second_factor: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED" };
  renew_recovery_codes: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED"; 409: "SECOND_FACTOR_OFF" };
  list_passkeys: { 400: "BAD_PARAMETERS" };
  begin_passkey: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED"; 409: "TOO_MANY_PASSKEYS" };
  add_passkey: {
    400: "BAD_PARAMETERS";
    403: "RECENT_AUTHENTICATION_REQUIRED";
    409: "TOO_MANY_PASSKEYS" | "PASSKEY_ALREADY_ADDED" | "CEREMONY_EXPIRED";
  };
  rename_passkey: { 400: "BAD_PARAMETERS" };
  remove_passkey: { 400: "BAD_PARAMETERS"; 403: "RECENT_AUTHENTICATION_REQUIRED"; 409: "LAST_FACTOR" };
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

/** Members of a passkey's credential that the contract does not name: only the browser knows them. */
export type AnyMember = `${string}${"credential" | "PasskeyCredential" | "PasskeyCredentialData"}.${string}: unknown`;

/** What `credential.toJSON()` returns after a login (WebAuthn Level 3): lib.dom has no type for it. */
type BrowserCredential = {
  id: string;
  rawId: string;
  type: string;
  authenticatorAttachment?: string;
  clientExtensionResults: { appid?: boolean };
  response: { clientDataJSON: string; authenticatorData: string; signature: string; userHandle?: string };
};

/** Whether the options of both ceremonies are what the browser's methods take, and whether a request takes what the browser returns. */
export type Passkeys<Types extends { creation: object; request: object; credential: object }> = [
  Types["creation"] extends Parameters<typeof PublicKeyCredential.parseCreationOptionsFromJSON>[0] ? true : false,
  Types["request"] extends Parameters<typeof PublicKeyCredential.parseRequestOptionsFromJSON>[0] ? true : false,
  [ReturnType<PublicKeyCredential["toJSON"]>] extends [Types["credential"]] ? true : false,
  BrowserCredential extends Types["credential"] ? true : false,
];

/** The only value without a precise type in the contract's responses: the OpenAPI document as JSON. */
export type AnyJSON<At extends string> = `${At}.${string}: unknown` | `${At}.${number}: unknown`;
