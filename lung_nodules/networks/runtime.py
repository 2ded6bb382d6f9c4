"""The same call on OpenVINO, PyTorch on the CPU, or PyTorch on a CUDA GPU.

Measured on two cores for the full-resolution U-Net of 1.4 M parameters on one cube of 96 voxels (seconds): OpenVINO
bf16 0.09, OpenVINO fp32 0.38, PyTorch bf16 0.22. So OpenVINO is the CPU's default. What it is given is kept in a
cache folder, keyed by the weights' SHA-256, because converting needs torch and MONAI, whose imports cost more than a
study's inference.
"""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.record import Model, ModelRecord, sha256_of
from lung_nodules.settings import RuntimeSettings

logger = logging.getLogger(__name__)
RuntimeName = Literal["openvino", "torch", "torch-cuda"]
Batch = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RuntimeIdentity:
    """What a network ran on, as the report names it."""

    runtime: str  # for example "openvino 2026.4.0 bf16"
    device: str  # for example "cpu, 2 threads"


class Network(Protocol):
    """A loaded network, with the record that says what it is fed and what comes out."""

    record: ModelRecord
    identity: RuntimeIdentity

    def __call__(self, batch: Batch) -> Batch:
        """From float32 (N, 1, D, H, W) to the network's float32 output (N, ...)."""
        ...


def open_network(model: Model, settings: RuntimeSettings) -> Network:
    """Load a model on the runtime that the settings name, or on the best one there is.

    Raises:
        UsageRefusal: ``runtime-missing`` where the runtime that was asked for is not there.
        ModelRefusal: As `lung_nodules.networks.build.load_network`.
    """
    name = choose_runtime(settings.runtime)
    threads = settings.num_threads or available_cores()
    if name == "openvino":
        return OpenVINONetwork(model, settings, threads)
    return TorchNetwork(model, "cuda" if name == "torch-cuda" else "cpu", threads)


def choose_runtime(wanted: str) -> RuntimeName:
    """The runtime to use: as asked for, else CUDA where there is a GPU, OpenVINO, PyTorch.

    Raises:
        UsageRefusal: ``runtime-missing``.
    """
    if wanted == "torch":
        return "torch"
    if wanted == "torch-cuda" or (wanted == "auto" and _may_have_gpu()):
        import torch

        if torch.cuda.is_available():
            return "torch-cuda"
        if wanted == "torch-cuda":
            raise UsageRefusal("runtime-missing", "PyTorch finds no CUDA GPU on this machine.")
    if find_spec("openvino") is not None:
        return "openvino"
    if wanted == "openvino":
        raise UsageRefusal("runtime-missing", "OpenVINO is not installed.")
    return "torch"


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OpenVINONetwork:
    """A network on OpenVINO's CPU plugin."""

    def __init__(self, model: Model, settings: RuntimeSettings, threads: int) -> None:
        import openvino as ov

        self.record = model.record
        core = ov.Core()
        config: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if settings.precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = settings.precision
        self._compiled = core.compile_model(_openvino_model(core, model, settings), "CPU", config)
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        version = ov.__version__.split("-")[0]
        self.identity = RuntimeIdentity(f"openvino {version} {precision}", f"cpu, {threads} threads")

    def __call__(self, batch: Batch) -> Batch:
        """See `Network.__call__`."""
        return np.asarray(self._compiled(batch)[0], dtype=np.float32)


class TorchNetwork:
    """A network on PyTorch, bf16 autocast."""

    def __init__(self, model: Model, device: Literal["cpu", "cuda"], threads: int) -> None:
        import torch

        from lung_nodules.networks.build import channels_last, load_network

        self.record, self._torch, self._device = model.record, torch, device
        if device == "cpu":
            torch.set_num_threads(threads)
        self._network = channels_last(load_network(model).to(device))
        where = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {threads} threads"
        self.identity = RuntimeIdentity(f"torch {torch.__version__} bf16", where)

    def __call__(self, batch: Batch) -> Batch:
        """See `Network.__call__`."""
        torch = self._torch
        with torch.inference_mode(), torch.autocast(self._device, dtype=torch.bfloat16):
            image = torch.from_numpy(batch).to(self._device).contiguous(memory_format=torch.channels_last_3d)
            output: Batch = self._network(image).float().cpu().numpy()
        return output


def _may_have_gpu() -> bool:
    """Whether an NVIDIA driver is loaded: cheaper than importing torch to learn that there is none."""
    return Path("/proc/driver/nvidia/version").exists() or "CUDA_VISIBLE_DEVICES" in os.environ or os.name == "nt"


def _openvino_model(core: Any, model: Model, settings: RuntimeSettings) -> Any:
    """The model as OpenVINO reads it: from the cache, else converted (and put there)."""
    folder = _cache_folder() if settings.cache else None
    if folder is None:
        return _convert(model)
    stem = _cache_stem(model)
    cached = _read_cached(core, folder, stem)
    if cached is not None:
        return cached
    converted = _convert(model)
    _store(converted, folder, stem)
    return converted


def _convert(model: Model) -> Any:
    import openvino as ov
    import torch

    from lung_nodules.networks.build import load_network

    side = model.record.preprocessing.patch_voxels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # not in __all__
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenVINO traces with torch.jit
        return ov.convert_model(load_network(model), example_input=torch.zeros(1, 1, side, side, side))


def _cache_folder() -> Path | None:
    """Where converted models are kept; None where there is no place for them."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lung-nodules"
    except RuntimeError:  # an unknown uid without HOME
        return None


def _cache_stem(model: Model) -> str:
    """What the files of a converted model are called; their SHA-256 follows."""
    import openvino as ov

    text = model.record.weights_sha256 + model.record.architecture.model_dump_json() + ov.__version__
    return f"{model.record.kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _read_cached(core: Any, folder: Path, stem: str) -> Any:
    """The cached form, whole and as it was stored; None where there is none."""
    try:
        for path in sorted(folder.glob(f"{stem}-*.xml")):
            if path.stem == f"{stem}-{_digest(path)}":
                return core.read_model(path)
            logger.warning("the cached form of a model is damaged; it is made again")
            path.unlink()
            path.with_suffix(".bin").unlink(missing_ok=True)
    except (OSError, RuntimeError):
        logger.info("the cache folder cannot be read; the %s is converted", stem)
    return None


def _digest(path: Path) -> str:
    """Of both files of a converted model: what was checked when it was loaded must still be what runs."""
    return hashlib.sha256((sha256_of(path) + sha256_of(path.with_suffix(".bin"))).encode()).hexdigest()[:24]


def _store(converted: Any, folder: Path, stem: str) -> None:
    """Put a converted model into the cache; a cache that cannot be written is no error."""
    import openvino as ov

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as partial:
            written = Path(partial) / "model.xml"
            ov.save_model(converted, written, compress_to_fp16=False)
            path = folder / f"{stem}-{_digest(written)}.xml"
            written.with_suffix(".bin").replace(path.with_suffix(".bin"))
            written.replace(path)
    except (OSError, RuntimeError):
        logger.info("the cache folder cannot be written; the %s is converted at each start", stem)
