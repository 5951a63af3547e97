"""Runs the PyTorch operators of a package's self-test without a GPU: tensors are PyTorch's on the CPU, launches go to a driver library.

    python torch_on_driver.py LOADER PACKAGE DRIVER-LIBRARY MODULE-IMAGE
"""

import json
import pathlib
import sys

sys.path.insert(0, sys.argv[1])
import torch
from cuda_driver import Driver
from package_self_test import run_self_test
from seeded_weights import seeded_weight
from with_pytorch import TorchDevice, TorchSession, open_package

package, library, image = pathlib.Path(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4])


class StagedDevice(TorchDevice):
    """Every launch copies its tensors to the driver's memory, and what the kernel left there back."""

    name = "cpu"
    driver = Driver(library)

    def __init__(self, _folder, manifest):
        self.load(manifest, image.read_bytes())

    def launch(self, call, memories):
        tensors = {memory.data_ptr(): memory for memory in memories}
        staged = {}
        for address, tensor in tensors.items():
            assert tensor.is_contiguous()
            staged[address] = self.driver.allocate(tensor.nbytes)
            self.driver.write(staged[address], bytes(tensor.view(torch.uint8).flatten().numpy()))
        self.driver.launch(self.function(call.kernel), call, [staged[memory.data_ptr()] for memory in memories])
        for address, tensor in tensors.items():
            data = torch.frombuffer(bytearray(self.driver.read(staged[address], tensor.nbytes)), dtype=torch.uint8)
            tensor.view(torch.uint8).copy_(data.view(tensor.view(torch.uint8).shape))
            self.driver.free(staged[address])


def fail(words):
    print(f"failed: {words}")
    sys.exit(1)


def open_session():
    weights = lambda weight, layer: seeded_weight(test["seed"], weight, layer)
    session = open_package(package / "selftest", weights, test["prefill"], len(test["ids"]), StagedDevice)
    session.prefill(test["ids"][: test["prefill"]])
    return session


def compare(what, found, wanted, allowed):
    difference = (found - wanted).abs().max().item()
    if not difference <= allowed:
        fail(f"{what} differs by {difference:.2e}, allowed {allowed}")
    print(f"{what}: largest difference {difference:.2e}")


if run_self_test(package, StagedDevice, TorchSession) != 0:
    sys.exit(1)

test = json.loads((package / "selftest" / "expected.json").read_text())
first, ids, wanted = test["prefill"], test["ids"], torch.tensor(test["logits"])
values = open_session().manifest["model"]["parameters"]
n, copies, heads, key_heads, width = 5, *(values[name] for name in ("K", "heads", "kv_heads", "head_dim"))
generator = torch.Generator().manual_seed(1)
draw = lambda count: torch.randn(n, copies, count * width, generator=generator)
queries, keys, contents = draw(heads), draw(key_heads), draw(key_heads)

session = open_session()
token = torch.tensor(ids[first], dtype=torch.int32)
print(torch.library.opcheck(torch.ops.phdc.attention, (queries, keys, contents, session.name, 0)))
print(torch.library.opcheck(torch.ops.phdc.decode_step, (session.state, session.weights, token, first, session.name)))


def step(state, weights, token, position, package):
    """A step in the middle of other operations, as a model has it."""
    logits = torch.ops.phdc.decode_step(state, weights, token + 0, position, package)
    return logits * 2, logits.argmax()


def attend(queries, keys, values, package):
    return torch.ops.phdc.attention(queries * 0.5, keys, values, package, 0).sum(-1)


for backend in ("eager", "aot_eager", "inductor"):
    torch._dynamo.reset()
    compiled = torch.compile(step, backend=backend, fullgraph=True)
    session = open_session()
    # Every step depends on the keys that the steps before it left in the state.
    for position in range(first, len(ids)):
        token = torch.tensor(ids[position], dtype=torch.int32)
        doubled, likeliest = compiled(session.state, session.weights, token, position, session.name)
        row = wanted[position - first + 1]
        compare(f"step {position} compiled by {backend}", doubled / 2, row, test["tolerance"])
        if likeliest != (doubled / 2).argmax():
            fail("what follows the operator reads something else")
    arguments = queries, keys, contents, session.name
    compiled = torch.compile(attend, backend=backend, fullgraph=True)
    compare(f"attention compiled by {backend}", compiled(*arguments), attend(*arguments), 1e-4)
print("passed")
