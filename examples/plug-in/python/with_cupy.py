"""Runs a compiled CUDA package with CuPy: every kernel file becomes a `cupy.RawModule`.

    python with_cupy.py PACKAGE
"""

import pathlib
import sys

import cupy

from package_self_test import run_self_test


class CupyDevice:
    """Memory and launches for `PackageSession`, on CuPy's current device and stream."""

    def __init__(self, folder, manifest):
        self.folder, self.kernels, self.functions = folder, {info["name"]: info for info in manifest["kernels"]}, {}

    def allocate(self, size):
        return cupy.zeros(size, cupy.uint8)

    def write(self, memory, data):
        memory[: len(data)] = cupy.frombuffer(data, cupy.uint8)

    def read(self, memory, size):
        return memory[:size].get().tobytes()

    def launch(self, call, memories):
        arguments = list(memories)
        if call.parameters:
            # CuPy hands a NumPy scalar over by value, so a struct is a scalar of a structured type.
            arguments.append(as_struct(call.parameters))
        self.function(call.kernel)(call.grid, call.block, tuple(arguments))

    def function(self, name):
        if name not in self.functions:
            info = self.kernels[name]
            path = self.folder / info["file"]
            options = ("-std=c++17", f"-I{path.parent}")
            module = cupy.RawModule(code=path.read_text(), options=options, backend="nvrtc")
            self.functions[name] = module.get_function(info["entryPoint"])
        return self.functions[name]


def as_struct(data):
    import numpy

    return numpy.frombuffer(data, numpy.dtype([("bytes", numpy.uint8, len(data))]))[0]


if __name__ == "__main__":
    package = pathlib.Path(sys.argv[1])
    sys.exit(run_self_test(package, CupyDevice))
