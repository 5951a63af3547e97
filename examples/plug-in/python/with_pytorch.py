"""Operators of a compiled CUDA package for PyTorch: a whole decode step, and the attention of one layer.

    import with_pytorch
    package = with_pytorch.open_package("PACKAGE", weights, prompt=512, context=4096)
    logits = package.prefill(ids)
    logits = torch.ops.phdc.decode_step(package.state, package.weights, token, position, package.name)

Both operators have fake-tensor versions, so `torch.compile` takes functions that call them. `python with_pytorch.py PACKAGE` runs the
package's self-test through them.
"""

import pathlib
import sys
from typing import List

import torch

from cuda_driver import Driver, image_of
from package_self_test import run_self_test
from package_session import PackageSession
from phdc_package import read_manifest

PACKAGES = {}


class TorchDevice:
    """Memory as uint8 tensors, launches on PyTorch's current stream through the driver."""

    name = "cuda"

    def __init__(self, folder, manifest):
        torch.cuda.init()
        self.driver = Driver()
        self.load(manifest, image_of(folder, manifest))

    def load(self, manifest, image):
        self.module, self.functions = self.driver.load(image), {}
        self.entry_points = {info["name"]: info["entryPoint"] for info in manifest["kernels"]}

    def allocate(self, size):
        return torch.zeros(size, dtype=torch.uint8, device=self.name)

    def write(self, memory, data):
        memory[: len(data)].copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def read(self, memory, size):
        return bytes(memory[:size].tolist())

    def launch(self, call, memories):
        pointers = [memory.data_ptr() for memory in memories]
        self.driver.launch(self.function(call.kernel), call, pointers, torch.cuda.current_stream().cuda_stream)

    def function(self, kernel):
        if kernel not in self.functions:
            self.functions[kernel] = self.driver.function(self.module, self.entry_points[kernel])
        return self.functions[kernel]


class TorchSession(PackageSession):
    """A session whose steps are an operator. `state` are the tensors that steps change, `weights` those that they do not."""

    def __init__(self, device, manifest, weights, prompt, context):
        super().__init__(device, manifest, weights, prompt, context)
        self.name = f"{manifest['model']['name']} {len(PACKAGES)}"
        self.weight_names = [name for name in self.memory if name not in self.plan.buffers]
        self.state = [self.memory[name] for name in self.plan.buffers]
        self.weights = [self.memory[name] for name in self.weight_names]
        PACKAGES[self.name] = self

    def decode(self, token, position):
        token = torch.tensor(token, dtype=torch.int32, device=self.device.name)
        return torch.ops.phdc.decode_step(self.state, self.weights, token, position, self.name).tolist()


def open_package(folder, weights, prompt, context, open_device=TorchDevice):
    """A session whose operators are reached by `session.name`."""
    folder = pathlib.Path(folder)
    manifest = read_manifest(folder)
    return TorchSession(open_device(folder, manifest), manifest, weights, prompt, context)


# PyTorch 2.6 reads `List` as the type of an operator, and not yet `list`.
@torch.library.custom_op("phdc::decode_step", mutates_args={"state"})
def decode_step(
    state: List[torch.Tensor], weights: List[torch.Tensor], token: torch.Tensor, position: int, package: str
) -> torch.Tensor:
    """Reads `token` (an integer on the device) at `position`; gives the logits that follow it, f32 [vocab]."""
    session = PACKAGES[package]
    # Not the session's own tensors: torch.compile may hand over copies of the state, and takes from these what changed.
    memory = {**dict(zip(session.plan.buffers, state)), **dict(zip(session.weight_names, weights))}
    control, calls = session.plan.phase("decode", [0], position)
    session.device.write(memory["control of decode"], control)
    # The token stays on the device: it is the last of the four words of every row.
    first = len(session.plan.control_of(session.plan.decode_table(position), [0], position)[0])
    rows = len(session.manifest["rows"]["decode"]["order"])
    memory["control of decode"].view(torch.int32)[first - 4 * rows : first][3::4] = token.to(torch.int32)
    for call in calls:
        session.device.launch(call, [memory[name] for name in call.buffers])
    vocab = session.manifest["model"]["vocab"]
    return memory[session.logits()].view(torch.float32)[:vocab].clone()


@decode_step.register_fake
def _(state, weights, token, position, package):
    return state[0].new_empty(PACKAGES[package].manifest["model"]["vocab"], dtype=torch.float32)


@torch.library.custom_op("phdc::attention", mutates_args=())
def attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, package: str, layer: int
) -> torch.Tensor:
    """Who attends to whom as the model says: queries f32 [n, K, heads * width], keys and values [n, K, key heads * width] in the type
    of the key stores, all rotated; gives f32 [n, K, heads * width]."""
    session = PACKAGES[package]
    call, control, order = session.plan.attention(layer, n=queries.shape[0])
    order = torch.tensor(order, device=queries.device)
    rows = queries.flatten(0, 1)[order].contiguous()
    words = torch.tensor(control, dtype=torch.int32, device=queries.device)
    buffers = {"query": rows, "attended": torch.empty_like(rows), "control": words}
    for group, info in enumerate(session.manifest["groups"]):
        copies = slice(info["firstCopy"] - 1, info["lastCopy"])
        stored = [part[:, copies].flatten(0, 1) for part in (keys, values)]
        buffers[f"keys_{group}"] = torch.stack(stored).contiguous()
    session.device.launch(call, [buffers[name] for name in call.buffers])
    attended = queries.new_empty(queries.shape)
    attended.view(rows.shape)[order] = buffers["attended"]
    return attended


@attention.register_fake
def _(queries, keys, values, package, layer):
    return queries.new_empty(queries.shape)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    sys.exit(run_self_test(pathlib.Path(sys.argv[1]), TorchDevice, TorchSession))
