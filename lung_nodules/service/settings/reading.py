"""From files, environment and arguments to checked settings; and the secrets that settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from lung_nodules.archive.settings import ListenerSettings, is_loopback
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.settings.service import ServiceSettings

CONFIG_VARIABLE = "LUNG_NODULES_SERVICE_CONFIG"


def read_service_settings(
    config_file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> ServiceSettings:
    """Read the settings from all their sources and check the address that they bind.

    Args:
        config_file: YAML; by default the one that LUNG_NODULES_SERVICE_CONFIG names, if any.
        overrides: Values from the command line, by name; nested ones as mappings.

    Raises:
        UsageRefusal: ``bad-settings`` when a file cannot be read or a value is not valid; ``insecure-address`` when
            everybody could call the API without having to say who they are.
    """
    path = config_file or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is not None and not path.is_file():
        raise UsageRefusal("bad-settings", f"There is no settings file {path}.")

    class Sourced(ServiceSettings):
        model_config = SettingsConfigDict(yaml_file=path)

    try:
        settings = Sourced(**dict(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "as a whole"
        raise UsageRefusal("bad-settings", f"The service's setting {where} is not valid: {first['msg']}.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageRefusal("bad-settings", f"The service's settings cannot be read: {type(error).__name__}.") from error
    check_address(settings)
    _check_listener(settings.listener)
    return settings


def check_address(settings: ServiceSettings) -> None:
    """Refuse an address that others can reach where nobody has to prove who they are: ours, or a proxy's in front.

    Raises:
        UsageRefusal: ``insecure-address``.
    """
    if settings.auth.mode == "oidc":
        return
    places = [("binds", settings.host, settings.host)]
    if settings.published is not None:
        places.append(("is published on", settings.published.rpartition(":")[0].strip("[]"), settings.published))
    for does, host, shown in places:
        if not is_loopback(host):
            raise UsageRefusal(
                "insecure-address",
                f"With auth.mode={settings.auth.mode} the service {does} loopback addresses alone, not {shown}.",
                "Set auth.mode=oidc with issuer, audience and jwks_url, or take 127.0.0.1.",
            )


def _check_listener(listener: ListenerSettings | None) -> None:
    """Refuse a listener to which anybody on the network could send, whatever they call themselves."""
    if listener is not None and listener.is_open:
        raise UsageRefusal(
            "insecure-address",
            f"Without allowed_ae_titles the listener binds loopback addresses alone, not {listener.host}.",
            "Set listener.allowed_ae_titles to those who may send, and listener.allowed_hosts to where they are.",
        )


def read_secret(path: Path) -> str:
    """Read the one secret that a file holds, without the line's end.

    Raises:
        UsageRefusal: ``bad-settings`` when the file cannot be read or is empty; the secret is never in the sentence.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageRefusal("bad-settings", f"The secret file {path} cannot be read.") from error
    if not secret:
        raise UsageRefusal("bad-settings", f"The secret file {path} is empty.")
    return secret
