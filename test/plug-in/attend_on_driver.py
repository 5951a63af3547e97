"""Runs the attention of a layer of PHD-CSWA through the loader's driver calls and compares it with its definition.

    python attend_on_driver.py LOADER PACKAGE DRIVER-LIBRARY MODULE-IMAGE
"""

import math
import pathlib
import random
import struct
import sys

sys.path.insert(0, sys.argv[1])
from cuda_driver import Driver
from phdc_package import Plan, read_manifest

n = 7
manifest = read_manifest(pathlib.Path(sys.argv[2]) / "selftest")
values = manifest["model"]["parameters"]
copies, heads, key_heads, width = (values[name] for name in ("K", "heads", "kv_heads", "head_dim"))
driver = Driver(sys.argv[3])
module = driver.load(pathlib.Path(sys.argv[4]).read_bytes())


def floats(count):
    return [struct.unpack("<f", struct.pack("<f", random.uniform(-2, 2)))[0] for _ in range(count)]


def device_memory(data):
    pointer = driver.allocate(len(data))
    driver.write(pointer, data)
    return pointer


def packed(rows):
    words = [word for row in rows for word in row]
    return struct.pack(f"<{len(words)}f", *words)


def sees(query, key):
    (qp, qc), (kp, kc) = query, key
    near = qp * (copies - 1) + qc - (kp * (copies - 1) + kc) <= values["W"] and qp // values["C"] == kp // values["C"]
    return kc == 1 and kp < qp or kp == qp and kc <= qc or kc > 1 and qc > 1 and kp < qp and near


random.seed(1)
tokens = [(pos, copy) for pos in range(n) for copy in range(1, copies + 1)]
queries = [floats(heads * width) for _ in tokens]
keys, contents = ([floats(key_heads * width) for _ in tokens] for _ in range(2))

call, control, order = Plan(manifest, n, n).attention(0, n)
buffers = {
    "query": device_memory(packed([queries[token] for token in order])),
    "attended": driver.allocate(4 * len(tokens) * heads * width),
    "control": device_memory(struct.pack(f"<{len(control)}i", *control)),
}
for group, info in enumerate(manifest["groups"]):
    members = [t for t, (_, copy) in enumerate(tokens) if info["firstCopy"] <= copy <= info["lastCopy"]]
    buffers[f"keys_{group}"] = device_memory(packed([part[t] for part in (keys, contents) for t in members]))
driver.launch(driver.function(module, call.kernel), call, [buffers[name] for name in call.buffers])
size = len(tokens) * heads * width
attended = struct.unpack(f"<{size}f", driver.read(buffers["attended"], 4 * size))

largest = 0.0
for row, token in enumerate(order):
    for head in range(heads):
        at = head * key_heads // heads * width
        query = queries[token][head * width : (head + 1) * width]
        seen = [other for other in range(len(tokens)) if sees(tokens[token], tokens[other])]
        scores = [sum(a * b for a, b in zip(query, keys[other][at : at + width])) / math.sqrt(width) for other in seen]
        weights = [math.exp(score - max(scores)) for score in scores]
        for column in range(width):
            wanted = sum(w * contents[other][at + column] for w, other in zip(weights, seen)) / sum(weights)
            distance = abs(attended[(row * heads + head) * width + column] - wanted)
            largest = largest if distance <= largest else distance
print(f"{'passed' if largest < 1e-5 else 'failed'}: largest difference {largest:.2e}")
sys.exit(0 if largest < 1e-5 else 1)
