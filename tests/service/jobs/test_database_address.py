"""What a file with the database's URL may hold, and that nothing of it is ever shown."""

import logging
import subprocess
import sys

import pytest

from lung_nodules.errors import UsageRefusal
from lung_nodules.execution import set_up_logging
from lung_nodules.service.database.address import database_url
from lung_nodules.service.settings import read_service_settings


def settings_with(folder, url):
    path = folder / "url"
    path.write_text(url)
    values = {"data_folder": folder / "data", "database": {"url_file": path, "connect_timeout_s": 1}}
    return read_service_settings(None, values)


BAD = [
    "postgres//lung:SECRET-PW@db",
    "postgresql://lung:abc%zzSECRET@db/x",
    "postgresql://lung:a b SECRET@db/x",
    "postgresql://lung:sec@SECRET@127.0.0.1/x",
    "postgresql://lung:sec@@SECRET/x",
    "postgresql://lung:SECRET/b@db/x",
    "postgresql://lung:12/SECRET@db/x",
    "postgresql://lung:pw@db:54SECRET/x",
    "postgresql://lung:pw@db:70000/SECRET",
    "postgresql://lung:pw@-SECRET/x",
    "host=db password=a SECRET",
    "SECRET",
]


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_url_is_refused_and_not_repeated(tmp_path, url):
    with pytest.raises(UsageRefusal) as caught:
        database_url(settings_with(tmp_path, url))
    refusal = caught.value
    assert refusal.code == "bad-settings"
    assert not any(part in f"{refusal} {refusal.advice}" for part in ("SECRET", "sec@", "abc"))
    assert refusal.__cause__ is refusal.__context__ is None  # a traceback would quote them


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lung:pw@db/x",
        "postgresql://lung:p%40w%2F@db-1.example.org:5432/x?sslmode=require",
        "postgresql://lung@/postgres?host=%2Ftmp%2Fa@b",
        "postgresql://lung:pw@[::1]:5432/x",
        "postgresql://lung:pw@a:1,b_2:2/x?target_session_attrs=read-write",
        "host=10.0.0.7 port=5432 user=lung password='a b' dbname=x",
        "postgresql:///x",
    ],
)
def test_what_libpq_takes_is_taken(tmp_path, url):
    assert database_url(settings_with(tmp_path, url)) == url


def test_of_the_driver_only_errors_are_shown():
    set_up_logging("DEBUG")
    assert not logging.getLogger("psycopg.pool").isEnabledFor(logging.WARNING)
    assert logging.getLogger("psycopg.pool").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("url", [BAD[0], BAD[3], "postgresql://lung:pw@127.0.0.1:1/SECRET"])
def test_a_worker_says_one_sentence_without_the_url(tmp_path, url):
    config = tmp_path / "service.json"
    config.write_text(settings_with(tmp_path, url).model_dump_json())
    order = [sys.executable, "-m", "lung_nodules", "worker", "--config", str(config)]
    ended = subprocess.run(order, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "SECRET" not in ended.stderr
