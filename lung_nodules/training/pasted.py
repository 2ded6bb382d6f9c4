"""Training cubes in which a nodule lies in other lung: pasted (`cohorts.layers`), with full context on all sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.layers import Array, Layer, LayerSettings, lay, lift, seam_cost
from lung_nodules.training.backgrounds import Background, cut
from lung_nodules.training.cubes import Cube, CubeSettings, augment

LAYER = LayerSettings()


def draw_pasted(crop: NoduleCrop, background: Background, settings: CubeSettings, rng: np.random.Generator) -> Cube:
    """Draw one augmented cube of a background with the crop's nodule in it, its centre up to the jitter off the middle.

    Of some clear places of lung and all orientations the one with the smoothest seam is taken. What of the background
    is not clear is not known.
    """
    layer, place = _fitted(lift(crop, (background.spacing_mm,) * 3, LAYER), background, settings.seam_tries, rng)
    reach = settings.center_jitter_mm / background.spacing_mm
    shift = np.round(rng.uniform(-reach, reach, 3)).astype(np.int32)
    shape = (settings.voxels,) * 3
    hu = cut(background.hu, place + shift, shape).astype(np.float32)
    known = cut(background.clear.astype(np.int16), place + shift, shape).astype(np.float32)
    target = np.zeros_like(hu)
    ground = cut(background.hu, place, layer.hu.shape)
    laid = lay(layer, ground, rng)
    _put(hu, laid, shift)
    _put(target, layer.inside, shift)
    return augment(Cube(hu, target, known), settings, rng)


def _fitted(
    layer: Layer, background: Background, tries: int, rng: np.random.Generator
) -> tuple[Layer, npt.NDArray[np.int32]]:
    """The best of some places and all orientations."""
    places = background.lung_ijk[rng.integers(len(background.lung_ijk), size=tries)]
    turned = layer.orientations()
    blocks = [cut(background.hu, place, layer.hu.shape) for place in places]
    costs = np.array([[seam_cost(one, block) for one in turned] for block in blocks])
    best_place, best_turn = np.unravel_index(int(costs.argmin()), costs.shape)
    return turned[int(best_turn)], places[int(best_place)]


def _put(cube: Array, block: Array, shift: npt.NDArray[np.int32]) -> None:
    """Write a block into a cube whose middle lies `shift` voxels from the block's; what leaves the cube is cut off."""
    low = np.array(cube.shape) // 2 - shift - np.array(block.shape) // 2  # the block's first voxel in the cube
    first = np.clip(low, 0, cube.shape)
    last = np.clip(low + block.shape, 0, cube.shape)
    inner = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    own = tuple(slice(int(a), int(b)) for a, b in zip(first - low, last - low, strict=True))
    cube[inner] = block[own]
