"""The pixels of a CT image as Hounsfield units.

pydicom finds the frame and its decoder (pylibjpeg and pyjpegls for compressed images); what is our own is what comes
after: the sample value out of its bits, the slice's own slope and intercept, the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.pixels import get_decoder
from pydicom.uid import UID, JPEGLSLossless, JPEGLSNearLossless

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.dicom_file import UnreadableFileError, read_pixel_data
from lung_nodules.stages.instances import Instance

AIR_HU = -1024  # the lowest value that the line knows; padding and everything below become this
SEND_AGAIN = "Send the series again, or another series of the study."
_HIGHEST_HU = np.iinfo(np.int16).max

# what pydicom needs to know of the Image Pixel module (PS3.3 C.7.6.3)
_PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
)
# always lossy; JPEG 2000 may be either, and then Lossy Image Compression has to tell
_LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)


@dataclass(frozen=True)
class Rescale:
    """How stored values become HU: ``stored * slope + intercept`` (PS3.3 C.11.1)."""

    slope: float
    intercept: float


def value_or_none(header: pydicom.Dataset, keyword: str) -> Any:
    """Read an element; None where it is missing, or where what it holds is not of its value representation."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom's converters raise what their parsers raise
        return None


def transfer_syntax(header: pydicom.Dataset) -> UID:
    """Give the transfer syntax that a header was read in."""
    return UID(str(header.file_meta.TransferSyntaxUID))


