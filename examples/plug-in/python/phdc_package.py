"""Reads the manifest of a compiled CUDA package and turns a phase into kernel calls. It knows no device and needs no package.

One sequence, its whole prompt in one slice, every weight in one buffer: the smallest plan that runs every model.
"""

import json
import math
import pathlib
import struct
from dataclasses import dataclass, replace

BYTES = {"f32": 4, "i32": 4, "u32": 4, "f16": 2, "bf16": 2}

OPERATIONS = {
    "add": lambda *values: sum(values),
    "mul": lambda *values: math.prod(values),
    "min": min,
    "max": max,
    "sub": lambda a, b: a - b,
    "div": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "le": lambda a, b: int(a <= b),
    "eq": lambda a, b: int(a == b),
    "select": lambda condition, yes, no: yes if condition else no,
}


def evaluate(formula, symbols):
    """The value of a formula of the manifest: a number, the name of a symbol, or an operation on formulas."""
    if isinstance(formula, (int, float)):
        return formula
    if isinstance(formula, str):
        return symbols[formula]
    return OPERATIONS[formula["op"]](*(evaluate(argument, symbols) for argument in formula["args"]))


@dataclass(frozen=True)
class Call:
    """One kernel launch: grid in blocks, parameters as the bytes of the kernel's last argument, buffers by name."""

    kernel: str
    grid: tuple
    block: tuple
    parameters: bytes
    buffers: tuple


@dataclass(frozen=True)
class Table:
    """Rows (sequence, pos, copy), those needed in the fewest layers first, and the first row of a layer's ranges."""

    rows: list
    input: object
    query: object
    output: object


