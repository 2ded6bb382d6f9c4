"""Every number that a reader of the code would question, typed, bounded and with its unit in its name.

`app.yaml` is read by the MONAI Deploy packager (`application`, `resources`) and by us (`lung_nodules`): one file,
so that the packaged application runs as it was configured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lung_nodules.errors import UsageRefusal


class Section(BaseModel):
    """A part of the settings: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InstancesSettings(Section):
    """Reading of headers."""

    num_threads: int = Field(8, ge=1, le=64, description="Files read at a time.")


class SeriesSettings(Section):
    """Choice of the series to read."""


class VolumeSettings(Section):
    """Building of the volume."""


class QualitySettings(Section):
    """Limits of the checks."""


class LungsSettings(Section):
    """Segmentation of the lungs."""


class DetectionSettings(Section):
    """Search for candidates."""


class SegmentationSettings(Section):
    """Outlining of candidates."""


class NodulesSettings(Section):
    """Measuring."""


class ClassificationSettings(Section):
    """Nodule or not, and suspicion."""


class RuntimeSettings(Section):
    """Where the networks run."""

    runtime: Literal["auto", "openvino", "torch", "torch-cuda"] = Field(
        "auto", description="auto: CUDA where there is a GPU, else OpenVINO, else PyTorch on the CPU."
    )
    num_threads: int = Field(0, ge=0, le=256, description="Threads of the CPU runtimes; 0: as many as there are cores.")


class Settings(Section):
    """Settings of one run, one section a stage."""

    instances: InstancesSettings = InstancesSettings()
    series: SeriesSettings = SeriesSettings()
    volume: VolumeSettings = VolumeSettings()
    quality: QualitySettings = QualitySettings()
    lungs: LungsSettings = LungsSettings()
    detection: DetectionSettings = DetectionSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    nodules: NodulesSettings = NodulesSettings()
    classification: ClassificationSettings = ClassificationSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    outputs: tuple[str, ...] = Field(
        ("report_json", "dicom_seg", "pictures"), description="The writers to run, by module name."
    )


def read_settings(path: Path) -> Settings:
    """Read the `lung_nodules` section of an `app.yaml`; what it does not name keeps its default.

    Raises:
        UsageRefusal: ``bad-settings`` when the file cannot be read or a value is out of bounds.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Settings.model_validate(document.get("lung_nodules") or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise UsageRefusal("bad-settings", f"The settings file {path.name} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageRefusal("bad-settings", f"The setting {where} in {path.name} is not valid: {first['msg']}.") from error
