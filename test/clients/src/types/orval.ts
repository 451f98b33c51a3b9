// The types of orval must match the contract. This file is only compiled.
import type * as orval from "../generated/orval.js";
import type { AnyMember, AnyJSON, Codes, CodesOf, Equal, Expect, Passkeys, Untyped } from "./contract.js";

type ByStatus<Response extends { status: number; data: unknown }> = {
  [Status in Response["status"]]: Extract<Response, { status: Status }>["data"];
};

/** The bodies that are no pages: orval also names the string of a page. */
type WithoutPages<Bodies> = { [Status in keyof Bodies]: Exclude<Bodies[Status], string> };

type Responses = {
  signup: ByStatus<orval.signupResponse>;
  get_user: ByStatus<orval.getUserResponse>;
  delete_user: ByStatus<orval.deleteUserResponse>;
  export_user_data: ByStatus<orval.exportUserDataResponse>;
  change_user_password: ByStatus<orval.changeUserPasswordResponse>;
  request_email_change: ByStatus<orval.requestEmailChangeResponse>;
  cancel_email_change: ByStatus<orval.cancelEmailChangeResponse>;
  step_up_session: ByStatus<orval.stepUpSessionResponse>;
  create_access_token_by_second_factor: ByStatus<orval.createAccessTokenBySecondFactorResponse>;
  begin_passkey_log_in: ByStatus<orval.beginPasskeyLogInResponse>;
  create_access_token_by_passkey: ByStatus<orval.createAccessTokenByPasskeyResponse>;
  begin_totp: ByStatus<orval.beginTotpResponse>;
  confirm_totp: ByStatus<orval.confirmTotpResponse>;
  remove_totp: ByStatus<orval.removeTotpResponse>;
  turn_on_second_factor: ByStatus<orval.turnOnSecondFactorResponse>;
  turn_off_second_factor: ByStatus<orval.turnOffSecondFactorResponse>;
  renew_recovery_codes: ByStatus<orval.renewRecoveryCodesResponse>;
  list_passkeys: ByStatus<orval.listPasskeysResponse>;
  begin_passkey: ByStatus<orval.beginPasskeyResponse>;
  add_passkey: ByStatus<orval.addPasskeyResponse>;
  rename_passkey: ByStatus<orval.renamePasskeyResponse>;
  remove_passkey: ByStatus<orval.removePasskeyResponse>;
  user_password_reset: ByStatus<orval.userPasswordResetResponse>;
  confirm_user_email: ByStatus<orval.confirmUserEmailResponse>;
  open_link: ByStatus<orval.openLinkResponse>;
  use_link: WithoutPages<ByStatus<orval.useLinkResponse>>;
  create_access_token: ByStatus<orval.createAccessTokenResponse>;
  refresh_access_token: ByStatus<orval.refreshAccessTokenResponse>;
  verify_access_token: ByStatus<orval.verifyAccessTokenResponse>;
  get_list_active_sessions: ByStatus<orval.getListActiveSessionsResponse>;
  revoke_refresh_token: ByStatus<orval.revokeRefreshTokenResponse>;
  revoke_other_sessions: ByStatus<orval.revokeOtherSessionsResponse>;
  revoke_session: ByStatus<orval.revokeSessionResponse>;
  get_version: ByStatus<orval.getVersionResponse>;
  get_jwks: ByStatus<orval.getJwksResponse>;
  get_openid_configuration: ByStatus<orval.getOpenidConfigurationResponse>;
  get_openapi_json: ByStatus<orval.getOpenapiJsonResponse>;
  get_openapi_yaml: ByStatus<orval.getOpenapiYamlResponse>;
  get_docs: ByStatus<orval.getDocsResponse>;
  get_docs_asset: ByStatus<orval.getDocsAssetResponse>;
  get_account_page: ByStatus<orval.getAccountPageResponse>;
  get_account_asset: ByStatus<orval.getAccountAssetResponse>;
  get_change_password: ByStatus<orval.getChangePasswordResponse>;
};

type Requests = [
  orval.SignUpRequest,
  orval.RequestUserPasswordResetRequest,
  orval.CreateAccessTokenRequest,
  orval.RefreshAccessTokenRequest,
  orval.RevokeRefreshTokenRequest,
  orval.ChangeUserPasswordRequest,
  orval.RequestEmailChangeRequest,
  orval.StepUpSessionRequest,
  orval.SecondFactorRequest,
  orval.PasskeyLogInRequest,
  orval.ConfirmTOTPRequest,
  orval.AddPasskeyRequest,
  orval.RenamePasskeyRequest,
  orval.UseLinkRequest,
];

type PasskeyTypes = {
  creation: orval.PasskeyCreationOptions;
  request: orval.PasskeyRequestOptions;
  credential: orval.PasskeyCredential;
};

export type Proofs = [
  Expect<Equal<Passkeys<PasskeyTypes>, [true, true, true, true]>>,
  Expect<Equal<CodesOf<Responses>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email" | "open_link", keyof Responses>>,
  Expect<Equal<Exclude<Untyped<Requests, "">, AnyMember>, never>>,
  Expect<Equal<Exclude<Untyped<Responses, "">, AnyJSON<".get_openapi_json.200">>, never>>,
];
