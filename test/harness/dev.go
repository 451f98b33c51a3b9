package harness

// BeyondDev are the operations whose examples do not succeed with serve --dev: the possible statuses of the response, and why. They need what only an
// authenticator or a login a moment ago can make, or they would change how the example user logs in.
var BeyondDev = map[string]struct {
	Statuses []int
	Reason   string
}{
	"confirm_totp":                         {[]int{403, 409}, "no code is valid for long; 409 if begin_totp was not called"},
	"turn_on_second_factor":                {[]int{409}, "the example user has no passkey, and would need it for every login"},
	"renew_recovery_codes":                 {[]int{409}, "the second factor of the example user is off"},
	"create_access_token_by_second_factor": {[]int{404}, "a ticket comes from a login with the second factor on"},
	"create_access_token_by_passkey":       {[]int{404}, "a credential is signed by an authenticator"},
	"add_passkey":                          {[]int{409}, "a credential is signed by an authenticator"},
}
