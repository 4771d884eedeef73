# What the peers' scripts share: figures as JSON lines, a median, and where loky may be.
import importlib
import json


def emit(peer, key, value, unit):
    print(json.dumps({"peer": peer, "key": key, "value": value, "unit": unit}), flush=True)


def median(samples):
    return sorted(samples)[len(samples) // 2]


def loky_module():
    """loky itself or the copy that joblib brings; None, and a line that says so, if there is neither."""
    for name in ("loky", "joblib.externals.loky"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    print("loky is not installed: its figures are left out")
    return None
