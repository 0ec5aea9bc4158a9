"""Colours of lamps."""

import numpy as np

_WAVELENGTHS_M = np.array([610e-9, 550e-9, 465e-9])
"""Where the red, green and blue of a camera are most sensitive."""
_SECOND_RADIATION_CONSTANT = 1.438777e-2  # m K, CODATA 2018
DAYLIGHT_K = 6500.0


def temperature_colour(kelvin: float) -> np.ndarray:
    """Return what a black body of ``kelvin`` gives of red, green and blue, green 1, where 6500 K is white (Planck)."""

    def radiance(temperature: float) -> np.ndarray:
        return 1.0 / np.expm1(_SECOND_RADIATION_CONSTANT / (_WAVELENGTHS_M * temperature))

    ratio = radiance(kelvin) / radiance(DAYLIGHT_K)
    return ratio / ratio[1]
