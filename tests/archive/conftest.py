"""What the tests of archives share: studies on disk, a real Orthanc, and archives that are opened on it."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_studies import SmallStudy, write_study
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom.uid import generate_uid
from real_orthanc import Orthanc, free_port, need_orthanc, start_orthanc

from lung_nodules.archive.settings import DicomwebSettings, DimseSettings, RetrySettings

QUICK = RetrySettings(max_tries=4, first_wait_s=0.01, max_wait_s=0.05)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> SmallStudy:
    """A study with a thin series to read, a thick one, a localizer and a report."""
    return write_study(tmp_path_factory.mktemp("study"), generate_uid())


@pytest.fixture(scope="session")
def move_port() -> int:
    """Where Orthanc moves instances to."""
    return free_port()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory, study: SmallStudy, move_port: int) -> Iterator[Orthanc]:
    """A running Orthanc that holds the study and knows our AE title."""
    need_orthanc(dicomweb=True)
    config = {"DicomModalities": {"US": ["LUNGNODULES", "127.0.0.1", move_port]}}
    with start_orthanc(tmp_path_factory.mktemp("orthanc"), dicomweb=True, config=config) as started:
        started.add(study.files)
        yield started


@pytest.fixture
def web(orthanc: Orthanc) -> DicomwebSettings:
    """Orthanc by DICOMweb."""
    return DicomwebSettings(kind="dicomweb", url=orthanc.dicomweb_url, retries=QUICK, page_size=7)


@pytest.fixture
def dimse(orthanc: Orthanc, move_port: int) -> DimseSettings:
    """Orthanc by DIMSE."""
    return DimseSettings(
        kind="dimse",
        host="127.0.0.1",
        port=orthanc.dicom_port,
        ae_title="ORTHANC",
        store_port=move_port,
        retries=QUICK,
    )


@pytest.fixture
def results(tmp_path: Path, study: SmallStudy) -> list[Path]:
    """Two objects of a new series of the study, as a run would write them."""
    return study.write_results(tmp_path / "results", 2)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine that nobody vouches for, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, key_pem
