"""A package with its memory on a device: prefill and decode steps of one sequence.

The device is anything with `allocate(bytes)`, `write(memory, bytes)`, `read(memory, bytes)` and `launch(call, memories)`.
"""

import math
import struct

from phdc_package import Plan, evaluate, weight_name


class PackageSession:
    """`weights(weight, layer)` gives the bytes of a packed weight, `layer` being None for those that no layer has."""

    def __init__(self, device, manifest, weights, prompt, context):
        self.device, self.manifest = device, manifest
        self.plan = Plan(manifest, prompt, context)
        self.memory = {name: device.allocate(size) for name, size in self.plan.buffers.items()}
        for weight in manifest["weights"]:
            layers = weight.get("layers", range(manifest["model"]["layers"])) if weight["perLayer"] else [None]
            for layer in layers:
                self.upload(weight_name(weight, layer), weights(weight, layer))
        for table in manifest["tables"]:
            self.device.write(self.memory[table["name"]], rotations(table, evaluate(table["rows"], self.plan.symbols)))

    def upload(self, name, data):
        self.memory[name] = self.device.allocate(len(data))
        self.device.write(self.memory[name], data)

    def prefill(self, ids):
        """Reads the whole prompt; gives the logits of its last position."""
        return self.run("prefill", ids, 0)

    def decode(self, token, position):
        """Reads one token; the positions before it are known."""
        return self.run("decode", [token], position)

    def run(self, phase, ids, start):
        control, calls = self.plan.phase(phase, ids, start)
        self.device.write(self.memory[f"control of {phase}"], control)
        for call in calls:
            self.device.launch(call, [self.memory[name] for name in call.buffers])
        vocab = self.manifest["model"]["vocab"]
        return struct.unpack(f"<{vocab}f", self.device.read(self.memory[self.logits()], 4 * vocab))

    def logits(self):
        return next(buffer["slot"] for buffer in self.manifest["buffers"] if buffer["name"] == "logits")


def packed_weights(folder):
    """The weights that `phdc compile --weights` packed into the package."""

    def weights(weight, layer):
        piece = next(piece for piece in weight["packed"] if piece.get("layer") == layer)
        with open(folder / piece["file"], "rb") as file:
            file.seek(piece["offset"])
            return file.read(piece["bytes"])

    return weights


def rotations(table, rows):
    """Cosines and sines of a rotation table, f32 [rows][pairs][2]."""
    values = []
    for row in range(rows):
        at = evaluate(table["index"], {"pos": row} if table["over"] == "pos" else {"copy": row + 1})
        scale = table["amplitude"] if table["over"] == "pos" else 1
        for frequency in table["frequencies"]:
            values += [math.cos(at * frequency) * scale, math.sin(at * frequency) * scale]
    return struct.pack(f"<{len(values)}f", *values)
