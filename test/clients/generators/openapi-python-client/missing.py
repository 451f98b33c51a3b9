"""A 409 may also have the code INVITE_HAS_ENDED: the type checker rejects this."""

from typing import assert_never

from generated.models import SignUpFailure409, SignUpFailure409Message


def missing(failure: SignUpFailure409) -> str:
    match failure.message:
        case SignUpFailure409Message.USER_ALREADY_EXIST:
            return "documented"
        case _:
            assert_never(failure.message)
