"""Hooks for Schemathesis: they create a user, log in, and decode the media types of the service."""

import json
import os
import re
import time
import urllib.error
import urllib.request
import uuid

import schemathesis

API = os.environ["AUTH_URL"]
MAILBOX = os.environ["AUTH_MAILBOX"]
INVITE = os.environ["AUTH_INVITE"]
EMAIL = "fuzz@example.com"


def call(method, url, body=None):
    """Sends one well-formed request and returns the text of the response."""
    request = urllib.request.Request(url, method=method)
    request.add_header("request-id", str(uuid.uuid4()))
    request.add_header("accept", "text/plain, application/json")
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


def mailed(subject, pattern):
    """Waits for an email and returns the line that matches the pattern."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return re.search(pattern, call("GET", f"{MAILBOX}/mail/latest/text?subject={subject}"), re.MULTILINE).group()
        except urllib.error.HTTPError:
            time.sleep(0.1)
    raise TimeoutError(f"no mail about {subject}")


def join():
    """Signs up, opens the link, and returns the password."""
    call("POST", f"{API}/v1/user/signup", {"email": EMAIL, "inviteCode": INVITE, "language": "en"})
    link = mailed("confirm", r"^http\S+/u/\S+$")
    call("GET", API + link[link.index("/u/") :])
    return mailed("your+password", r"^[0-9a-z]{4}(-[0-9a-z]{4}){6}$")


PASSWORD = join()


@schemathesis.auth(refresh_interval=60)
class User:
    """Logs in, and logs in again when the fuzzing has ended the session."""

    def get(self, case, context):
        body = {"email": EMAIL, "password": PASSWORD, "clientID": "schemathesis", "device": {}}
        return json.loads(call("POST", f"{API}/v1/oauth/create", body))["accessToken"]

    def set(self, case, data, context):
        case.headers["authorization"] = f"Bearer {data}"


# Schemathesis registers its own decoder of application/yaml under text/yaml, so that one is replaced here.
@schemathesis.deserializer("text/yaml", "text/html", "text/css", "text/javascript")
def text(context, response):
    """Returns the text, because the contract describes these media types as strings."""
    return response.text
