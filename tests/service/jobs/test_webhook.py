import json
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from webhook_receiver import receiver

from lung_nodules.service.jobs.model import JobState
from lung_nodules.service.jobs.webhook import JobEnd, WebhookRefusal, send_webhook, sign
from lung_nodules.service.settings import WebhookSettings

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
END = JobEnd(
    key=uuid4(),
    job_id=uuid4(),
    label="0123abcd",
    version=2,
    replaces=uuid4(),
    duplicate_of=None,
    state=JobState.failed,
    reason_code="archive-unreachable",
    ended_at=datetime.now(UTC),
)


def documented(language):
    """A block of the page for users, as it stands there."""
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)


def test_the_end_of_a_job_is_told_signed_as_the_page_says(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("key\n")
    with receiver(204) as (url, received):
        settings = WebhookSettings(url=url, secret_file=secret)
        send_webhook(settings, END)
        send_webhook(settings, END)
    (headers, body), (again, _) = received
    assert headers["Idempotency-Key"] == again["Idempotency-Key"] == str(END.key)
    page = {}
    exec(documented("python"), page)
    lower = {name.lower(): value for name, value in headers.items()}
    assert page["is_genuine"](lower, body, "key")
    assert not page["is_genuine"](lower, body, "other")
    assert not page["is_genuine"](lower, body + b" ", "key")
    late = {**lower, "x-lung-nodules-timestamp": "1", "x-lung-nodules-signature": sign("key", "1", body)}
    assert not page["is_genuine"](late, body, "key")


def test_what_is_told_is_what_the_page_says():
    with receiver(204) as (url, received):
        send_webhook(WebhookSettings(url=url), END)
    ((headers, body),) = received
    example = json.loads(documented("json"))
    told = json.loads(body)
    assert set(told) == set(example)
    assert (told["event"], told["job_id"], told["state"]) == ("job.ended", str(END.job_id), "failed")
    assert not any(name.startswith("X-Lung") for name in headers)


def test_a_signature_by_hand():
    """HMAC-SHA-256 with key `key` over `1.{}`, from `printf '1.{}' | openssl dgst -sha256 -hmac key`."""
    assert sign("key", "1", b"{}") == "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"


@pytest.mark.parametrize("code", [500, 429, 404])
def test_whatever_is_not_2xx_is_a_refusal(code):
    with receiver(code) as (url, _), pytest.raises(WebhookRefusal, match=str(code)):
        send_webhook(WebhookSettings(url=url), END)


def test_a_redirect_is_not_followed():
    with receiver(200) as (elsewhere, never), receiver(307, elsewhere) as (url, received):
        with pytest.raises(WebhookRefusal, match="307"):
            send_webhook(WebhookSettings(url=url), END)
        assert len(received) == 1
        assert never == []


def test_nobody_there_is_a_refusal():
    with receiver(200) as (url, _):
        pass
    with pytest.raises(WebhookRefusal, match="reached"):
        send_webhook(WebhookSettings(url=url), END)
