"""A paid service whose callers present API keys: GET /search costs 0.01 cents, POST /chat at most 2.

Python's standard library alone. Settings: LATCHKEY_URL, LATCHKEY_KEY (a key with the role `gateway`), PORT.
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API = os.environ["LATCHKEY_URL"].rstrip("/") + "/api/v1"
MODEL = "gpt-4o-mini"
# The codes of a key that does not work (401), and of limits (429); any other refusal is a 403.
STATUS = dict.fromkeys(["MALFORMED", "NOT_FOUND", "DISABLED", "REVOKED", "EXPIRED", "OWNER_INACTIVE", "PROJECT_INACTIVE"], 401)
STATUS["RATE_LIMITED"] = 429


class Refused(Exception):
    """The key may not do this; `verdict` says why."""

    def __init__(self, verdict):
        super().__init__(verdict["code"])
        self.verdict = verdict


def call(path, body):
    """The answer to a POST. Raises urllib.error.HTTPError for what is no 2xx."""
    request = urllib.request.Request(
        API + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": os.environ["LATCHKEY_KEY"]},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def verify(key, **question):
    # None is absent. A verify consumes, so it is not sent again by itself.
    verdict = call("/verify", {"key": key, **question})
    if not verdict["valid"]:
        raise Refused(verdict)
    return verdict


def report(event):
    """Books one event. The id is drawn once, so that sending it again counts nothing twice."""
    event = {"id": str(uuid.uuid4()), **event}
    for attempt in range(5):
        try:
            return call("/usage", {"events": [event]})["results"][0]["outcome"]
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                # 400 and 409 say of the event what is wrong: it is not booked, and must not be lost silently.
                print(f"not booked: {error.read().decode()} {json.dumps(event)}", flush=True)
                return "lost"
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except OSError:
            time.sleep(2**attempt / 10)
    print(f"not sent, report it again: {json.dumps(event)}", flush=True)
    return "lost"


def search(key, ip):
    verdict = verify(key, ip=ip, scopes=["search"])
    report({"apiKeyId": verdict["keyId"], "costCents": 0.01, "endpoint": "GET /search"})
    return {"found": []}


def chat(key, ip):
    verdict = verify(key, ip=ip, model=MODEL, scopes=["chat"], reserveCents=2)
    reservation = verdict["reservation"]["id"]
    try:
        answer = {"answer": "Forty-two."}
    except Exception:
        call("/reservations/release", {"reservationId": reservation})
        raise
    report({"reservationId": reservation, "costCents": 0.8, "inputTokens": 812, "outputTokens": 204, "model": MODEL})
    return answer


ROUTES = {"GET /search": search, "POST /chat": chat}


class Service(BaseHTTPRequestHandler):
    def serve(self):
        work = ROUTES.get(f"{self.command} {self.path}")
        if work is None:
            return self.answer(404, {"code": "ROUTE_NOT_FOUND"})
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return self.answer(401, {"code": "UNAUTHENTICATED"})
        try:
            self.answer(200, work(key.strip(), self.client_address[0]))
        except Refused as refused:
            verdict = refused.verdict
            self.answer(STATUS.get(verdict["code"], 403), {"code": verdict["code"], "detail": verdict["detail"]}, verdict)
        except OSError as error:
            print(f"Latchkey did not decide: {error}", flush=True)
            self.answer(503, {"code": "UNAVAILABLE"})

    do_GET = do_POST = serve

    def answer(self, status, body, verdict=None):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if verdict and "retryAfterSeconds" in verdict:
            self.send_header("Retry-After", str(int(verdict["retryAfterSeconds"]) + 1))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """A line for each request is not what this example shows."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service).serve_forever()
