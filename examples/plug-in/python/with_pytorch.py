"""Operators of a compiled CUDA package for PyTorch: a whole decode step, and the attention of one layer.

    import with_pytorch
    package = with_pytorch.open_package("PACKAGE", weights, prompt=512, context=4096)
    logits = package.prefill(ids)
    logits = torch.ops.phdc.decode_step(package.state, package.weights, token, position, package.name)

Both operators have fake-tensor versions, so `torch.compile` takes functions that call them. `python with_pytorch.py PACKAGE` runs the
package's self-test through them.
"""

import pathlib
import struct
import sys

import torch

from cuda_driver import Driver, image_of
from package_self_test import run_self_test
from package_session import PackageSession
from phdc_package import read_manifest

PACKAGES = {}


class TorchDevice:
    """Memory as uint8 tensors, launches on PyTorch's current stream through the driver."""

    def __init__(self, folder, manifest):
        torch.cuda.init()
        self.driver = Driver()
        self.module = self.driver.load(image_of(folder, manifest))
        self.functions = {}

    def allocate(self, size):
        return torch.zeros(size, dtype=torch.uint8, device="cuda")

    def write(self, memory, data):
        memory[: len(data)].copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))

    def read(self, memory, size):
        return bytes(memory[:size].cpu().numpy())

    def launch(self, call, memories):
        if call.kernel not in self.functions:
            self.functions[call.kernel] = self.driver.function(self.module, call.kernel)
        pointers = [memory.data_ptr() for memory in memories]
        self.driver.launch(self.functions[call.kernel], call, pointers, torch.cuda.current_stream().cuda_stream)


def open_package(folder, weights, prompt, context):
    """A session whose operators are reached by `session.name`. `state` are the tensors that steps change."""
    folder = pathlib.Path(folder)
    manifest = read_manifest(folder)
    session = PackageSession(TorchDevice(folder, manifest), manifest, weights, prompt, context)
    session.name = f"{manifest['model']['name']} {len(PACKAGES)}"
    session.state = [session.memory[name] for name in session.plan.buffers]
    session.weights = [memory for name, memory in session.memory.items() if name not in session.plan.buffers]
    PACKAGES[session.name] = session
    return session


@torch.library.custom_op("phdc::decode_step", mutates_args={"state"})
def decode_step(
    state: list[torch.Tensor], weights: list[torch.Tensor], token: torch.Tensor, position: int, package: str
) -> torch.Tensor:
    """Reads `token` (an integer on the device) at `position`; gives the logits that follow it, f32 [vocab]."""
    session = PACKAGES[package]
    control, calls = session.plan.phase("decode", [0], position)
    memory = session.memory["control of decode"]
    session.device.write(memory, control)
    # The token stays on the device: it is the last of the four words of every row.
    first = len(session.plan.control_of(session.plan.decode_table(position), [0], position)[0])
    rows = len(session.manifest["rows"]["decode"]["order"])
    memory.view(torch.int32)[first - 4 * rows : first][3::4] = token.to(torch.int32)
    for call in calls:
        session.device.launch(call, [session.memory[name] for name in call.buffers])
    vocab = session.manifest["model"]["vocab"]
    return session.memory[session.logits()].view(torch.float32)[:vocab].clone()


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
    attended = torch.empty_like(queries)
    rows = queries.flatten(0, 1)[order].contiguous()
    buffers = {"query": rows, "attended": torch.empty_like(rows), "control": torch.tensor(control, device=queries.device)}
    for group, info in enumerate(session.manifest["groups"]):
        copies = slice(info["firstCopy"] - 1, info["lastCopy"])
        stored = [part[:, copies].flatten(0, 1) for part in (keys, values)]
        buffers[f"keys_{group}"] = torch.stack(stored).contiguous()
    session.device.launch(call, [buffers[name] for name in call.buffers])
    attended.flatten(0, 1)[order] = buffers["attended"]
    return attended


@attention.register_fake
def _(queries, keys, values, package, layer):
    return torch.empty_like(queries)


if __name__ == "__main__":
    sys.exit(run_self_test(pathlib.Path(sys.argv[1]), TorchDevice))
