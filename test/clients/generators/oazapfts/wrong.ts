// A 409 has no code INVITE_NOT_FOUND: this does not compile.
import { signup } from "./generated";

export async function wrong(request: Parameters<typeof signup>[0]): Promise<string> {
  const result = await signup(request);
  if (result.status !== 409) return "another status";
  switch (result.data.message) {
    case "USER_ALREADY_EXIST":
    case "INVITE_HAS_ENDED":
      return "documented";
    case "INVITE_NOT_FOUND":
      return "of another status";
  }
}
