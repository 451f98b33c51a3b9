// What a user does with their account. docs/clients.md quotes the regions.
import type { Auth } from "@financelime/authorization";
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
