// A login with a second factor, and with a passkey. README.md and docs/clients.md quote the regions.
import { getPasskey, hasPasskeys, type Auth } from "@financelime/authorization";

// #region second-factor
/** Logs a user in, and returns what to show them. `ask` shows a field for the code of the authenticator app, or for a recovery code. */
export async function logInTwice(auth: Auth, user: { email: string; password: string }, ask: (hint: string) => Promise<string>): Promise<string> {
  const login = await auth.logIn(user);
  if (login.ok || login.failure.status !== 403) {
    return login.ok ? "Welcome." : `Try again: ${login.failure.message}`;
  }
  const { ticket, passkey } = login.failure; // `methods` says what the user has
  for (let hint = "Enter the code."; ; hint = "The code is wrong.") {
    const code = await ask(passkey && hasPasskeys() ? `${hint} Leave it empty to use your passkey.` : hint);
    const proof = passkey && !code ? { passkey: await getPasskey(passkey) } : /^\d{6}$/.test(code) ? { code } : { recoveryCode: code };
    const result = await auth.completeLogIn(ticket, proof);
    if (result.ok || result.failure.message !== "WRONG_CODE") {
      return result.ok ? "Welcome." : `Log in again: ${result.failure.message}`;
    }
  }
}
// #endregion

// #region passkey
/** Logs a user in by a passkey alone, and returns what to show them. */
export async function logInWithPasskey(auth: Auth): Promise<string> {
  try {
    const login = await auth.logInWithPasskey();
    return login.ok ? "Welcome." : login.failure.status === 404 ? "This passkey is of no account here." : `Try again: ${login.failure.message}`;
  } catch (error) {
    return (error as Error).name === "NotAllowedError" ? "Log in with your password." : "Passkeys do not work here."; // the first: cancelled
  }
}
// #endregion
