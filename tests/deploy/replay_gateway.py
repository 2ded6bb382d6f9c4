"""The Informatics Gateway's part of a replay: it takes instances by C-STORE and lays out a payload for each study.

What it does as the gateway does: it refuses a calling AE that is no known source and a called AE that it is not, leaves
aside what is not of an allowed SOP class, keeps the transfer syntax that was sent, groups by Study Instance UID and
closes a payload when no instance has come for as long as the entity's timeout. What it does not: upload to MinIO, send
messages, keep a database.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "gateway"
SUCCESS = 0x0000


@dataclass
class Payload:
    """The instances of one study that came without a long pause."""

    folder: Path
    study_instance_uid: str
    last_arrival_s: float
    num_instances: int = 0

    @property
    def dicom_folder(self) -> Path:
        """What a workflow calls ``context.input.dicom``."""
        return self.folder / "dcm"


@dataclass
class Gateway:
    """One listening entity of the gateway.

    Args:
        entity: The body of ``POST /config/ae``.
        source: The body of ``POST /config/source``.
        storage: For the payloads.
        timeout_s: Instead of the entity's own timeout, seconds.
    """

    entity: dict[str, Any]
    source: dict[str, Any]
    storage: Path
    timeout_s: float | None = None
    payloads: list[Payload] = field(default_factory=list)
    num_left_aside: int = 0
    port: int = 0

    @contextmanager
    def listen(self) -> Iterator[Gateway]:
        """Take associations at `port`, which the system chooses."""
        ae = AE(ae_title=self.entity["aeTitle"])
        ae.require_called_aet = True
        ae.require_calling_aet = [self.source["aeTitle"]]
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._take)])
        self.port = server.server_address[1]
        try:
            yield self
        finally:
            server.shutdown()

    def _take(self, event: evt.Event) -> int:
        request = event.request
        allowed = self.entity.get("allowedSopClasses")
        if allowed and request.AffectedSOPClassUID not in allowed:
            self.num_left_aside += 1
            return SUCCESS
        dataset = event.dataset
        payload = self._payload_of(dataset.StudyInstanceUID)
        folder = payload.dicom_folder / dataset.StudyInstanceUID / dataset.SeriesInstanceUID
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        write_json(dataset, path.with_suffix(".dcm.json"))
        payload.num_instances += 1
        return SUCCESS

    def _payload_of(self, study_instance_uid: str) -> Payload:
        """The open payload of a study, whose time starts anew; or a new one."""
        now = time.monotonic()
        timeout_s = self.timeout_s or self.entity["timeout"]
        for payload in self.payloads:
            if payload.study_instance_uid == study_instance_uid and now - payload.last_arrival_s < timeout_s:
                payload.last_arrival_s = now
                return payload
        self.payloads.append(Payload(self.storage / f"payload-{len(self.payloads)}", study_instance_uid, now))
        return self.payloads[-1]


def write_json(dataset: Dataset, path: Path) -> None:
    """Write DICOM JSON as the gateway does beside each instance, without pixels."""
    values = {
        tag: value for tag, value in dataset.to_json_dict(suppress_invalid_tags=True).items() if tag != "7FE00010"
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def store(datasets: list[Dataset], called: str, calling: str, port: int, pause_s: float = 0.0) -> list[int]:
    """Send instances by C-STORE in one association.

    Args:
        datasets: With file meta information.
        called: AE title of the receiver.
        calling: AE title of the sender.
        port: On this machine.
        pause_s: Before the last instance, seconds.

    Returns:
        The status of each.

    Raises:
        ConnectionError: The receiver takes no association.
    """
    ae = AE(ae_title=calling)
    for abstract, transfer in {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in datasets}:
        ae.add_requested_context(abstract, transfer)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        raise ConnectionError(f"{called} takes no association from {calling}")
    try:
        statuses = []
        for number, dataset in enumerate(datasets, start=1):
            if number == len(datasets):
                time.sleep(pause_s)
            statuses.append(int(association.send_c_store(dataset).Status))
        return statuses
    finally:
        association.release()


def receive(datasets: list[Dataset], storage: Path) -> Path:
    """Send a study through the gateway as it is configured, and give the folder that a workflow is given."""
    entity, source = (json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in ("ae.json", "source.json"))
    with Gateway(entity, source, storage).listen() as gateway:
        assert set(store(datasets, entity["aeTitle"], source["aeTitle"], gateway.port)) == {0}
    (payload,) = gateway.payloads
    return payload.dicom_folder
