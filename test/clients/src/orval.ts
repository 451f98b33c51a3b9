import { signup, type SignUpRequest } from "./generated/orval.js";

// #region sign-up
export async function signUp(body: SignUpRequest): Promise<string> {
  const r = await signup(body);
  if (r.status !== 409) {
    return `${r.status}`;
  }
  switch (r.data.message) {
    case "USER_ALREADY_EXIST":
      return "You have signed up already. Log in, or reset your password.";
    case "INVITE_HAS_ENDED":
      return "This invite code has been used up.";
    default:
      return r.data.message satisfies never;
  }
}
// #endregion
