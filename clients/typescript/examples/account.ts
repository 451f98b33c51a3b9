// What a user does with their account. docs/clients.md quotes the regions.
import type { Auth, Failure } from "@financelime/authorization";
import { common } from "./failures.js";

// #region change-password
/** Changes the user's password, and returns what to show them. The package stores the new tokens of this session. */
export async function changePassword(auth: Auth, current: string, chosen: string): Promise<string> {
  const result = await auth.changePassword(current, chosen);
  if (result.ok) {
    return "Your password has changed. Other devices are logged out.";
  }
  const { failure } = result;
  switch (failure.status) {
    case 401:
      return "Please log in.";
    case 403:
      return failure.message === "WRONG_PASSWORD" ? "The current password is wrong." : "Please log in again.";
    case 422:
      switch (failure.message) {
        case "PASSWORD_TOO_SHORT":
          return "Choose a longer password: at least 15 characters, such as four words.";
        case "PASSWORD_KNOWN":
        case "PASSWORD_GUESSABLE":
          return "Others would find this password. Choose another.";
        case "PASSWORD_UNCHANGED":
          return "This is the password that you have already.";
        default:
          return failure satisfies never; // does not compile if the contract has another code
      }
    case "network":
    case "undocumented":
      return "We do not know whether your password has changed. Try both when you log in.";
    default:
      return common(failure);
  }
}
// #endregion

// #region change-email
/** Asks for another address, and returns what to show the user. `ask` shows a field for the password, if that is needed. */
export async function changeEmail(auth: Auth, newEmail: string, ask: () => Promise<string | undefined>): Promise<string> {
  // There is no method for it, so it is a call of the typed client: `error` has all failures of this operation.
  const { error } = await auth.withRecentAuthentication(() => auth.api.POST("/v1/user/email", { body: { newEmail } }), ask);
  switch (error?.message) {
    case undefined:
      return `Open the link in the email that we have sent to ${newEmail}. Until then, your address stays the same.`;
    case "EMAIL_TAKEN":
      return "Another user has this address.";
    case "EMAIL_UNCHANGED":
      return "This is the address that you have already.";
    case "RECENT_AUTHENTICATION_REQUIRED":
      return "Your address stays the same."; // the user has not entered the password
    case "BAD_PARAMETERS":
      return "This is no address.";
    case "401 Unauthorized":
      return "Please log in.";
    case "429 Too Many Requests":
      return "You have changed your address too often today.";
    case "405 Method Not Allowed":
    case "413 Request Entity Too Large":
    case "404 Not Found":
    case "500 Internal Server Error":
    case "503 Service Unavailable":
      return "Please try again in a moment.";
    default:
      return error satisfies never; // does not compile if the contract has another code
  }
}
// #endregion

// #region delete
/** Closes the user's account. If the last authentication is older than ten minutes, `ask` shows a field for the password. */
export async function deleteAccount(auth: Auth, ask: (hint: string) => Promise<string | undefined>): Promise<string> {
  const result = await auth.withRecentAuthentication(
    () => auth.deleteUser(),
    (failure) => ask(failure ? stepUpHint(failure) : "Please enter your password to close your account."),
  );
  if (result.ok) {
    return "Your account is closed. A link in the email that we have sent you restores it.";
  }
  const { failure } = result;
  switch (failure.status) {
    case 401:
      return "Please log in.";
    case 403:
      return "Your account was not closed."; // the user has not entered the password
    default:
      return common(failure);
  }
}

function stepUpHint(failure: Failure<"step_up_session">): string {
  switch (failure.message) {
    case "AUTHENTICATION_FAILED":
      return "The password is wrong.";
    case "429 Too Many Requests":
      return `Too many attempts. Please wait ${failure.retryAfter ?? 60} seconds.`;
    default:
      return "Please try again.";
  }
}
// #endregion
