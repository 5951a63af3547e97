"""The weights of a package's self-test: every element follows from a seed, the tensor's name and the element's index."""

import math
import struct


def seeded_weight(seed, weight, layer):
    """The bytes of a packed weight: its source tensors stacked as [rows][columns], in its type and layout."""
    rows, columns = weight["rows"], weight["columns"]
    packed = [0.0] * (rows * columns)
    for source in weight["sources"]:
        if not source.get("zeros"):
            elements = seeded_elements(seed, source["tensor"].replace("{l}", str(layer)), source["shape"])
            packed[source["row"] * columns : source["row"] * columns + len(elements)] = elements
    if weight.get("layout") == "fragments":
        packed = in_fragments(packed, rows, columns)
    return encode(packed, weight["element"])


def seeded_elements(seed, name, shape):
    """Matrices are uniform with variance 1 / columns, vectors lie between 0.5 and 1.5."""
    hashed = 0x811C9DC5
    for character in name:
        hashed = ((hashed ^ ord(character)) * 0x01000193) & 0xFFFFFFFF
    start = mix(seed ^ hashed)
    uniform = [mix(start ^ index) / 2**32 for index in range(math.prod(shape))]
    scale = math.sqrt(12 / shape[-1])
    return [(value - 0.5) * scale if len(shape) > 1 else 0.5 + value for value in uniform]


def mix(bits):
    bits = ((bits ^ (bits >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 15)) * 0x735A2D97) & 0xFFFFFFFF
    return bits ^ (bits >> 15)


def in_fragments(elements, rows, columns):
    """Tiles of 16 x 16, each as the A operand of mma.m16n8k16: eight elements of lane 0, eight of lane 1, and so on."""
    packed = []
    for row in range(0, rows, 16):
        for column in range(0, columns, 16):
            for lane in range(32):
                for half in range(8):
                    r = row + lane // 4 + (8 if half % 4 >= 2 else 0)
                    c = column + lane % 4 * 2 + half % 2 + (8 if half >= 4 else 0)
                    packed.append(elements[r * columns + c] if r < rows and c < columns else 0.0)
    return packed


def encode(elements, element):
    words = struct.pack(f"<{len(elements)}f", *elements)
    if element == "f32":
        return words
    if element == "f16":
        return struct.pack(f"<{len(elements)}e", *struct.unpack(f"<{len(elements)}f", words))
    halves = (to_bf16(word) for (word,) in struct.iter_unpack("<I", words))
    return struct.pack(f"<{len(elements)}H", *halves)


def to_bf16(word):
    """The upper half of a float32, rounded to nearest, ties to even."""
    return (word + 0x7FFF + (word >> 16 & 1)) >> 16