def is_decodable(syntax: UID) -> bool:
    """Tell whether a decoder for a transfer syntax is at hand."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:  # what pydicom raises for a transfer syntax that it has no decoder for
        return False
    return bool(decoder.is_available)


def is_lossy(header: pydicom.Dataset) -> bool:
    """Tell whether the pixels went through lossy compression, now or earlier (PS3.3 C.7.6.1.1.5)."""
    if str(header.get("LossyImageCompression") or "").strip() == "01":
        return True
    return str(transfer_syntax(header)) in _LOSSY_SYNTAXES


def read_rescale(header: pydicom.Dataset) -> Rescale:
    """Read slope and intercept.

    Raises:
        InputRefusal: ``missing-rescale``, ``invalid-rescale``, or ``not-hu`` where Rescale Type says that the result
            is something else.
    """
    slope, intercept = value_or_none(header, "RescaleSlope"), value_or_none(header, "RescaleIntercept")
    if slope in (None, "") or intercept in (None, ""):
        raise InputRefusal(
            "missing-rescale", "The slices lack Rescale Slope or Intercept, so their values have no known unit."
        )
    try:
        rescale = Rescale(float(slope), float(intercept))
    except (TypeError, ValueError):
        rescale = Rescale(np.nan, np.nan)
    if not (np.isfinite(rescale.slope) and np.isfinite(rescale.intercept)) or rescale.slope == 0:
        raise InputRefusal("invalid-rescale", "Rescale Slope is zero or no number.")
    unit = str(header.get("RescaleType") or "HU").strip().upper()
    if unit not in ("HU", "HU_MOD"):
        raise InputRefusal("not-hu", "Rescale Type says that the values are not Hounsfield units.")
    return rescale


def check_pixel_format(header: pydicom.Dataset) -> None:
    """Check that the pixels are of a kind that can be read as one CT value each.

    Raises:
        InputRefusal: ``unsupported-transfer-syntax`` or ``unsupported-pixel-format``.
    """
    if not is_decodable(transfer_syntax(header)):
        raise InputRefusal("unsupported-transfer-syntax", "There is no decoder for the compression of these images.")
    keywords = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
    allocated, stored, high_bit, representation, num_samples = (value_or_none(header, each) for each in keywords)
    is_known = all(isinstance(each, int) for each in (allocated, stored, high_bit, representation))
    fits = is_known and allocated in (8, 16, 32) and 1 <= stored <= high_bit + 1 <= allocated
    if not fits or representation not in (0, 1) or num_samples not in (None, 1):
        raise InputRefusal("unsupported-pixel-format", "The bit layout of the pixels is not that of a CT image.")


def read_hu(instances: Sequence[Instance], settings: Settings) -> list[npt.NDArray[np.int16]]:
    """Decode the frames that lie in one file.

    Args:
        instances: Frames of one file, most often a single one.
        settings: The run's settings.

    Returns:
        For each instance its plane [row, column] in HU, rounded, no value below `AIR_HU`.

    Raises:
        InputRefusal: ``damaged-file`` where the pixels cannot be decoded as declared; codes of `read_rescale`.
    """
    try:
        pixel_data = read_pixel_data(instances[0].path, settings.instances)
        return [_frame_hu(instance, pixel_data, settings) for instance in instances]
    except InputRefusal:
        raise
    except UnreadableFileError as error:
        raise InputRefusal(
            error.code, f"The pixels of {_name(instances)} cannot be read: {error.sentence}", SEND_AGAIN
        ) from error
    except Exception as error:  # decoders raise whatever their libraries raise
        raise InputRefusal(
            "damaged-file",
            f"The pixels of {_name(instances)} cannot be decoded: they are cut off or not what the header says.",
            SEND_AGAIN,
        ) from error


def _name(instances: Sequence[Instance]) -> str:
    """The slice by a number that tells nothing of the patient."""
    number = value_or_none(instances[0].header, "InstanceNumber")
    return f"the slice with Instance Number {int(number)}" if isinstance(number, int) else "a slice"


def _frame_hu(instance: Instance, pixel_data: pydicom.DataElement, settings: Settings) -> npt.NDArray[np.int16]:
    header = instance.header
    stored = _decode(header, pixel_data, instance.frame)
    samples = _samples(stored, header)
    rescale = read_rescale(header)
    hu = _rescaled(samples, rescale)
    padding = _padding_range(header, rescale, settings)
    if padding is not None:
        hu[(samples >= padding[0]) & (samples <= padding[1])] = AIR_HU
    return hu


def _decode(header: pydicom.Dataset, pixel_data: pydicom.DataElement, frame: int) -> npt.NDArray[np.integer]:
    """Decode one frame [row, column] as stored."""
    source = pydicom.Dataset()
    source.file_meta = header.file_meta
    for keyword in _PIXEL_KEYWORDS:
        if keyword in header:
            source[keyword] = header[keyword]
    source["PixelData"] = pixel_data
    if frame or "NumberOfFrames" in header:
        source.NumberOfFrames = max(frame + 1, int(header.get("NumberOfFrames") or 1))
    syntax = transfer_syntax(header)
    # pyjpegls decodes JPEG-LS four times as fast as pylibjpeg, which pydicom would try first
    plugin = "pyjpegls" if syntax in (JPEGLSLossless, JPEGLSNearLossless) else ""
    array, _ = get_decoder(syntax).as_array(
        source, index=frame, raw=True, decoding_plugin=plugin, correct_unused_bits=False
    )
    plane: npt.NDArray[np.integer] = array.astype(array.dtype.newbyteorder("="), copy=False)
    if plane.shape != (header.Rows, header.Columns):
        raise ValueError("the decoded image is not of the declared size")
    return plane


def _samples(stored: npt.NDArray[np.integer], header: pydicom.Dataset) -> npt.NDArray[np.integer]:
    """Take the value out of the bits that hold it, whatever lies in the others, and extend its sign."""
    num_bits, high_bit = int(header.BitsStored), int(header.HighBit)
    width = stored.dtype.itemsize * 8
    if num_bits == width:
        return stored
    shift = 0 if transfer_syntax(header).is_encapsulated else high_bit + 1 - num_bits
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    to_the_left = unsigned << (width - num_bits - shift)
    kind = "i" if header.PixelRepresentation == 1 else "u"
    shifted: npt.NDArray[np.integer] = to_the_left.view(f"{kind}{stored.dtype.itemsize}") >> (width - num_bits)
    return shifted


def _rescaled(samples: npt.NDArray[np.integer], rescale: Rescale) -> npt.NDArray[np.int16]:
    """Apply slope and intercept, round, and clip to the range that the line knows."""
    hu: npt.NDArray[np.generic]
    if rescale.slope == 1 and rescale.intercept.is_integer() and abs(rescale.intercept) < 2**20:
        hu = samples.astype(np.int32) + np.int32(rescale.intercept)
    else:
        hu = np.rint(samples * rescale.slope + rescale.intercept)
    clipped: npt.NDArray[np.int16] = np.clip(hu, AIR_HU, _HIGHEST_HU).astype(np.int16)
    return clipped


def _padding_range(header: pydicom.Dataset, rescale: Rescale, settings: Settings) -> tuple[int, int] | None:
    """Give the stored values that mark pixels outside the image (PS3.3 C.7.5.1.1.2), both ends included.

    Padding that tissue could have is not believed: it would punch holes into the patient.
    """
    ends = [_signed(header.get(keyword), header) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    known = [end for end in ends if end is not None]
    if ends[0] is None:
        return None
    low, high = min(known), max(known)
    in_hu = sorted((low * rescale.slope + rescale.intercept, high * rescale.slope + rescale.intercept))
    tissue = settings.volume.tissue_hu
    if in_hu[0] <= tissue[1] and in_hu[1] >= tissue[0]:
        return None
    return low, high


def _signed(value: object, header: pydicom.Dataset) -> int | None:
    """Read a padding value in the pixels' own representation: files often give it in the other one."""
    if not isinstance(value, int):
        return None
    num_values = 1 << int(header.BitsAllocated)
    unsigned = value % num_values
    is_negative = header.PixelRepresentation == 1 and unsigned >= num_values // 2
    return unsigned - num_values if is_negative else unsigned
