package link

// Purpose is what a mailed link confirms. The database stores it in the column purpose.
type Purpose string

// The purposes of links. An account has at most one link for each.
const (
	SignUp        Purpose = "signup"
	PasswordReset Purpose = "password"
)
