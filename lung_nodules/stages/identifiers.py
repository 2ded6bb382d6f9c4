"""UIDs that follow from what went in, so that the same reading twice has the same names.

The input (its SOP Instance UIDs, and whose they are), the models' weights, the settings, the software and the runtime
name one result; every other UID of that result is derived from this one by the part that it plays. Nothing here depends
on the clock.

Method: a name-based UUID (RFC 9562, version 5) under the root 2.25, as DICOM PS3.5 B.2 allows for UUIDs.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from lung_nodules.settings import Settings

NAMESPACE = uuid.UUID("6d1f0c52-8a3e-4b0e-9d53-2f7f6b1c9a40")


def derive_uid(*parts: str) -> str:
    """A DICOM UID that depends on `parts` and their order alone.

    Args:
        *parts: Text of any length; ``("ab", "c")`` and ``("a", "bc")`` give different UIDs.

    Returns:
        At most 44 characters, ``2.25.`` and the decimal form of a version 5 UUID.
    """
    name = "".join(f"{len(part)}:{part}" for part in parts)
    return f"2.25.{uuid.uuid5(NAMESPACE, name).int}"


def derive_result_uid(
    series_instance_uid: str,
    sop_instance_uids: Iterable[str],
    models_sha256: Iterable[str],
    records_sha256: str,
    settings_sha256: str,
    software: str,
    runtime: str,
    identity_sha256: str,
) -> str:
    """The UID of one result, from all that may change a voxel of it, or the name on it.

    Args:
        series_instance_uid: Of the series that was read.
        sop_instance_uids: Of its instances, in any order.
        models_sha256: Of the weights, in any order.
        records_sha256: Of the models' records, which hold thresholds and heads.
        settings_sha256: See `digest_settings`.
        software: Name and version.
        runtime: Name, version and precision; two runtimes round differently.
        identity_sha256: See `study.digest_identity`: archives keep the earlier one of two objects with one UID, and one
            with the wrong name must not stay for the right one.
    """
    instances = digest_text(sorted(sop_instance_uids))
    models = digest_text(sorted(models_sha256))
    return derive_uid(
        "result",
        series_instance_uid,
        instances,
        models,
        records_sha256,
        settings_sha256,
        software,
        runtime,
        identity_sha256,
    )


def digest_settings(settings: Settings) -> str:
    """SHA-256 of every setting, in hexadecimal."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()


def digest_text(parts: Iterable[str]) -> str:
    """SHA-256 of a list of texts, in hexadecimal; the order counts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
