"""In which arithmetic a network learns: chosen once a run, by the device.

Mixed precision as in Micikevicius 2018 (arXiv:1710.03740): weights and optimiser in float32, the network under
autocast. bfloat16 has float32's range and needs no scaling of the loss; where a GPU lacks it, float16 with
`torch.amp.GradScaler` stands in.
"""

from __future__ import annotations

import torch
from torch.amp.grad_scaler import GradScaler

from lung_nodules.errors import UsageRefusal
from lung_nodules.training.options import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """The device to learn on; ``auto`` is this rank's GPU where there is one.

    Raises:
        UsageRefusal: ``runtime-missing`` where a GPU is wanted and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UsageRefusal("runtime-missing", "PyTorch finds no CUDA GPU on this machine.")
    return torch.device("cuda", local_rank) if has_gpu and wanted != "cpu" else torch.device("cpu")


def choose_dtype(wanted: Precision, device: torch.device) -> torch.dtype:
    """What the network computes in; ``auto`` is bfloat16 wherever the hardware has it."""
    if wanted != "auto":
        return DTYPES[wanted]
    has_bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_bfloat16 else torch.float16


def autocast(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Mixed precision in `dtype`; for float32 none."""
    is_mixed = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if is_mixed else torch.bfloat16, enabled=is_mixed)


def build_scaler(dtype: torch.dtype, device: torch.device) -> GradScaler:
    """The scaler of the loss: at work for float16 alone, else it passes everything on."""
    return GradScaler(device.type, enabled=dtype == torch.float16)
