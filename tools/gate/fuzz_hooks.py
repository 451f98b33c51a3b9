"""What Schemathesis has to be told of the service: how to become a user, and what its media types are."""

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
    """Sends one well-formed request and returns the text of the answer."""
    request = urllib.request.Request(url, method=method)
    request.add_header("request-id", str(uuid.uuid4()))
    request.add_header("accept", "text/plain, application/json")
    if body is not None:
        request.add_header("content-type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


def mailed(subject, pattern):
    """Waits for a mail and returns what stands alone on a line of it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return re.search(pattern, call("GET", f"{MAILBOX}/mail/latest/text?subject={subject}"), re.MULTILINE).group()
        except urllib.error.HTTPError:
            time.sleep(0.1)  # between two looks
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
    """Logs in, and again when the fuzzing has ended the session."""

    def get(self, case, context):
        body = {"email": EMAIL, "password": PASSWORD, "clientID": "schemathesis", "device": {}}
        return json.loads(call("POST", f"{API}/v1/oauth/create", body))["accessToken"]

    def set(self, case, data, context):
        case.headers["authorization"] = f"Bearer {data}"


# text/yaml is the one under which Schemathesis has its own reader of application/yaml.
@schemathesis.deserializer("text/yaml", "text/html", "text/css", "text/javascript")
def text(context, response):
    """To the contract these are strings."""
    return response.text
