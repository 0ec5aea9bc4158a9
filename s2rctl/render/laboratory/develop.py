"""What a colour camera makes of light: frames (n, H, W, 3) of n cameras at once, each with values of its own."""

from collections.abc import Mapping

import numpy as np

from s2rctl.render.laboratory.chance import Chance

Values = Mapping[str, np.ndarray]
"""One value (n,) for each axis of the look."""
DISPLAY = 2.2
"""Exponent of the display's tone curve."""
MID_GREY = 0.2
"""Linear light that an automatic exposure aims at."""
_SMALL_PX = 64
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. ITU-R BT.709
_QUANTISATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)  # ITU-T T.81 (JPEG), annex K.1


def develop(rgb: np.ndarray, values: Values, chance: Chance) -> np.ndarray:
    """Return uint8 images of rendered uint8 ones; ``chance`` gives each of the n frames its random numbers.

    Values that are nominal for all n leave the images as they are, bit for bit.
    """
    light = (rgb.astype(np.float32) / 255.0) ** DISPLAY
    light = _blurred(light, values, chance)
    light = light * _gains(light, values)
    light = _mosaic(light, _column(values["bayer"]))
    light = np.clip(_noisy(light, values, chance), 0.0, 1.0)
    image = light ** (_column(values["gamma"]) / DISPLAY)
    grey = image @ _LUMA.astype(np.float32)
    image = grey[..., None] + _column(values["saturation"]) * (image - grey[..., None])
    image = _compressed(image, values["jpeg"])
    return np.asarray(np.clip(np.round(255 * image), 0, 255).astype(np.uint8))


def bent(images: np.ndarray, k1: np.ndarray) -> np.ndarray:
    """Return images (n, H, W, ...) as a lens with radial distortion ``k1`` (n,) sees them, nearest pixels.

    x_d = x_u (1 + k1 r_u²) (Brown 1971), here from the distorted to the undistorted place, with half height 1.
    """
    if not np.any(k1):
        return images
    count, height, width = images.shape[:3]
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) * 2 / height - 1,
        (np.arange(width) + 0.5) * 2 / height - width / height,
        indexing="ij",
    )
    factor = 1 + k1[:, None, None] * (x * x + y * y)
    row = np.clip(((y * factor + 1) * height / 2).astype(int), 0, height - 1)
    column = np.clip(((x * factor + width / height) * height / 2).astype(int), 0, width - 1)
    return images[np.arange(count)[:, None, None], row, column]


def _column(value: np.ndarray) -> np.ndarray:
    return np.asarray(value, np.float32)[:, None, None, None]


