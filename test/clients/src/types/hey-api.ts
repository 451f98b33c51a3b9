// The types of hey-api must match the contract. This file is only compiled.
import type * as hey from "../generated/hey-api/types.gen.js";
import type { Codes, CodesOf, Equal, Expect, AnyJSON, Untyped } from "./contract.js";

type Responses = {
  signup: hey.SignupResponses & hey.SignupErrors;
  get_user: hey.GetUserResponses & hey.GetUserErrors;
  delete_user: hey.DeleteUserResponses & hey.DeleteUserErrors;
  export_user_data: hey.ExportUserDataResponses & hey.ExportUserDataErrors;
  change_user_password: hey.ChangeUserPasswordResponses & hey.ChangeUserPasswordErrors;
  request_email_change: hey.RequestEmailChangeResponses & hey.RequestEmailChangeErrors;
  cancel_email_change: hey.CancelEmailChangeResponses & hey.CancelEmailChangeErrors;
  step_up_session: hey.StepUpSessionResponses & hey.StepUpSessionErrors;
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
  hey.RevokeOtherSessionsData,
  hey.GetVersionData,
  hey.GetJwksData,
];

export type Proofs = [
  Expect<Equal<CodesOf<Responses>, Codes>>,
  Expect<Equal<keyof Codes | "confirm_user_email" | "open_link", keyof Responses>>,
  Expect<Equal<Untyped<Requests, "">, never>>,
  Expect<Equal<Exclude<Untyped<Responses, "">, AnyJSON<".get_openapi_json.200">>, never>>,
];
