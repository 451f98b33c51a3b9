import { documented } from "./response.js";
import { client } from "./generated/hey-api/client.gen.js";
import { signup } from "./generated/hey-api/sdk.gen.js";
import type { SignupErrors, SignupResponses, SignUpRequest } from "./generated/hey-api/types.gen.js";

// #region request-id
client.interceptors.request.use((request) => {
  request.headers.set("request-id", crypto.randomUUID());
  return request;
});
// #endregion

/** Sets the URL of the service. */
export function setBase(url: string) {
  client.setConfig({ baseUrl: url });
}

// #region sign-up
export async function signUp(body: SignUpRequest): Promise<string> {
  const { data, error, response } = await signup({ body });
  if (!response) {
    throw error; // there was no response
  }
  const r = documented<SignupResponses & SignupErrors>({ data, error, response });
  if (r.status !== 409) {
    return `${r.status}`;
  }
  switch (r.body.message) {
    case "USER_ALREADY_EXIST":
      return "You have signed up already. Log in, or reset your password.";
    case "INVITE_HAS_ENDED":
      return "This invite code has been used up.";
    default:
      return r.body.message satisfies never;
  }
}
// #endregion
