"""Telling another system that a job has ended: a POST of JSON without patient data, signed.

`X-Lung-Nodules-Signature` is `sha256=` and the HMAC-SHA-256, in hexadecimal, of `X-Lung-Nodules-Timestamp`, a full stop
and the body; `Idempotency-Key` is the same each time that the same end is told. It is told at least once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import Any

from lung_nodules.errors import Refusal
from lung_nodules.service.jobs.model import Job, JobState
from lung_nodules.service.settings import WebhookSettings, read_secret


class WebhookRefusal(Refusal):
    """Nobody took the message; `heals` says whether somebody may later."""

    def __init__(self, sentence: str, *, heals: bool) -> None:
        super().__init__("webhook-failed", sentence, "See webhook in the settings; the result itself is complete.")
        self.heals = heals


def send_webhook(settings: WebhookSettings, job: Job, state: JobState, reason_code: str = "") -> None:
    """POST how a job has ended; does nothing where no URL is set.

    Raises:
        WebhookRefusal: ``webhook-failed``.
        UsageRefusal: ``bad-settings`` where the secret cannot be read.
    """
    if settings.url is None:
        return
    request = urllib.request.Request(settings.url, method="POST", data=_body(job, state, reason_code))  # noqa: S310  # the settings allow http and https alone
    request.add_header("Content-Type", "application/json")
    request.add_header("Idempotency-Key", f"{job.id}:{job.version}:{state.value}")
    if settings.secret_file is not None:
        moment = str(int(time.time()))
        request.add_header("X-Lung-Nodules-Timestamp", moment)
        request.add_header("X-Lung-Nodules-Signature", sign(read_secret(settings.secret_file), moment, request.data))
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=settings.timeout_s) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        heals = error.code >= 500 or error.code in (408, 425, 429)
        raise WebhookRefusal(f"The webhook answered {error.code}.", heals=heals) from error
    except (OSError, ValueError) as error:
        raise WebhookRefusal("The webhook could not be reached.", heals=isinstance(error, OSError)) from error


def sign(secret: str, moment: str, body: Any) -> str:
    """The signature of a body sent at a moment (seconds since 1970, in digits)."""
    mac = hmac.new(secret.encode(), moment.encode() + b"." + bytes(body), hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def _body(job: Job, state: JobState, reason_code: str) -> bytes:
    message = {
        "event": "job.ended",
        "job_id": str(job.id),
        "label": job.label,
        "version": job.version,
        "replaces": str(job.replaces) if job.replaces else None,
        "state": state.value,
        "reason_code": reason_code or None,
    }
    return json.dumps(message).encode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not 2xx: nothing is sent to an address that was not set."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        """Follow nothing."""
        return
