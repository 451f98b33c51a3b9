// What a user is told, for every answer of every operation that a user waits for. docs/clients.md quotes the regions.
import { answer, type API, type Answer, type Bodies, type Tokens } from "./client.js";
import type { components } from "./generated/openapi.js";

type Schemas = components["schemas"];

// #region sign-up
export async function signUp(api: API, body: Schemas["SignUpRequest"]): Promise<string> {
  const got = answer<Bodies<"signup">>(await api.POST("/v1/user/signup", { body }));
  switch (got.status) {
    case 204:
      return "Open the link in the mail that we have sent you.";
    case 404:
      switch (got.body.message) {
        case "INVITE_NOT_FOUND":
          return "This invite code does not exist, or has expired.";
        default:
          return undocumented(got.body.message);
      }
    case 409:
      switch (got.body.message) {
        case "USER_ALREADY_EXIST":
          return "You have signed up already. Log in, or reset your password.";
        case "INVITE_HAS_ENDED":
          return "This invite code has been used up.";
        default:
          return undocumented(got.body.message); // does not compile when the contract has a code more
      }
    default:
      return common(got);
  }
}
// #endregion

// #region common
type Everywhere = Answer<{
  400: { message: "BAD_PARAMETERS" };
  401: Schemas["CommonFailure"];
  405: Schemas["CommonFailure"];
  413: Schemas["CommonFailure"];
  429: Schemas["CommonFailure"];
  500: Schemas["CommonFailure"];
  503: Schemas["CommonFailure"];
}>;

/** What can happen to every operation. */
function common(got: Everywhere): string {
  switch (got.status) {
    case 400:
      return "Please check what you have typed."; // or this client does not keep to the contract
    case 401:
      return "Please log in again.";
    case 405:
    case 413:
      throw new Error(`a defect of this client: ${got.status}, request ${got.requestID}`);
    case 429:
      return "Too many tries. Please wait a while."; // Retry-After says for how long
    case 500:
      return `Something is broken. Please tell us this number: ${got.requestID}`;
    case 503:
      return "Please try again in a moment."; // after all the tries of patient()
    default:
      return undocumented(got);
  }
}

/** An answer that is not the service's: a gateway's 502, say. To the compiler it can not happen. */
function undocumented(got: never): never {
  throw new Error(`not an answer of the service: ${JSON.stringify(got)}`);
}
// #endregion

// #region log-in
export async function logIn(api: API, body: Schemas["CreateAccessTokenRequest"]): Promise<Tokens | string> {
  const got = answer<Bodies<"create_access_token">>(await api.POST("/v1/oauth/create", { body }));
  switch (got.status) {
    case 200:
      return got.body;
    case 404:
      switch (got.body.message) {
        case "USER_NOT_FOUND":
          return "The address or the password is wrong."; // the service does not tell which
        default:
          return undocumented(got.body.message);
      }
    default:
      return common(got);
  }
}
// #endregion

// #region reset
export async function resetPassword(api: API, body: Schemas["RequestUserPasswordResetRequest"]): Promise<string> {
  const got = answer<Bodies<"user_password_reset">>(await api.POST("/v1/user/password", { body }));
  switch (got.status) {
    case 204:
      return "Open the link in the mail that we have sent you.";
    case 404:
      switch (got.body.message) {
        case "USER_NOT_FOUND":
          return "Nobody has signed up with this address.";
        default:
          return undocumented(got.body.message);
      }
    default:
      return common(got);
  }
}
// #endregion

// #region sessions
export async function sessions(api: API): Promise<Schemas["SessionList"] | string> {
  const got = answer<Bodies<"get_list_active_sessions">>(await api.GET("/v1/session/list"));
  return got.status === 200 ? got.body : common(got);
}

export async function logOut(api: API, sessionID: string): Promise<string> {
  const got = answer<Bodies<"revoke_session">>(await api.DELETE("/v1/session/{sessionID}", { params: { path: { sessionID } } }));
  return got.status === 204 ? "You are logged out." : common(got);
}
// #endregion
