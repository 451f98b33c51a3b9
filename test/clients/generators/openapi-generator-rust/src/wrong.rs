//! A 409 has no code INVITE_NOT_FOUND: this does not compile.

use openapi::models::{SignUpFailure409, SignUpFailure409Message};

fn wrong(failure: &SignUpFailure409) -> &'static str {
    match failure.message {
        SignUpFailure409Message::UserAlreadyExist | SignUpFailure409Message::InviteHasEnded => "documented",
        SignUpFailure409Message::InviteNotFound => "of another status",
    }
}

fn main() {
    wrong(&SignUpFailure409::default());
}
