import json
from typing import Any

from tests.fuzz.targets.calibration import CUT, seeds


def cases() -> dict[str, bytes]:
    result = json.loads(seeds()[0].partition(CUT)[0])
    changes: dict[str, dict[str, Any]] = {
        "short covariance": {"covariance": [[1.0]]},
        "ragged covariance": {"covariance": [[1e-6] * 3] * 6},
        "large covariance": {"covariance": [[1e308] * 6] * 6},
        "huge board": {"board": {"columns": 100000, "rows": 100000, "square_m": 0.03, "marker_m": 0.02}},
        "board of large numbers": {"board": {"columns": 2**40, "rows": 5, "square_m": 0.03, "marker_m": 0.02}},
        "marker too large": {"board": {"columns": 7, "rows": 5, "square_m": 0.02, "marker_m": 0.03}},
        "tiny focal length": {"intrinsics": {**result["intrinsics"], "fx": 1e-320}},
        "huge picture": {"intrinsics": {**result["intrinsics"], "width": 2**70}},
    }
    return {name: json.dumps({**result, **change}).encode() + CUT for name, change in changes.items()}
