// Messages for the user, for every response of every operation that a user waits for. docs/clients.md quotes the regions.
import { documented, type API, type Bodies, type Documented, type Tokens } from "./client.js";
import type { components } from "./generated/openapi.js";

type Schemas = components["schemas"];

// #region sign-up
export async function signUp(api: API, body: Schemas["SignUpRequest"]): Promise<string> {
  const r = documented<Bodies<"signup">>(await api.POST("/v1/user/signup", { body }));
  switch (r.status) {
    case 204:
      return "Open the link in the email that we have sent you.";
    case 404:
      switch (r.body.message) {
        case "INVITE_NOT_FOUND":
          return "This invite code does not exist, or has expired.";
        default:
          return undocumented(r.body.message);
      }
    case 409:
      switch (r.body.message) {
        case "USER_ALREADY_EXIST":
          return "You have signed up already. Log in, or reset your password.";
        case "INVITE_HAS_ENDED":
          return "This invite code has been used up.";
        default:
          return undocumented(r.body.message); // does not compile if the contract has another code
      }
    default:
      return common(r);
  }
}
// #endregion

// #region common
type Everywhere = Documented<{
  400: { message: "BAD_PARAMETERS" };
  401: Schemas["CommonFailure"];
  405: Schemas["CommonFailure"];
  413: Schemas["CommonFailure"];
  429: Schemas["CommonFailure"];
  500: Schemas["CommonFailure"];
  503: Schemas["CommonFailure"];
}>;

/** Handles the statuses that every operation can return. */
function common(r: Everywhere): string {
  switch (r.status) {
    case 400:
      return "Please check what you have typed."; // or this client violates the contract
    case 401:
      return "Please log in again.";
    case 405:
    case 413:
      throw new Error(`a bug of this client: ${r.status}, request ${r.requestID}`);
    case 429:
      return "Too many attempts. Please wait a while."; // Retry-After contains the time
    case 500:
      return `Something went wrong. Please send us this number: ${r.requestID}`;
    case 503:
      return "Please try again in a moment."; // after all attempts of withRetry()
    default:
      return undocumented(r);
  }
}

/** Rejects a response that the service does not document, such as a gateway's 502. For the compiler this is unreachable. */
function undocumented(r: never): never {
  throw new Error(`not a response of the service: ${JSON.stringify(r)}`);
}
// #endregion

// #region login
export async function login(api: API, body: Schemas["CreateAccessTokenRequest"]): Promise<Tokens | string> {
  const r = documented<Bodies<"create_access_token">>(await api.POST("/v1/oauth/create", { body }));
  switch (r.status) {
    case 200:
      return r.body;
    case 404:
      switch (r.body.message) {
        case "USER_NOT_FOUND":
          return "The address or the password is wrong."; // the service does not reveal which
        default:
          return undocumented(r.body.message);
      }
    default:
      return common(r);
  }
}
// #endregion

// #region reset
export async function resetPassword(api: API, body: Schemas["RequestUserPasswordResetRequest"]): Promise<string> {
  const r = documented<Bodies<"user_password_reset">>(await api.POST("/v1/user/password", { body }));
  switch (r.status) {
    case 204:
      return "Open the link in the email that we have sent you.";
    case 404:
      switch (r.body.message) {
        case "USER_NOT_FOUND":
          return "There is no user with this address.";
        default:
          return undocumented(r.body.message);
      }
    default:
      return common(r);
  }
}
// #endregion

// #region sessions
export async function sessions(api: API): Promise<Schemas["SessionList"] | string> {
  const r = documented<Bodies<"get_list_active_sessions">>(await api.GET("/v1/session/list"));
  return r.status === 200 ? r.body : common(r);
}

export async function logOut(api: API, sessionID: string): Promise<string> {
  const r = documented<Bodies<"revoke_session">>(await api.DELETE("/v1/session/{sessionID}", { params: { path: { sessionID } } }));
  return r.status === 204 ? "You are logged out." : common(r);
}
// #endregion
