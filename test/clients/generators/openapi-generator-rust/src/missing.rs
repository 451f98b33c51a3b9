//! A 409 may also have the code INVITE_HAS_ENDED: this does not compile.

use openapi::models::{SignUpFailure409, SignUpFailure409Message};

fn missing(failure: &SignUpFailure409) -> &'static str {
    match failure.message {
        SignUpFailure409Message::UserAlreadyExist => "documented",
    }
}

fn main() {
    missing(&SignUpFailure409::default());
}