class Plan:
    """Sizes in bytes of all buffers (`buffers`) for a prompt in a sequence of at most `context` positions, and the calls of each phase."""

    def __init__(self, manifest, prompt, context):
        self.manifest, self.buffers = manifest, {}
        self.kernels = {kernel["name"]: kernel for kernel in manifest["kernels"]}
        order = manifest["rows"]["decode"]["order"]
        max_rows = max(len(self.prefill_table(prompt).rows), len(order))
        sizes = {"batch": 1, "context": context, "slice": prompt, "splits": 1, "max_rows": max_rows}
        self.symbols = {**manifest["constants"], **sizes}
        # A prompt in one slice needs no keys from before, so the scratch holds the sequence from its first key.
        self.scratch_slots = [context * copies_of(group) for group in manifest["groups"]]
        for layer in range(manifest["model"]["layers"]):
            for group, store in enumerate(self.stores(layer)):
                if store["layout"] != "unread":
                    key = 2 * store["kvWidth"] * BYTES[store["element"]]
                    self.reserve(self.keys_name("store", layer, group), key * evaluate(store["slots"], self.symbols))
                    self.reserve(self.keys_name("prefill", layer, group), key * self.scratch_slots[group])
        for buffer in manifest["buffers"]:
            self.reserve(buffer["slot"], evaluate(buffer["length"], self.symbols) * BYTES[buffer["element"]])
        for table in manifest["tables"]:
            self.reserve(table["name"], evaluate(table["rows"], self.symbols) * len(table["frequencies"]) * 8)
        for phase, ids in {"prefill": [0] * prompt, "decode": [0]}.items():
            self.reserve(f"control of {phase}", len(self.phase(phase, ids)[0]))

    def reserve(self, name, size):
        """Buffers of one name share memory, as large as the largest of them."""
        self.buffers[name] = max(self.buffers.get(name, 16), -(-size // 16) * 16)

    def stores(self, layer):
        stores = self.manifest["stores"]
        return stores["distinct"][stores["layers"][layer]]

    def keys_name(self, phase, layer, group):
        """What holds the keys of a group: the layer's own store, or in prefill the scratch of a group that is not kept for ever."""
        layout = self.stores(layer)[group]["layout"]
        if layout == "forever" or (phase != "prefill" and layout == "ring"):
            return f"keys {group} of layer {layer}"
        return f"keys {group} of {'prefill' if phase == 'prefill' else 'a step'}"

    def prefill_table(self, n):
        groups, model, rules = (self.manifest[name] for name in ("groups", "model", "rows"))
        layers_of = {}
        for layer, entry in enumerate(rules["prefill"]["layers"]):
            for rows in rules["prefill"]["inputs"][entry]:
                group = next(g for g, info in enumerate(groups) if info["name"] == rows["group"])
                for span in rows["ranges"]:
                    at = {"n": n, "start": 0}
                    for index in range(max(0, evaluate(span["lo"], at)), evaluate(span["hi"], at)):
                        pos, copy = token_of(groups[group], index)
                        if evaluate(span.get("where", 1), {**at, "pos": pos, "copy": copy}):
                            layers_of[group, index] = layer + 1
        last = self.group_of(n - 1, model["predictCopy"])
        index = (n - 1) * copies_of(groups[last]) + model["predictCopy"] - groups[last]["firstCopy"]
        layers_of[last, index] = model["layers"] + 1
        ordered = sorted((layers, *key) for key, layers in layers_of.items())
        rows = [(0, *token_of(groups[group], index)) for _, group, index in ordered]

        def first(layers):
            return sum(1 for row in ordered if row[0] < layers)

        return Table(rows, lambda l: first(l + 1), lambda l: first(l + 2), lambda _: len(rows) - 1)

    def decode_table(self, pos):
        rules = self.manifest["rows"]["decode"]
        copies = len(rules["order"])

        def first(counts):
            return lambda layer: copies - (counts[layer] if layer < len(counts) else 1)

        rows = [(0, pos, copy) for copy in rules["order"]]
        return Table(rows, first(rules["input"]), first(rules["query"]), lambda _: copies - 1)

    def phase(self, kind, ids, start=0):
        """A phase as the bytes of its control buffer and its calls. Prefill takes the whole prompt, a decode step one id."""
        n = start + len(ids)
        table = self.prefill_table(n) if kind == "prefill" else self.decode_table(start)
        control, at = self.control_of(table, ids, start)
        symbols = {**self.symbols, **at, "n": n, "start": start, "part_base": 0}
        phase, calls, known = self.manifest["phases"][kind], [], {}

        def run(steps, layer=None):
            for step in steps:
                base = getattr(table, step["rows"])(layer or 0) if "rows" in step else None
                if base is not None and base not in known:
                    tiles = self.tiles(kind, table.rows, base)
                    known[base] = {"tile_base": (len(control) - at["tiles_at"]) // 4, "tile_count": len(tiles)}
                    known[base].update(row_base=base, row_count=len(table.rows) - base)
                    control.extend(word for tile in tiles for word in tile)
                inside = {**symbols, **known.get(base, {}), **self.layer_symbols(kind, layer, step)}
                calls.extend(self.call(step, kind, layer, inside))

        run(phase["before"])
        for layer, entry in enumerate(phase["classOf"]):
            run(phase["layer"][entry], layer)
        run(phase["after"])
        return struct.pack(f"<{len(control)}i", *control), calls

    def control_of(self, table, ids, start):
        stride = -(-(4 + len(self.manifest["groups"])) // 4) * 4
        control = [start + len(ids), start] + [0] * (stride - 2)
        for sequence, pos, copy in table.rows:
            control += [sequence, pos, copy, ids[pos - start]]
        return control, {"sequences_at": 0, "sequence_stride": stride, "rows_at": stride, "tiles_at": len(control)}

    def layer_symbols(self, kind, layer, step):
        if layer is None:
            parts = [weight["rows"] for weight in self.manifest["weights"] if weight["name"] == step.get("partsOf")]
            return {"part_rows": parts[0]} if parts else {}
        symbols = {"layer": layer}
        moved = {source["group"] for source in step["bindings"].values() if source["kind"] == "store"}
        for group, store in enumerate(self.stores(layer)):
            slots = evaluate(store["slots"], self.symbols)
            in_scratch = kind == "prefill" and store["layout"] != "forever"
            symbols[f"slots_{group}"] = self.scratch_slots[group] if in_scratch else slots
            if store["group"] in moved:
                symbols.update(keep=store["keep"], ring_slots=slots, scratch_slots=self.scratch_slots[group])
        return symbols

    def call(self, step, kind, layer, symbols):
        if not evaluate(step.get("when", 1), symbols):
            return []
        choice = next(choice for choice in step["choices"] if evaluate(choice.get("when", 1), symbols))
        grid = tuple(evaluate(formula, symbols) for formula in choice["workgroups"])
        if 0 in grid:
            return []
        kernel = self.kernels[choice["kernel"]]
        parameters = bytearray(kernel["parameterBytes"])
        for field in kernel["parameters"]:
            value = evaluate(choice["parameters"][field["name"]], symbols)
            struct.pack_into({"u32": "<I", "i32": "<i", "f32": "<f"}[field["type"]], parameters, field["offset"], value)
        names = (self.name_of(step["bindings"][binding["name"]], kind, layer) for binding in kernel["bindings"])
        return [Call(kernel["name"], grid, tuple(kernel["workgroupSize"]), bytes(parameters), tuple(names))]

    def attention(self, layer, n):
        """The attention of a layer over all copies of n positions: a call with buffers by their names in the kernel, the words of its
        control buffer, and the tokens (by place in stream order) in the order of its rows. Keys with index i stand in slot i."""
        groups, copies = self.manifest["groups"], self.manifest["model"]["copies"]
        every = [(group, *token_of(group, index)) for group in groups for index in range(n * copies_of(group))]
        tokens = [(0, pos, copy) for group, pos, copy in every if holds(group, pos, copy)]
        control, at = self.control_of(Table(tokens, None, None, None), [0] * n, 0)
        tiles = self.tiles("prefill", tokens, 0)
        control += [word for tile in tiles for word in tile]
        rows = {"row_base": 0, "row_count": len(tokens), "tile_base": 0, "tile_count": len(tiles)}
        slots = {f"slots_{g}": n * copies_of(group) for g, group in enumerate(groups)}
        phase = self.manifest["phases"]["prefill"]
        step = next(step for step in phase["layer"][phase["classOf"][layer]] if "attended" in step["bindings"])
        [call] = self.call(step, "prefill", layer, {**self.symbols, **at, **rows, **slots, "layer": layer, "n": n, "start": 0})
        names = tuple(binding["name"] for binding in self.kernels[call.kernel]["bindings"])
        return replace(call, buffers=names), control, [pos * copies + copy - 1 for _, pos, copy in tokens]

    def group_of(self, pos, copy):
        """The key group of a token: a run of copies, at all positions or at those of an interval."""
        return next(g for g, group in enumerate(self.manifest["groups"]) if holds(group, pos, copy))

    def tiles(self, kind, rows, base):
        """Query tiles of the rows from `base` on: [first row, rows, stride, sequence]. One of a prefill keeps to one key group."""
        most, tiles = self.manifest["rows"]["tileRows"][kind], []
        for row in range(base, len(rows)):
            joins = tiles and tiles[-1][1] < most
            if joins and kind == "prefill":
                joins = self.group_of(*rows[tiles[-1][0]][1:]) == self.group_of(*rows[row][1:])
            if joins:
                tiles[-1][1] += 1
            else:
                tiles.append([row, 1, 1, 0])
        return tiles

    def name_of(self, source, phase, layer):
        """The buffer that a step binds; weights of a layer are named `name of layer l`. A step may ask for those of the layer before."""
        kind, name = source["kind"], source.get("name")
        if kind == "buffer":
            return next(buffer["slot"] for buffer in self.manifest["buffers"] if buffer["name"] == name)
        if kind == "weight":
            if source.get("layer") == "previous":
                layer = (self.manifest["model"]["layers"] if layer is None else layer) - 1
            return weight_name(next(weight for weight in self.manifest["weights"] if weight["name"] == name), layer)
        if kind == "table":
            return name
        if kind == "control":
            return f"control of {phase}"
        if kind == "decode-control":
            return "control of decode"
        group = next(g for g, info in enumerate(self.manifest["groups"]) if info["name"] == source["group"])
        return self.keys_name("store" if kind == "store" else phase, layer, group)


def copies_of(group):
    return group["lastCopy"] - group["firstCopy"] + 1


def holds(group, pos, copy):
    positions = group.get("firstPos", 0), group.get("endPos", math.inf)
    return group["firstCopy"] <= copy <= group["lastCopy"] and positions[0] <= pos < positions[1]


def token_of(group, index):
    pos, copy = divmod(index, copies_of(group))
    return pos, group["firstCopy"] + copy


def weight_name(weight, layer):
    return f"{weight['name']} of layer {layer}" if weight["perLayer"] else weight["name"]


def read_manifest(folder):
    return json.loads((pathlib.Path(folder) / "manifest.json").read_text())
