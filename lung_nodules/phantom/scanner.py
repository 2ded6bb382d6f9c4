"""What a scanner makes of a chest: blur of the kernel and the slice profile, and correlated noise.

Noise has the spectrum of filtered back-projection: nothing at the lowest frequencies, a rise with frequency, then the
roll-off of the kernel (Riederer, Pelc and Chesler, Phys Med Biol 23:446, 1978). Its strength follows the attenuation
along the two main directions through the slice, so that it is highest through shoulders and spine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from lung_nodules.phantom.grid import Float32, Grid
from lung_nodules.phantom.settings import KernelName, PhantomSettings


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel."""

    blur_mm: float  # standard deviation of the point spread in the slice
    noise_peak_per_mm: float  # frequency at which its noise is strongest
    noise_factor: float  # noise against that of the standard kernel


# The standard kernel passes half of the contrast at 0.4 line pairs per mm, as body kernels do.
KERNELS: dict[KernelName, Kernel] = {
    "soft": Kernel(0.62, 0.22, 0.6),
    "standard": Kernel(0.47, 0.30, 1.0),
    "lung": Kernel(0.34, 0.55, 2.2),
}
_WATER_PER_MM = 0.0195  # attenuation at about 70 keV
_TUBE_CURRENT_SHARE = 0.45  # of the differences in attenuation that tube current modulation leaves
_TYPICAL_PATH_MM = 190.0  # of water, through the middle of the chest
_NEIGHBOUR_NOISE = 0.35  # share of the next slice's noise in a slice's own


class Scanner:
    """Scans the ideal volume slice by slice; `scan` may run in several threads.

    Args:
        ideal_hu: ``[slice, row, column]``, without blur and noise.
        grid: Of the volume.
        settings: Kernel, noise and seed.
    """

    def __init__(self, ideal_hu: Float32, grid: Grid, settings: PhantomSettings) -> None:
        self._ideal, self._grid, self._settings = ideal_hu, grid, settings
        self._kernel = KERNELS[settings.kernel]
        self._profile = _slice_profile()
        self._noise_filter = _noise_filter(self._kernel, grid)

    def scan(self, index: int) -> npt.NDArray[np.int16]:
        """The reconstructed slice `index` in HU, within -1024 and 3071."""
        reach = len(self._profile) // 2
        neighbours = np.clip(np.arange(index - reach, index + reach + 1), 0, self._grid.shape[0] - 1)
        plane = self._ideal[neighbours[0]] * self._profile[0]
        for neighbour, weight in zip(neighbours[1:], self._profile[1:], strict=True):
            plane += self._ideal[neighbour] * weight
        sigma = extra_blur_px(self._kernel.blur_mm, self._grid.spacing_mm[2])
        if sigma > 0:
            plane = gaussian_filter(plane, sigma, truncate=3.0)
        if self._settings.noise_hu > 0:
            plane += self._noise(index) * self._strength(plane)
        return np.asarray(np.rint(plane).clip(-1024, 3071), dtype=np.int16)

    def _noise(self, index: int) -> Float32:
        """Correlated noise of unit variance, akin to that of the next slice."""
        white = self._white(index)
        white += _NEIGHBOUR_NOISE * self._white(index + 1)
        white /= np.float32(np.hypot(1, _NEIGHBOUR_NOISE))
        spectrum = fft.rfft2(white)
        spectrum *= self._noise_filter
        return np.asarray(fft.irfft2(spectrum, s=white.shape), dtype=np.float32)

    def _white(self, index: int) -> Float32:
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([self._settings.seed, 30, index])))
        return rng.standard_normal(self._grid.shape[1:], dtype=np.float32)

    def _strength(self, plane: Float32) -> Float32:
        """Standard deviation of the noise at each pixel, HU."""
        water = np.clip(plane / 1000 + 1, 0, 2.2)
        step = self._grid.spacing_mm[2]
        across, along = (gaussian_filter1d(water.sum(axis=axis) * step, 6 / step, mode="nearest") for axis in (1, 0))
        quanta = [np.exp(_TUBE_CURRENT_SHARE * _WATER_PER_MM * (path - _TYPICAL_PATH_MM)) for path in (across, along)]
        variance = 0.6 * quanta[0][:, None] + 0.4 * quanta[1][None, :]
        strength = self._settings.noise_hu * self._kernel.noise_factor * np.sqrt(variance)
        return np.asarray(strength, dtype=np.float32)


def extra_blur_px(blur_mm: float, spacing_mm: float) -> float:
    """Blur in pixels that is left to do where a pixel is the mean over its own square already."""
    return float(np.sqrt(max(blur_mm**2 - spacing_mm**2 / 12, 0))) / spacing_mm


def _slice_profile() -> Float32:
    """Weights of the slices next to each other: a Gaussian profile whose half width is the slice spacing.

    The slices are means over their thickness already, which is part of that width.
    """
    sigma = np.sqrt((1 / 2.355) ** 2 - 1 / 12)
    weights = np.exp(-0.5 * (np.arange(-1, 2) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _noise_filter(kernel: Kernel, grid: Grid) -> Float32:
    """What white noise is multiplied with in the frequency domain; it keeps the variance at one."""
    rows, columns = grid.shape[1:]
    step = grid.spacing_mm[2]
    frequency = np.hypot(fft.fftfreq(rows, step)[:, None], fft.fftfreq(columns, step)[None, :])
    peak = min(kernel.noise_peak_per_mm, 0.4 / step)
    amplitude = np.sqrt(frequency) * np.exp(-((frequency / peak) ** 2) / 4)
    amplitude /= np.sqrt((amplitude**2).mean())
    return np.asarray(amplitude[:, : columns // 2 + 1], dtype=np.float32)
