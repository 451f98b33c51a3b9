// Messages for the user, for every failure of a sign-up. README.md and docs/clients.md quote the regions.
import type { Auth, Failure, SignUpRequest } from "@financelime/authorization";

// #region sign-up
/** Signs a user up, and returns what to show them. */
export async function signUp(auth: Auth, body: SignUpRequest): Promise<string> {
  const result = await auth.signUp(body);
  if (result.ok) {
    return "Open the link in the email that we have sent you.";
  }
  const { failure } = result;
  switch (failure.status) {
    case 404:
      return "This invite code does not exist, or has expired.";
    case 409:
      switch (failure.message) {
        case "USER_ALREADY_EXIST":
          return "You have signed up already. Log in, or reset your password.";
        case "INVITE_HAS_ENDED":
          return "This invite code has been used up.";
        default:
          return failure satisfies never; // does not compile if the contract has another code
      }
    default:
      return common(failure);
  }
}
// #endregion

// #region common
/** Returns what to show for the failures that many operations have in common. */
export function common(failure: Exclude<Failure<"signup">, { status: 404 | 409 }>): string {
  switch (failure.status) {
    case 400:
      return `Please check what you have typed: ${failure.parameters.join(", ")}`;
    case 429:
      return `Too many attempts. Please wait ${failure.retryAfter ?? 60} seconds.`;
    case 503:
    case "network":
      return "Please try again in a moment.";
    case 405:
    case 413:
    case 500:
    case "undocumented":
      return `Something went wrong. Please send us this number: ${failure.requestID ?? "none"}`;
    default:
      return failure satisfies never;
  }
}
// #endregion
