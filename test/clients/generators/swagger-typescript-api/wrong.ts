// A 409 has no code INVITE_NOT_FOUND: this does not compile.
import type { SignUpFailure409 } from "./generated";

export function wrong(failure: SignUpFailure409): string {
  switch (failure.message) {
    case "USER_ALREADY_EXIST":
    case "INVITE_HAS_ENDED":
      return "documented";
    case "INVITE_NOT_FOUND":
      return "of another status";
  }
}
