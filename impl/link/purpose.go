package link

// Purpose is what a mailed link confirms. The database stores it in the column purpose.
type Purpose string

// The purposes of links. An account has at most one link for each. The first two exist in two forms: a link that acts when it is opened (URL),
// and one that opens a page (PageURL). The others always open a page.
const (
	SignUp        Purpose = "signup"
	PasswordReset Purpose = "password"
	Email         Purpose = "email"         // confirms a new address
	EmailUndo     Purpose = "email_undo"    // returns to the old address
	DeletionUndo  Purpose = "deletion_undo" // cancels the deletion of the account
)

// ChoosesPassword reports whether the user chooses a password on the page of a link.
func (p Purpose) ChoosesPassword() bool { return p == SignUp || p == PasswordReset }

// Undoes reports whether a link undoes what may be the work of a thief. Only such a link works while the account is closing.
func (p Purpose) Undoes() bool { return p == EmailUndo || p == DeletionUndo }
