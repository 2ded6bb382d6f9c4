"""How an archive is reached: the only addresses that are ever asked, and the files that hold the secrets.

A password or a token never stands here: a field names the file that holds it, or the environment variable.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, IPvAnyNetwork, field_validator, model_validator

from lung_nodules.archive.addresses import check_host, check_url
from lung_nodules.settings import Section

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AE_TITLE = r"^[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?$"  # PS3.5 6.2, AE: 16 characters, no backslash

AeTitle = Annotated[str, Field(pattern=_AE_TITLE)]
Port = Annotated[int, Field(ge=1, le=65535)]


class RetrySettings(Section):
    """What is asked again: connections that fail, answers that say "later", answers that came short."""

    max_tries: int = Field(5, ge=1, le=20, description="Of one request, the first one included.")
    first_wait_s: float = Field(0.5, ge=0, le=60, description="Before the second try; doubled each time, with jitter.")
    max_wait_s: float = Field(30.0, ge=0, le=600, description="Longest wait between two tries.")


class ListenerSettings(Section):
    """Our own C-STORE listener, to which a scanner or an archive sends studies."""

    host: str = Field("127.0.0.1", description="Address that it listens on.")
    port: int = Field(11113, ge=0, le=65535, description="0: a free one.")
    ae_title: AeTitle = "LUNGNODULES"
    allowed_ae_titles: tuple[AeTitle, ...] = Field((), description="Who may send; empty: whoever is on this machine.")
    allowed_hosts: tuple[IPvAnyNetwork, ...] = Field(
        (), description="From where, as addresses or networks (10.1.2.0/24); empty: from anywhere."
    )
    quiet_s: float = Field(30.0, ge=0, le=86_400, description="A study is complete when nothing came for so long.")
    max_associations: int = Field(10, ge=1, le=200, description="At a time; further ones are rejected for now.")
    max_spool_gib: float = Field(50.0, gt=0, le=100_000, description="Above it the listener says out of resources.")
    max_instance_mib: int = Field(
        2048, ge=1, le=65536, description="A larger instance is refused; one lies in memory while it comes."
    )
    network_timeout_s: float = Field(60.0, gt=0, le=3600, description="A peer silent for longer is cut off.")
    keep_s: float = Field(
        86_400.0, ge=0, le=31_536_000, description="A complete study stays, for slices that come late."
    )

    @property
    def is_open(self) -> bool:
        """Whether others than this machine reach it, whatever they call themselves."""
        return not self.allowed_ae_titles and not is_loopback(self.host)


class DicomwebSettings(Section):
    """A DICOMweb server: QIDO-RS, WADO-RS and STOW-RS below one address."""

    kind: Literal["dicomweb"]
    url: str = Field(description="Root of the services, e.g. https://orthanc.example/dicom-web.")
    qido_prefix: str | None = Field(None, min_length=1, description="Path of QIDO-RS below the URL, where it has one.")
    wado_prefix: str | None = Field(None, min_length=1, description="Likewise of WADO-RS.")
    stow_prefix: str | None = Field(None, min_length=1, description="Likewise of STOW-RS.")
    username: str | None = Field(None, min_length=1, description="For HTTP Basic, with one of the next two.")
    password_file: Path | None = None
    password_variable: str | None = Field(None, description="Environment variable that holds the password.")
    bearer_token_file: Path | None = Field(None, description="Read before every request, so that it can be renewed.")
    bearer_token_variable: str | None = Field(None, description="Environment variable that holds the token.")
    plain_http_allowed: bool = Field(False, description="Send credentials over http to a machine other than this one.")
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's.")
    client_certificate_file: Path | None = Field(None, description="For mutual TLS, with the next one.")
    client_key_file: Path | None = None
    connect_timeout_s: float = Field(10.0, gt=0, le=600)
    read_timeout_s: float = Field(60.0, gt=0, le=3600, description="Longest silence within an answer.")
    request_timeout_s: float = Field(900.0, gt=0, le=86_400, description="Longest duration of one answer.")
    num_connections: int = Field(4, ge=1, le=64, description="Requests in flight.")
    page_size: int = Field(500, ge=1, le=100_000, description="Matches asked for at a time; servers may give fewer.")
    max_instance_mib: int = Field(2048, ge=1, le=65536, description="A larger instance is refused.")
    max_answer_mib: int = Field(256, ge=1, le=4096, description="A larger answer of JSON is refused.")
    retries: RetrySettings = RetrySettings()
    change_feed: Literal["orthanc"] | None = Field(None, description="Whose change feed tells of new studies.")
    change_feed_url: str | None = Field(None, description="Root of Orthanc's REST interface; asked as `url` is.")

    @field_validator("url", "change_feed_url")
    @classmethod
    def _is_plain_address(cls, value: str | None) -> str | None:
        return None if value is None else _check_address(value)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_one_secret(self)
        if self.change_feed and not self.change_feed_url:
            raise ValueError("a change feed needs change_feed_url")
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file go together")
        addresses = [each for each in (self.url, self.change_feed_url) if each]
        if self.has_credentials and not self.plain_http_allowed and any(map(_is_open_line, addresses)):
            raise ValueError("credentials would cross the network unencrypted: use https, or set plain_http_allowed")
        return self

    @property
    def has_credentials(self) -> bool:
        """Whether requests carry a password or a token."""
        return bool(self.username or self.bearer_token_file or self.bearer_token_variable)

    @property
    def origins(self) -> frozenset[str]:
        """The allow-list: every origin that is ever asked, whatever an answer says."""
        return frozenset(origin_of(each) for each in (self.url, self.change_feed_url) if each)


class DimseSettings(Section):
    """An archive that speaks DICOM's own network protocol: C-FIND, C-GET or C-MOVE, C-STORE."""

    kind: Literal["dimse"]
    host: Annotated[str, AfterValidator(check_host)] = Field(min_length=1, description="Of the archive.")
    port: Port = 104
    ae_title: AeTitle = Field(description="Of the archive (called).")
    own_ae_title: AeTitle = Field("LUNGNODULES", description="Ours (calling); the archive has to know it.")
    retrieval: Literal["get", "move"] = Field("get", description="C-MOVE needs our AE title, host and port over there.")
    store_host: str = Field("127.0.0.1", description="Address at which our store SCP waits for a C-MOVE.")
    store_port: Port = Field(11114, description="Likewise the port.")
    tls: bool = Field(False, description="The secure transport connection of PS3.15 B.")
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's.")
    client_certificate_file: Path | None = Field(None, description="For mutual TLS, with the next one.")
    client_key_file: Path | None = None
    connect_timeout_s: float = Field(10.0, gt=0, le=600)
    read_timeout_s: float = Field(60.0, gt=0, le=3600, description="Longest silence of the archive.")
    num_connections: int = Field(2, ge=1, le=32, description="Associations in parallel, one a series or a share of it.")
    max_instance_mib: int = Field(2048, ge=1, le=65536, description="A larger instance is refused.")
    retries: RetrySettings = RetrySettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file go together")
        return self


