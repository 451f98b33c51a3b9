"""Walks the journey of a user with the client of openapi-python-client."""

import os
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import TypeVar, assert_never

from generated import AuthenticatedClient, Client
from generated.api.authorization import create_access_token, refresh_access_token, verify_access_token
from generated.api.service import get_jwks, get_version
from generated.api.session import get_list_active_sessions, revoke_refresh_token, revoke_session
from generated.api.user import confirm_user_email, signup
from generated.models import (
    JWKS,
    AccessTokenResponse,
    CommonFailure401,
    ConfirmationResponse,
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
    SignUpFailure400,
    SignUpFailure404,
    SignUpFailure404Message,
    SignUpFailure409,
    SignUpFailure409Message,
    SignUpRequest,
    VersionResponse,
)

AUTH_URL = os.environ["AUTH_URL"]
AUTH_INVITE = os.environ["AUTH_INVITE"]
INBOX = os.environ["INBOX"]
# The client sends no header Accept of its own. Without this one, the confirmation is a page.
HEADERS = {"Accept": "application/json"}

Kind = TypeVar("Kind")


def new_id() -> str:
    return str(uuid.uuid4())


def typed(kind: type[Kind], body: object) -> Kind:
    """Return the body of a response, which must have this type."""
    assert isinstance(body, kind), body
    return body


def inbox(what: str, email: str) -> str:
    """Wait for what a user reads in a mail."""
    with urllib.request.urlopen(f"{INBOX}/{what}?to={email}") as response:
        text: bytes = response.read()
        return text.decode().strip()


def join(client: Client, email: str) -> str:
    """Sign up, with failures first, and return the password."""

    def sign_up(email: str, invite_code: str) -> object:
        request = SignUpRequest(email=email, invite_code=invite_code, language="en")
        response = signup.sync_detailed(client=client, request_id=new_id(), body=request)
        return response.parsed if response.status_code != HTTPStatus.NO_CONTENT else None

    unknown = typed(SignUpFailure404, sign_up(email, "no-such-code"))
    assert unknown.message is SignUpFailure404Message.INVITE_NOT_FOUND
    malformed = typed(SignUpFailure400, sign_up("nobody@localhost", AUTH_INVITE))
    assert malformed.parameters == ["email"], malformed
    assert sign_up(email, AUTH_INVITE) is None
    conflict = typed(SignUpFailure409, sign_up(email, AUTH_INVITE))
    match conflict.message:
        case SignUpFailure409Message.USER_ALREADY_EXIST:
            pass
        case SignUpFailure409Message.INVITE_HAS_ENDED:
            raise AssertionError("the invite code has ended")
        case _:
            assert_never(conflict.message)

    key, rid = inbox("link", email).split()
    confirmed = typed(ConfirmationResponse, confirm_user_email.sync(key, client=client, rid=rid))
    assert confirmed.purpose is ConfirmationResponsePurpose.SIGNUP and confirmed.message
    return inbox("password", email)


def login(client: Client, email: str, password: str) -> AccessTokenResponse:
    """Log in, after an attempt with a wrong password."""

    def attempt(password: str) -> object:
        request = CreateAccessTokenRequest(email=email, password=password, client_id="opc_v1", device=Device())
        return create_access_token.sync(client=client, request_id=new_id(), body=request)

    wrong = typed(CreateAccessTokenFailure404, attempt("wrong"))
    assert wrong.message is CreateAccessTokenFailure404Message.USER_NOT_FOUND
    return typed(AccessTokenResponse, attempt(password))


def walk(client: Client, email: str) -> None:
    assert typed(VersionResponse, get_version.sync(client=client, request_id=new_id())).number
    tokens = login(client, email, join(client, email))

    def refresh(token: str) -> object:
        return refresh_access_token.sync(client=client, request_id=new_id(), body=RefreshAccessTokenRequest(refresh_token=token))

    with AuthenticatedClient(base_url=AUTH_URL, headers=dict(HEADERS), token=tokens.access_token) as mine:
        sessions = get_list_active_sessions.sync(client=mine, request_id=new_id())
        assert isinstance(sessions, list) and len(sessions) == 1, sessions
        assert sessions[0].current and sessions[0].session_id == tokens.session_id
        assert abs(datetime.now(timezone.utc) - sessions[0].created_at) < timedelta(hours=1)

        verified = verify_access_token.sync_detailed(client=mine)
        assert verified.status_code == HTTPStatus.NO_CONTENT
        assert verified.headers["x-auth-session-id"] == tokens.session_id

        renewed = typed(AccessTokenResponse, refresh(tokens.refresh_token))
        assert renewed.session_id == tokens.session_id and renewed.refresh_token != tokens.refresh_token

        logout = RevokeRefreshTokenRequest(session_id=tokens.session_id)
        assert revoke_refresh_token.sync_detailed(client=mine, request_id=new_id(), body=logout).status_code == HTTPStatus.NO_CONTENT
        assert revoke_session.sync_detailed(tokens.session_id, client=mine).status_code == HTTPStatus.NO_CONTENT

    with AuthenticatedClient(base_url=AUTH_URL, headers=dict(HEADERS), token="bad") as stranger:
        assert typed(CommonFailure401, get_list_active_sessions.sync(client=stranger, request_id=new_id())).code == 401

    ended = typed(RefreshAccessTokenFailure404, refresh(renewed.refresh_token))
    assert ended.message is RefreshAccessTokenFailure404Message.USER_NOT_FOUND
    assert typed(JWKS, get_jwks.sync(client=client)).keys[0].kty is JWKKty.EC


with Client(base_url=AUTH_URL, headers=dict(HEADERS)) as anonymous:
    walk(anonymous, f"opc-{uuid.uuid4()}@example.com")
