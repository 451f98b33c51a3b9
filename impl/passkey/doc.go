// Package passkey is the WebAuthn relying party (WebAuthn Level 3): it begins ceremonies and verifies the responses of passkeys. It knows no
// database and no request: the caller stores passkeys and decides who may do what.
//
// A ceremony has two steps. Begin… returns the options for the browser and the library's session data, which the caller keeps until the
// browser's response arrives. Register and Verify check that response.
//
// The session data never contains the credential IDs of the user: twenty of them, with up to 1023 bytes each, would not fit into the ceremony
// that the client sends back. Verify gets the stored passkey from the caller, who checks whose it is.
package passkey