def _shifted(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return images moved by whole pixels, edges repeated."""
    height, width = image.shape[1:3]
    if rows:
        image = image[:, np.clip(np.arange(height) + rows, 0, height - 1)]
    if columns:
        image = image[:, :, np.clip(np.arange(width) + columns, 0, width - 1)]
    return image


def _blurred(light: np.ndarray, values: Values, chance: Chance) -> np.ndarray:
    """Blur by defocus (Gaussian) and by motion along a random direction."""
    sigma = values["blur"]
    if np.any(sigma > 0):
        steps = np.arange(-2, 3)
        weight = np.exp(-0.5 * (steps / np.maximum(sigma, 1e-3)[:, None]) ** 2)
        weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
        for down in (True, False):
            total = np.zeros_like(light)
            for index, step in enumerate(steps.tolist()):
                total += _column(weight[:, index]) * _shifted(light, step if down else 0, 0 if down else step)
            light = total
    length = values["motion_blur"]
    if np.any(length > 0):
        angle = np.array([draw.uniform(0, np.pi) for draw in chance("motion")])
        ways = np.stack([np.sin(angle), np.cos(angle)], -1) * length[:, None] / 2
        ends = [_moved(light, sign * ways) for sign in (1, -1)]
        light = np.where(_column(length) > 0, (ends[0] + light + ends[1]) / 3, light)
    return light


def _moved(images: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Return images moved by fractions of pixels (n, 2), rows and columns: weights of the four pixels around."""
    moved = np.zeros_like(images)
    for index, way in enumerate(ways):
        first = np.floor(way).astype(int)
        row, column = (float(share) for share in way - first)
        for down, right, weight in (
            (0, 0, (1 - row) * (1 - column)),
            (0, 1, (1 - row) * column),
            (1, 0, row * (1 - column)),
            (1, 1, row * column),
        ):
            part = _shifted(images[index : index + 1], int(first[0]) + down, int(first[1]) + right)
            moved[index] += np.float32(weight) * part[0]
    return moved


def _gains(light: np.ndarray, values: Values) -> np.ndarray:
    """Return what exposure, its automatic, white balance and vignetting make of light."""
    height, width = light.shape[1:3]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    fall = 1 - _column(values["vignette"]) * ((x * x + y * y) / 2).astype(np.float32)[..., None]
    mean = np.maximum((light @ _LUMA.astype(np.float32)).mean(axis=(1, 2)), 0.01)
    automatic = np.clip(MID_GREY / mean, 0.25, 8.0) ** values["auto_exposure"]
    half = 2.0 ** (values["white_balance"] / 2)
    colour = np.stack([half, np.ones_like(half), 1 / half], -1).astype(np.float32)[:, None, None, :]
    return np.asarray(fall * colour * _column(automatic * 2.0 ** values["exposure"]))


def _mosaic(light: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix with what a red-green-green-blue mosaic and bilinear interpolation make of the images."""
    if not np.any(share > 0):
        return light
    height, width = light.shape[1:3]
    row, column = np.arange(height)[:, None] % 2, np.arange(width)[None] % 2
    masks = np.stack([(row == 0) & (column == 0), row != column, (row == 1) & (column == 1)], -1).astype(np.float32)
    total, weight = np.zeros_like(light), np.zeros((1, *light.shape[1:]), np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            kernel = 0.25 * (2 - abs(down)) * (2 - abs(right))
            total += kernel * _shifted(light * masks, down, right)
            weight += kernel * _shifted(masks[None], down, right)
    return (1 - share) * light + share * total / np.maximum(weight, 1e-6)


def _noisy(light: np.ndarray, values: Values, chance: Chance) -> np.ndarray:
    """Add noise: most of its variance at mid-grey is the photons', which grows with the light; and whole rows'."""
    if np.any(values["noise"] > 0):
        white = np.stack([draw.standard_normal(light.shape[1:], np.float32) for draw in chance("noise")])
        spread = np.sqrt(0.1 + 0.9 * np.maximum(light, 0) / MID_GREY)
        light = light + _column(values["noise"]) * spread * white
    if np.any(values["rolling_noise"] > 0):
        rows = np.stack([draw.standard_normal((light.shape[1], 1, 1), np.float32) for draw in chance("rows")])
        light = light + _column(values["rolling_noise"]) * rows
    return light


def _compressed(image: np.ndarray, coarseness: np.ndarray) -> np.ndarray:
    """Quantise blocks of 8 x 8 as JPEG does at quality 100 (1 - coarseness).

    A camera compresses before its picture is made small, so small pictures are compressed at twice their size.
    """
    if not np.any(coarseness > 0):
        return image
    quality = np.clip(100 * (1 - coarseness), 2, 100)
    scale = np.where(quality < 50, 50 / quality, 2 - quality / 50)  # as the Independent JPEG Group's library
    height, width = image.shape[1:3]
    times = 2 if height < _SMALL_PX else 1
    big = np.repeat(np.repeat(image, times, axis=1), times, axis=2)
    big = np.pad(big, ((0, 0), (0, -times * height % 8), (0, -times * width % 8), (0, 0)), mode="edge")
    count, rows, columns, channels = big.shape
    blocks = big.reshape(count, rows // 8, 8, columns // 8, 8, channels) * 255 - 128
    cosine = _cosines()
    waves = np.einsum("ui,nriqjc,vj->nruqvc", cosine, blocks, cosine, optimize=True)
    step = np.maximum(_QUANTISATION[None] * scale[:, None, None], 1e-3)[:, None, :, None, :, None].astype(np.float32)
    waves = np.round(waves / step) * step
    blocks = np.einsum("ui,nruqvc,vj->nriqjc", cosine, waves, cosine, optimize=True)
    big = ((blocks + 128) / 255).reshape(big.shape)[:, : times * height, : times * width]
    small = big.reshape(count, height, times, width, times, channels).mean(axis=(2, 4))
    return np.where(_column(coarseness) > 0, small, image)


def _cosines() -> np.ndarray:
    """Return the matrix (8, 8) of the discrete cosine transform, orthonormal."""
    row, column = np.arange(8)[:, None], np.arange(8)[None]
    matrix = np.cos(np.pi * (2 * column + 1) * row / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
