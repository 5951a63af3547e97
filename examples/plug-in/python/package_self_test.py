"""Compares a package's self-test with what a device computes: weights from a seed, logits that the compiler computed."""

import json

from package_session import PackageSession
from phdc_package import read_manifest
from seeded_weights import seeded_weight


def run_self_test(folder, open_device, session_type=PackageSession):
    """Prints the largest difference of a logit; 0 when the device is within the tolerance, else 1."""
    folder = folder / "selftest"
    manifest, test = read_manifest(folder), json.loads((folder / "expected.json").read_text())
    weights = lambda weight, layer: seeded_weight(test["seed"], weight, layer)
    session = session_type(open_device(folder, manifest), manifest, weights, test["prefill"], len(test["ids"]))
    largest = 0.0
    for step, expected in enumerate(test["logits"]):
        position = test["prefill"] - 1 + step
        if step == 0:
            logits = session.prefill(test["ids"][: test["prefill"]])
        else:
            logits = session.decode(test["ids"][position], position)
        for value, wanted in zip(logits, expected, strict=True):
            distance = abs(value - wanted)
            largest = largest if distance <= largest else distance  # so that a NaN is not lost
    passed = largest <= test["tolerance"]
    print(f"{'passed' if passed else 'failed'}: largest difference {largest:.2e}, allowed {test['tolerance']}")
    return 0 if passed else 1
