// Package authclient is a Go client of Financelime Authorization that keeps a user logged in.
//
// A [Client] signs users up and logs them in. A login creates a [Session], whose HTTP client sends the access token to your own APIs:
//
//	auth, err := authclient.New("https://auth.example.com", authclient.WithOrigins("https://api.example.com"))
//	...
//	session, err := auth.Login(ctx, authclient.LoginRequest{Email: email, Password: password, ClientID: "shop_v1.0.0"})
//	...
//	response, err := session.HTTPClient().Get("https://api.example.com/orders")
//
// # What a session does
//
//   - It refreshes the tokens shortly before the access token expires, and after a 401. Any number of calls wait for one refresh. The refresh
//     goes on if the context of the call that started it ends.
//   - It saves new tokens in the [TokenStore] before it uses them. After a restart, [Client.Resume] continues the session. Several processes
//     may share a store.
//   - It ends only if the service says so: the refresh fails with 404 USER_NOT_FOUND, or with a 400 that names refreshToken. After any other
//     failure the tokens remain, and the next call tries again: the service accepts a refresh token again whose response was lost.
//   - Its methods that change tokens save the new ones, and no refresh runs meanwhile: [Session.ChangePassword], [Session.StepUp], [Session.StepUpWith].
//   - It sends the access token only to the service and to the origins in [WithOrigins], and not after a redirect that has left them.
//
// # Failures
//
// Every response that is not a success is an [*Error] with the HTTP status, the code of the contract, and the request ID by which an operator
// finds it in the log. The codes are constants, which [errors.Is] compares:
//
//	switch {
//	case errors.Is(err, authclient.ErrUserNotFound): // wrong address or password
//	case errors.Is(err, authclient.ErrTooManyRequests): // wait
//	case errors.Is(err, authclient.ErrLoggedOut): // the session has ended: show the login form
//	}
//
// A request that gets 503 is sent again after the time in Retry-After, three times in all: 503 means that the service has changed nothing. So is
// a refresh whose response was lost. Nothing else is repeated: a login would create another session, and a password reset sends another mail.
//
// Some operations need a recent authentication. [Session.WithRecentAuthentication] asks for the password when it is needed:
//
//	err := session.WithRecentAuthentication(ctx, session.DeleteUser, askPassword)
//
// # Where tokens are kept
//
// By default in memory. [FileStore] keeps them in a file that only its owner can read, for command-line tools. A server that keeps the
// sessions of many users implements [TokenStore] with its own database, and creates a [Client] for each user.
//
// The operations that have no method here are in the generated client, which [Client.API] and [Session.API] return.
package authclient
