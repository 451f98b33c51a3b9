"""A 409 has no code INVITE_NOT_FOUND: the type checker rejects this."""

from generated.models import SignUpFailure409, SignUpFailure409Message


def wrong(failure: SignUpFailure409) -> str:
    match failure.message:
        case SignUpFailure409Message.USER_ALREADY_EXIST | SignUpFailure409Message.INVITE_HAS_ENDED:
            return "documented"
        case SignUpFailure409Message.INVITE_NOT_FOUND:
            return "of another status"
