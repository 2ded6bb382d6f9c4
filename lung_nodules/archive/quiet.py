"""Silence for the libraries underneath: what they log holds UIDs, addresses with a patient's ID, whole identifiers."""

from __future__ import annotations

import logging


def quieten_libraries() -> None:
    """Keep them from logging anything, at any level; what matters comes back as a refusal."""
    for name in ("dicomweb_client", "urllib3", "requests", "pynetdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
