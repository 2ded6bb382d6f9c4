"""Settings of the service, each typed, bounded and with its unit in its name.

They come, the first that names a value winning, from arguments, from the environment
(`LUNG_NODULES_SERVICE__WORKERS__COUNT=2`), from a YAML file (`--config`, or `LUNG_NODULES_SERVICE_CONFIG`), and from
the defaults below. Secrets never stand in the settings themselves: a field that ends in `_file` names a file that holds
one, so that a settings file can be shown to anybody.
"""

from lung_nodules.service.settings.access import AuthSettings, RateLimitSettings, ReviewsSettings, UploadsSettings
from lung_nodules.service.settings.jobs import (
    CacheSettings,
    DatabaseSettings,
    QueueSettings,
    ResultsSettings,
    RetentionSettings,
    WatchSettings,
    WebhookSettings,
    WorkersSettings,
)
from lung_nodules.service.settings.reading import CONFIG_VARIABLE, check_address, read_secret, read_service_settings
from lung_nodules.service.settings.service import PREFIX, ServiceSettings

__all__ = [
    "CONFIG_VARIABLE",
    "PREFIX",
    "AuthSettings",
    "CacheSettings",
    "DatabaseSettings",
    "QueueSettings",
    "RateLimitSettings",
    "ResultsSettings",
    "RetentionSettings",
    "ReviewsSettings",
    "ServiceSettings",
    "UploadsSettings",
    "WatchSettings",
    "WebhookSettings",
    "WorkersSettings",
    "check_address",
    "read_secret",
    "read_service_settings",
]
