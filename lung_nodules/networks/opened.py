"""The three networks of the line, opened together."""

from __future__ import annotations

from dataclasses import dataclass

from lung_nodules.networks.record import Models
from lung_nodules.networks.runtime import Network, open_network
from lung_nodules.settings import RuntimeSettings


@dataclass(frozen=True)
class Networks:
    """What the line computes with; open it once and read as many studies as you like."""

    finder: Network
    outliner: Network
    classifier: Network


def open_networks(models: Models, settings: RuntimeSettings) -> Networks:
    """Open the networks of the models on the runtime that the settings choose.

    Raises:
        UsageRefusal: The runtime that the settings force is not there.
        ModelRefusal: A model does not fit this version.
    """
    return Networks(
        finder=open_network(models.detection, settings),
        outliner=open_network(models.segmentation, settings),
        classifier=open_network(models.classification, settings),
    )
