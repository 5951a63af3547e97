"""Prints the calls that the Python loader plans for a package's self-test, as JSON: python print_calls.py LOADER PACKAGE"""

import json
import pathlib
import struct
import sys

sys.path.insert(0, sys.argv[1])
from phdc_package import Plan, read_manifest

folder = pathlib.Path(sys.argv[2]) / "selftest"
test = json.loads((folder / "expected.json").read_text())
ids, prompt = test["ids"], test["prefill"]
plan = Plan(read_manifest(folder), prompt, len(ids))


def printed(kind, ids, start):
    control, calls = plan.phase(kind, ids, start)
    words = struct.unpack(f"<{len(control) // 4}i", control)
    described = [[call.kernel, call.grid, call.parameters.hex(), call.buffers] for call in calls]
    return {"control": words, "calls": described}


phases = [printed("prefill", ids[:prompt], 0), printed("decode", ids[prompt : prompt + 1], prompt)]
print(json.dumps({"buffers": plan.buffers, "phases": phases}))