class FolderSettings(Section):
    """A folder of DICOM files, at any depth."""

    kind: Literal["folder"]
    path: Path = Field(description="Where the files are; what is pushed goes below it.")


ArchiveSettings = Annotated[DicomwebSettings | DimseSettings | FolderSettings, Field(discriminator="kind")]


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, the port always named (RFC 6454)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme.lower(), 0)
    return f"{parts.scheme.lower()}://{f'[{host}]' if ':' in host else host}:{port}"


def _check_address(url: str) -> str:
    parts = urlsplit(check_url(url))
    if parts.scheme.lower() not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and names a host")
    if parts.username or parts.password:
        raise ValueError("an address holds no user name and no password")
    if parts.query or parts.fragment:
        raise ValueError("an address holds neither a query nor a fragment")
    return url.rstrip("/")


def _check_one_secret(settings: DicomwebSettings) -> None:
    passwords = [each for each in (settings.password_file, settings.password_variable) if each]
    tokens = [each for each in (settings.bearer_token_file, settings.bearer_token_variable) if each]
    if bool(settings.username) != bool(passwords) or len(passwords) > 1:
        raise ValueError("a username goes with one of password_file and password_variable")
    if len(tokens) > 1 or (tokens and settings.username):
        raise ValueError("give one of username, bearer_token_file and bearer_token_variable")


def _is_open_line(url: str) -> bool:
    """Whether an address leads off this machine without encryption."""
    parts = urlsplit(url)
    if parts.scheme.lower() == "https":
        return False
    return not is_loopback((parts.hostname or "").lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is taken for public."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
