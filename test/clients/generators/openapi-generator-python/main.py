"""Walks the journey of a user with the Python client of openapi-generator."""

import os
import urllib.request
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar, assert_never

from openapi_client import (
    AccessTokenResponse,
    ApiClient,
    AuthorizationApi,
    CommonFailure401,
    Configuration,
    ConfirmationResponsePurpose,
    CreateAccessTokenFailure404,
    CreateAccessTokenFailure404Message,
    CreateAccessTokenRequest,
    Device,
    JWKKty,
    RefreshAccessTokenFailure404,
    RefreshAccessTokenFailure404Message,
    RefreshAccessTokenRequest,
    RevokeRefreshTokenRequest,
    ServiceApi,
    SessionApi,
    SignUpFailure400,
    SignUpFailure404,
    SignUpFailure404Message,
    SignUpFailure409,
    SignUpFailure409Message,
    SignUpRequest,
    UserApi,
)
from openapi_client.exceptions import ApiException

AUTH_URL = os.environ["AUTH_URL"]
AUTH_INVITE = os.environ["AUTH_INVITE"]
INBOX = os.environ["INBOX"]

Failure = TypeVar("Failure")


def new_id() -> str:
    return str(uuid.uuid4())


def failure(kind: type[Failure], call: Callable[[], object]) -> Failure:
    """Return the typed body of a failure."""
    try:
        call()
    except ApiException as e:
        assert isinstance(e.data, kind), e
        return e.data
    raise AssertionError(f"no {kind.__name__}")


def inbox(what: str, email: str) -> str:
    """Wait for what a user reads in a mail."""
    with urllib.request.urlopen(f"{INBOX}/{what}?to={email}") as response:
        text: bytes = response.read()
        return text.decode().strip()


def join(api: ApiClient, email: str) -> str:
    """Sign up, with failures first, and return the password."""
    users = UserApi(api)

    def sign_up(email: str, invite_code: str) -> None:
        users.signup(new_id(), SignUpRequest(email=email, inviteCode=invite_code, language="en"))

    unknown = failure(SignUpFailure404, lambda: sign_up(email, "no-such-code"))
    assert unknown.message is SignUpFailure404Message.INVITE_NOT_FOUND
    malformed = failure(SignUpFailure400, lambda: sign_up("nobody@localhost", AUTH_INVITE))
    assert malformed.parameters == ["email"], malformed
    sign_up(email, AUTH_INVITE)
    conflict = failure(SignUpFailure409, lambda: sign_up(email, AUTH_INVITE))
    match conflict.message:
        case SignUpFailure409Message.USER_ALREADY_EXIST:
            pass
        case SignUpFailure409Message.INVITE_HAS_ENDED:
            raise AssertionError("the invite code has ended")
        case _:
            assert_never(conflict.message)

    key, rid = inbox("link", email).split()
    confirmed = users.confirm_user_email(key, rid)
    assert confirmed.purpose is ConfirmationResponsePurpose.SIGNUP and confirmed.message
    return inbox("password", email)


def login(authorization: AuthorizationApi, email: str, password: str) -> AccessTokenResponse:
    """Log in, after an attempt with a wrong password."""

    def attempt(password: str) -> AccessTokenResponse:
        request = CreateAccessTokenRequest(email=email, password=password, clientID="python_v1", device=Device())
        return authorization.create_access_token(new_id(), request)

    wrong = failure(CreateAccessTokenFailure404, lambda: attempt("wrong"))
    assert wrong.message is CreateAccessTokenFailure404Message.USER_NOT_FOUND
    return attempt(password)


def main() -> None:
    email = f"python-{uuid.uuid4()}@example.com"
    with ApiClient(Configuration(host=AUTH_URL)) as api:
        service, authorization = ServiceApi(api), AuthorizationApi(api)
        assert service.get_version(new_id()).number
        tokens = login(authorization, email, join(api, email))

        with ApiClient(Configuration(host=AUTH_URL, access_token=tokens.access_token)) as mine:
            (session,) = SessionApi(mine).get_list_active_sessions(new_id())
            assert session.current and session.session_id == tokens.session_id
            assert abs(datetime.now(timezone.utc) - session.created_at) < timedelta(hours=1)
            verified = AuthorizationApi(mine).verify_access_token_with_http_info()
            headers = {name.lower(): value for name, value in (verified.headers or {}).items()}
            assert headers["x-auth-session-id"] == tokens.session_id

            renewed = authorization.refresh_access_token(new_id(), RefreshAccessTokenRequest(refreshToken=tokens.refresh_token))
            assert renewed.session_id == tokens.session_id and renewed.refresh_token != tokens.refresh_token

            SessionApi(mine).revoke_refresh_token(new_id(), RevokeRefreshTokenRequest(sessionID=tokens.session_id))
            SessionApi(mine).revoke_session(tokens.session_id)

        with ApiClient(Configuration(host=AUTH_URL, access_token="bad")) as stranger:
            assert failure(CommonFailure401, lambda: SessionApi(stranger).get_list_active_sessions(new_id())).code == 401

        ended = failure(
            RefreshAccessTokenFailure404,
            lambda: authorization.refresh_access_token(new_id(), RefreshAccessTokenRequest(refreshToken=renewed.refresh_token)),
        )
        assert ended.message is RefreshAccessTokenFailure404Message.USER_NOT_FOUND
        assert service.get_jwks().keys[0].kty is JWKKty.EC


main()
