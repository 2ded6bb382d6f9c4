"""The one way out by HTTP: to origins on the allow-list alone, without redirects, with bounds on what comes back.

`GuardedSession` stands between dicomweb-client and the network. dicomweb-client decides what is asked; here is decided
whether it may be asked at all, and what each outcome is called.
"""

from __future__ import annotations

import http.cookiejar
import os
import ssl
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth

from lung_nodules.archive.addresses import ForbiddenAddress
from lung_nodules.archive.connecting import GuardedAdapter
from lung_nodules.archive.quiet import quieten_libraries
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings, origin_of

MIB = 1024 * 1024
CHUNK_BYTES = 256 * 1024
_BUSY = (408, 425, 429, 502, 503, 504)
_NOT_SUPPORTED = (405, 406, 415, 501)
_NO_ADDRESS = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema)


class GuardedSession(requests.Session):
    """A session that refuses what it should not ask and names what went wrong.

    Every status but success is an `ArchiveRefusal`; see `_refusal_of`. An answer that is not streamed is read whole
    here, up to ``max_answer_mib``.

    Args:
        settings: Addresses, credentials, bounds.
    """

    def __init__(self, settings: DicomwebSettings) -> None:
        super().__init__()
        self._settings = settings
        self.trust_env = False  # neither proxies nor .netrc of the environment: both lead elsewhere
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.auth = _auth_of(settings)
        self.verify = str(settings.ca_file) if settings.ca_file else True
        if settings.client_certificate_file and settings.client_key_file:
            self.cert = (str(settings.client_certificate_file), str(settings.client_key_file))
        adapter = GuardedAdapter(pool_connections=1, pool_maxsize=settings.num_connections, max_retries=0)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        quieten_libraries()

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare one request, as `requests` does.

        Raises:
            ArchiveRefusal: ``archive-settings`` where the address is none.
        """
        with naming_failures():
            return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send one request, as `requests` and dicomweb-client do.

        Raises:
            ArchiveRefusal: Whatever came in between.
        """
        return self.exchange(request, streamed=bool(kwargs.get("stream")))

    def exchange(
        self, request: requests.PreparedRequest, *, streamed: bool = False, tolerated: Collection[int] = ()
    ) -> requests.Response:
        """Send one request, and read the answer unless it is to be streamed.

        Args:
            request: What to ask.
            streamed: Leave the body for `iterate_body`.
            tolerated: Statuses beside success that are given back, for what their body says.

        Raises:
            ArchiveRefusal: Whatever came in between.
        """
        if origin_of(request.url or "") not in self._settings.origins:
            raise ArchiveRefusal("archive-origin", "An address outside the archive's origin was not asked.")
        request.headers.pop("Host", None)  # dicomweb-client names the host without its port
        # and encodes wildcards, which need not be (RFC 3986 3.4) and which Orthanc does not decode
        request.url = (request.url or "").replace("%2A", "*").replace("%3F", "?")
        timeouts = self._settings.connect_timeout_s, self._settings.read_timeout_s
        with naming_failures():
            response = super().send(
                request,
                stream=True,
                timeout=timeouts,
                allow_redirects=False,
                proxies={},
                verify=self.verify,
                cert=self.cert,
            )
            if not 200 <= response.status_code < 300 and response.status_code not in tolerated:
                with response:
                    raise _refusal_of(response)
            if not streamed:
                self._read_whole(response)
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """No answer leads anywhere else."""
        return None

    def _read_whole(self, response: requests.Response) -> None:
        """Read the body within its bounds, and leave it where `requests` looks for it."""
        pieces = self.iterate_body(response, self._settings.max_answer_mib * MIB)
        response._content = b"".join(pieces)
        response._content_consumed = True

    def iterate_body(self, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
        """Give the body in pieces.

        Raises:
            ArchiveRefusal: ``archive-too-large``, ``archive-timeout``, or that it broke off.
        """
        deadline = time.monotonic() + self._settings.request_timeout_s
        num_bytes = 0
        with response, naming_failures():
            for piece in response.iter_content(CHUNK_BYTES):
                num_bytes += len(piece)
                if num_bytes > max_bytes:
                    raise ArchiveRefusal("archive-too-large", "An answer of the archive is above the size limit.")
                if time.monotonic() > deadline:
                    raise ArchiveRefusal("archive-timeout", "An answer of the archive took too long.")
                yield piece


class _BearerAuth(AuthBase):
    """A token that is read before every request, so that another program can renew it."""

    def __init__(self, file: Path | None, variable: str | None) -> None:
        self._file = file
        self._variable = variable

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {read_credential(self._file, self._variable)}"
        return request


def read_credential(file: Path | None, variable: str | None) -> str:
    """Read a password or a token from its file or environment variable.

    Raises:
        ArchiveRefusal: ``archive-settings`` where there is none.
    """
    try:
        secret = file.read_text(encoding="utf-8").strip() if file else os.environ.get(variable or "", "").strip()
    except (OSError, UnicodeDecodeError):
        secret = ""
    if not secret or not secret.isprintable():
        raise ArchiveRefusal(
            "archive-settings", "The file or variable that should hold the archive's credentials holds none."
        )
    return secret


def _auth_of(settings: DicomwebSettings) -> AuthBase | None:
    if settings.username:
        password = read_credential(settings.password_file, settings.password_variable)
        return HTTPBasicAuth(settings.username.encode(), password.encode())
    if settings.bearer_token_file or settings.bearer_token_variable:
        return _BearerAuth(settings.bearer_token_file, settings.bearer_token_variable)
    return None


@contextmanager
def naming_failures() -> Iterator[None]:
    """Turn what `requests` and `urllib3` raise into refusals; their texts hold addresses, so none is passed on."""
    try:
        yield
    except ForbiddenAddress:
        raise ArchiveRefusal("archive-origin", "The archive's name leads to an address that is never asked.") from None
    except (OSError, urllib3.exceptions.HTTPError) as error:  # all of requests' own are an OSError
        raise _refusal_of_failure(error) from None


def _refusal_of_failure(error: Exception) -> ArchiveRefusal:
    if isinstance(error, _NO_ADDRESS):
        return ArchiveRefusal("archive-settings", "The address of the archive cannot be used.")
    if isinstance(error, requests.exceptions.SSLError | ssl.SSLError | urllib3.exceptions.SSLError):
        return ArchiveRefusal("archive-tls", "The archive's certificate is not trusted.", "Set ca_file.")
    if isinstance(error, requests.exceptions.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
        return ArchiveRefusal("archive-timeout", "The archive did not answer in time.")
    if isinstance(error, requests.exceptions.ConnectionError) and "Read timed out" in str(error):
        return ArchiveRefusal("archive-timeout", "The archive stopped in the middle of an answer.")
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return ArchiveRefusal("archive-bad-answer", "An answer of the archive broke off.")
    if isinstance(error, requests.exceptions.RequestException | ConnectionError | urllib3.exceptions.HTTPError):
        return ArchiveRefusal("archive-unreachable", "The archive cannot be reached, or the connection broke off.")
    if error.__class__ is OSError and "TLS CA certificate" in str(error):
        return ArchiveRefusal("archive-settings", "The file of trusted certificates cannot be read.")
    return ArchiveRefusal("archive-unreachable", "The archive cannot be reached.")


def _refusal_of(response: requests.Response) -> ArchiveRefusal:
    """Name a status that is no success; the body is not looked at."""
    status = response.status_code
    if 300 <= status < 400:
        return ArchiveRefusal("archive-redirect", "The archive points to another address; redirects are not followed.")
    if status in (401, 403, 407):
        return ArchiveRefusal("archive-auth", f"The archive does not accept our credentials (HTTP {status}).")
    if status in (404, 410):
        return ArchiveRefusal("study-not-found", f"The archive does not know what was asked for (HTTP {status}).")
    if status in _BUSY:
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        return ArchiveRefusal("archive-busy", f"The archive cannot answer now (HTTP {status}).", "", wait_s)
    if status in _NOT_SUPPORTED:
        return ArchiveRefusal("archive-not-supported", f"The archive cannot answer in that form (HTTP {status}).")
    if status in (413, 507):
        return ArchiveRefusal("archive-too-large", f"The archive takes no object of that size (HTTP {status}).")
    if status >= 500:
        return ArchiveRefusal("archive-error", f"The archive failed on its side (HTTP {status}).")
    return ArchiveRefusal("bad-query", f"The archive does not accept the request (HTTP {status}).")


def _retry_after_s(value: str) -> float | None:
    """Seconds, from a number or a date (RFC 9110 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
