"""Telling another system that a job has ended: a POST of JSON without patient data, signed; see docs/webhooks.md.

`X-Lung-Nodules-Signature` is `sha256=` and the HMAC-SHA-256, in hexadecimal, of `X-Lung-Nodules-Timestamp`, a full stop
and the body.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any
from uuid import UUID

from lung_nodules.archive.addresses import ForbiddenAddress
from lung_nodules.archive.connecting import GuardedHandler
from lung_nodules.errors import Refusal
from lung_nodules.service.jobs.model import Frozen, JobState
from lung_nodules.service.settings import WebhookSettings, read_secret


class WebhookRefusal(Refusal):
    """Nobody took the message."""

    def __init__(self, sentence: str) -> None:
        super().__init__("webhook-failed", sentence, "See webhook in the settings; the result itself is complete.")


class JobEnd(Frozen):
    """One end of one job; a job that is tried again ends again."""

    key: UUID
    job_id: UUID
    label: str
    version: int
    replaces: UUID | None
    duplicate_of: UUID | None
    state: JobState
    reason_code: str | None
    ended_at: datetime


def send_webhook(settings: WebhookSettings, end: JobEnd) -> None:
    """POST how a job has ended.

    Args:
        settings: With a URL.
        end: Its key is sent as `Idempotency-Key`.

    Raises:
        WebhookRefusal: ``webhook-failed``.
        UsageRefusal: ``bad-settings`` where the secret cannot be read.
    """
    assert settings.url is not None
    body = json.dumps({"event": "job.ended", **end.model_dump(mode="json", exclude={"key"})}).encode()
    request = urllib.request.Request(settings.url, method="POST", data=body)  # noqa: S310  # the settings allow http and https alone
    request.add_header("Content-Type", "application/json")
    request.add_header("Idempotency-Key", str(end.key))
    if settings.secret_file is not None:
        moment = str(int(time.time()))
        request.add_header("X-Lung-Nodules-Timestamp", moment)
        request.add_header("X-Lung-Nodules-Signature", sign(read_secret(settings.secret_file), moment, body))
    try:
        with _opener().open(request, timeout=settings.timeout_s) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        raise WebhookRefusal(f"The webhook answered {error.code}.") from error
    except ForbiddenAddress as error:
        raise WebhookRefusal("The webhook's name leads to an address that is never asked.") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WebhookRefusal("The webhook could not be reached.") from error


def sign(secret: str, moment: str, body: bytes) -> str:
    """The signature of a body sent at a moment (seconds since 1970, in digits)."""
    mac = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def _opener() -> urllib.request.OpenerDirector:
    """Connects to what the settings name and to nothing else: neither proxies of the environment nor redirects."""
    return urllib.request.build_opener(_NoRedirects, GuardedHandler, urllib.request.ProxyHandler({}))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not 2xx: nothing is sent to an address that was not set."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        """Follow nothing."""
        return
