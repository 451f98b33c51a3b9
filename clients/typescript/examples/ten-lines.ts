// README.md and docs/clients.md quote the region.
// #region ten-lines
import { Auth } from "@financelime/authorization";

export async function main(url: string, email: string, password: string): Promise<string> {
  const auth = new Auth(url, { clientID: "web_v1", origins: ["https://api.example.com"] });
  const login = await auth.logIn({ email, password });
  if (!login.ok) {
    return login.failure.status === 404 ? "The address or the password is wrong." : `Try again: ${login.failure.message}`;
  }
  // auth.session.fetch("https://api.example.com/orders") sends a request to your own service, with a fresh access token.
  const sessions = await auth.sessions();
  await auth.logOut();
  return sessions.ok ? `Sessions: ${sessions.data.length}` : `Try again: ${sessions.failure.message}`;
}
// #endregion
