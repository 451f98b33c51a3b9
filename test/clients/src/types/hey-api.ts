// The types of hey-api must match the contract. This file is only compiled.
import type * as hey from "../generated/hey-api/types.gen.js";
import type { AnyMember, AnyJSON, Codes, CodesOf, Equal, Expect, Passkeys, Untyped } from "./contract.js";

type Responses = {
  signup: hey.SignupResponses & hey.SignupErrors;
  get_user: hey.GetUserResponses & hey.GetUserErrors;
  delete_user: hey.DeleteUserResponses & hey.DeleteUserErrors;
  export_user_data: hey.ExportUserDataResponses & hey.ExportUserDataErrors;
  change_user_password: hey.ChangeUserPasswordResponses & hey.ChangeUserPasswordErrors;
  request_email_change: hey.RequestEmailChangeResponses & hey.RequestEmailChangeErrors;
  cancel_email_change: hey.CancelEmailChangeResponses & hey.CancelEmailChangeErrors;
  step_up_session: hey.StepUpSessionResponses & hey.StepUpSessionErrors;
  create_access_token_by_second_factor: hey.CreateAccessTokenBySecondFactorResponses & hey.CreateAccessTokenBySecondFactorErrors;
  begin_passkey_log_in: hey.BeginPasskeyLogInResponses & hey.BeginPasskeyLogInErrors;
  create_access_token_by_passkey: hey.CreateAccessTokenByPasskeyResponses & hey.CreateAccessTokenByPasskeyErrors;
  begin_totp: hey.BeginTotpResponses & hey.BeginTotpErrors;
  confirm_totp: hey.ConfirmTotpResponses & hey.ConfirmTotpErrors;
  remove_totp: hey.RemoveTotpResponses & hey.RemoveTotpErrors;
  turn_on_second_factor: hey.TurnOnSecondFactorResponses & hey.TurnOnSecondFactorErrors;
  turn_off_second_factor: hey.TurnOffSecondFactorResponses & hey.TurnOffSecondFactorErrors;
  renew_recovery_codes: hey.RenewRecoveryCodesResponses & hey.RenewRecoveryCodesErrors;
  list_passkeys: hey.ListPasskeysResponses & hey.ListPasskeysErrors;
  begin_passkey: hey.BeginPasskeyResponses & hey.BeginPasskeyErrors;
  add_passkey: hey.AddPasskeyResponses & hey.AddPasskeyErrors;
  rename_passkey: hey.RenamePasskeyResponses & hey.RenamePasskeyErrors;
  remove_passkey: hey.RemovePasskeyResponses & hey.RemovePasskeyErrors;
  user_password_reset: hey.UserPasswordResetResponses & hey.UserPasswordResetErrors;
  confirm_user_email: hey.ConfirmUserEmailResponses & hey.ConfirmUserEmailErrors;
  open_link: hey.OpenLinkResponses & hey.OpenLinkErrors;
  use_link: hey.UseLinkResponses & hey.UseLinkErrors;
  create_access_token: hey.CreateAccessTokenResponses & hey.CreateAccessTokenErrors;
  refresh_access_token: hey.RefreshAccessTokenResponses & hey.RefreshAccessTokenErrors;
  verify_access_token: hey.VerifyAccessTokenResponses & hey.VerifyAccessTokenErrors;
  get_list_active_sessions: hey.GetListActiveSessionsResponses & hey.GetListActiveSessionsErrors;
  revoke_refresh_token: hey.RevokeRefreshTokenResponses & hey.RevokeRefreshTokenErrors;
  revoke_other_sessions: hey.RevokeOtherSessionsResponses & hey.RevokeOtherSessionsErrors;
  revoke_session: hey.RevokeSessionResponses & hey.RevokeSessionErrors;
  get_version: hey.GetVersionResponses & hey.GetVersionErrors;
  get_jwks: hey.GetJwksResponses & hey.GetJwksErrors;
  get_openid_configuration: hey.GetOpenidConfigurationResponses & hey.GetOpenidConfigurationErrors;
  get_openapi_json: hey.GetOpenapiJsonResponses & hey.GetOpenapiJsonErrors;
  get_openapi_yaml: hey.GetOpenapiYamlResponses & hey.GetOpenapiYamlErrors;
  get_docs: hey.GetDocsResponses & hey.GetDocsErrors;
  get_docs_asset: hey.GetDocsAssetResponses & hey.GetDocsAssetErrors;
  get_account_page: hey.GetAccountPageResponses & hey.GetAccountPageErrors;
  get_account_asset: hey.GetAccountAssetResponses & hey.GetAccountAssetErrors;
  get_change_password: hey.GetChangePasswordErrors;
};

type Requests = [
  hey.SignupData,
  hey.UserPasswordResetData,
  hey.ConfirmUserEmailData,
  hey.OpenLinkData,
  hey.UseLinkData,
  hey.CreateAccessTokenData,
  hey.RefreshAccessTokenData,
  hey.VerifyAccessTokenData,
  hey.GetListActiveSessionsData,
  hey.RevokeRefreshTokenData,
  hey.RevokeSessionData,
  hey.GetUserData,
  hey.DeleteUserData,
  hey.ExportUserDataData,
  hey.ChangeUserPasswordData,
  hey.RequestEmailChangeData,
  hey.CancelEmailChangeData,
  hey.StepUpSessionData,
  hey.CreateAccessTokenBySecondFactorData,
  hey.BeginPasskeyLogInData,
  hey.CreateAccessTokenByPasskeyData,
  hey.BeginTotpData,
  hey.ConfirmTotpData,
  hey.RemoveTotpData,
  hey.TurnOnSecondFactorData,
  hey.TurnOffSecondFactorData,
  hey.RenewRecoveryCodesData,
  hey.ListPasskeysData,
  hey.BeginPasskeyData,
  hey.AddPasskeyData,
  hey.RenamePasskeyData,
  hey.RemovePasskeyData,
  hey.RevokeOtherSessionsData,
  hey.GetVersionData,
  hey.GetJwksData,
];

type PasskeyTypes = {
  creation: hey.PasskeyCreationOptions;
  request: hey.PasskeyRequestOptions;
  credential: hey.PasskeyCredential;
};

export type Proofs = [
  Expect<Equal<Passkeys<PasskeyTypes>, [true, true, true, true]>>,
  Expect<Equal<CodesOf<Responses>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email" | "open_link", keyof Responses>>,
  Expect<Equal<Exclude<Untyped<Requests, "">, AnyMember>, never>>,
  Expect<Equal<Exclude<Untyped<Responses, "">, AnyJSON<".get_openapi_json.200">>, never>>,
];
