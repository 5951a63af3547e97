"""PHD in PyTorch on an NVIDIA GPU: what a good implementation without phdc reaches.

Two ways of attention, each compiled by torch.compile with CUDA graphs and a static cache:

  flex   FlexAttention with a block mask made from the visibility rule
  sdpa   scaled_dot_product_attention with the same rule as a boolean mask

The model is of the Llama family, with random weights. Copies of a token share position and weights, as in PHD-CSWA: originals see
earlier originals, copies see originals before them, their own position's copies, and the last W hidden tokens of their chunk. As in the
paper, hidden tokens are grouped behind the originals, so that what nobody may see is one block.

    python3 bench/peers/pytorch.py --shape 550m --copies 1,2,3,16,256 --prompt 1024 -o report.json

Prefill computes all originals of the prompt and the hidden tokens of its last chunk. Decode computes the K rows of one position against
a cache of `originals` (for ever) and a ring of W hidden keys. Times are medians of CUDA events with quartiles, after warm-up; next to
each stands the share of the bandwidth that a device-to-device copy reaches.
"""

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median, quantiles


@dataclass(frozen=True)
class Shape:
    layers: int
    dim: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int

    @property
    def head(self):
        return self.dim // self.heads


SHAPES = {
    "4x256": Shape(layers=4, dim=256, ffn=768, heads=8, kv_heads=2, vocab=4096),
    "550m": Shape(layers=16, dim=1536, ffn=4096, heads=16, kv_heads=4, vocab=100278),
    "1.2b": Shape(layers=16, dim=2048, ffn=8192, heads=32, kv_heads=8, vocab=100278),
}


@dataclass(frozen=True)
class Relation:
    """PHD-CSWA-K-W-C: window in hidden tokens, chunk in positions."""

    copies: int
    window: int
    chunk: int

    def sees(self, q_pos, q_copy, k_pos, k_copy):
        """Whether a query sees a key; works on numbers and, elementwise, on tensors. Copies count from 1."""
        hidden = self.copies - 1
        distance = (q_pos * hidden + q_copy) - (k_pos * hidden + k_copy)
        original = (k_copy == 1) & (k_pos < q_pos)
        own = (k_pos == q_pos) & (k_copy <= q_copy)
        near = (distance <= self.window) & (q_pos // self.chunk == k_pos // self.chunk)
        recent = (k_copy > 1) & (q_copy > 1) & (k_pos < q_pos) & near
        return original | own | recent


def tokens_of_prompt(torch, relation, n, device):
    """Positions and copies of the rows of a prefill: originals first, then the hidden tokens of the last chunk."""
    originals = torch.arange(n, device=device)
    first = (n - 1) // relation.chunk * relation.chunk
    positions = torch.arange(first, n, device=device)
    hidden = torch.arange(2, relation.copies + 1, device=device)
    pos = torch.cat([originals, positions.repeat_interleave(len(hidden))])
    copy = torch.cat([torch.ones_like(originals), hidden.repeat(len(positions))])
    return pos, copy


def build_model(torch, shape, relation, attention, context, dtype, device):
    """The model as plain functions over lists of tensors; nothing but what is timed."""
    functional = torch.nn.functional
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    generator = torch.Generator(device=device).manual_seed(0)

    def matrix(rows, columns):
        weight = torch.randn(rows, columns, generator=generator, device=device, dtype=torch.float32)
        return (weight / columns**0.5).to(dtype)

    kv_width = shape.kv_heads * shape.head
    layers = [
        {
            "qkv": matrix(shape.dim + 2 * kv_width, shape.dim),
            "o": matrix(shape.dim, shape.dim),
            "gate_up": matrix(2 * shape.ffn, shape.dim),
            "down": matrix(shape.dim, shape.ffn),
            "norms": torch.ones(2, shape.dim, device=device, dtype=dtype),
        }
        for _ in range(shape.layers)
    ]
    embedding = matrix(shape.vocab, shape.dim)
    final_norm = torch.ones(shape.dim, device=device, dtype=dtype)
    weight_bytes = sum(weight.nbytes for layer in layers for weight in layer.values()) + embedding.nbytes

    # Slots: originals by position, then a ring of hidden keys with room for the rows of a step.
    ring = relation.window + relation.copies if relation.copies > 1 else 0
    slots = context + ring
    caches = [
        tuple(torch.zeros(1, shape.kv_heads, slots, shape.head, device=device, dtype=dtype) for _ in range(2))
        for _ in range(shape.layers)
    ]
    # CUDA graphs take buffers that are written in place only where they know that these stay where they are.
    for cache in caches:
        for side in cache:
            torch._dynamo.mark_static_address(side)
    # Which token stands in a slot; position -1 is nobody, and is seen by nobody.
    slot_pos = torch.full((slots,), -1, device=device, dtype=torch.long)
    slot_copy = torch.ones(slots, device=device, dtype=torch.long)
    frequencies = 500000.0 ** (-torch.arange(0, shape.head, 2, device=device, dtype=torch.float32) / shape.head)

    def norm(x, scale):
        return functional.rms_norm(x, (shape.dim,), scale, 1e-6)

    def rotate(x, angles):
        first, second = x.float().chunk(2, dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)

    def slot_of(pos, copy):
        hidden_index = pos * (relation.copies - 1) + copy - 2
        return torch.where(copy == 1, pos, context + hidden_index % max(ring, 1))

    def forward(ids, pos, copy, mask, originals):
        """Rows of one sequence. A prompt begins with its originals, whose keys it keeps; a step, with none, sees the whole cache."""
        x = embedding[ids][None]
        angles = pos[:, None].float() * frequencies
        for weights, (keys, values) in zip(layers, caches):
            qkv = functional.linear(norm(x, weights["norms"][0]), weights["qkv"])
            q, k, v = qkv.split([shape.dim, kv_width, kv_width], dim=-1)
            q = rotate(q.view(1, -1, shape.heads, shape.head).transpose(1, 2), angles)
            k = rotate(k.view(1, -1, shape.kv_heads, shape.head).transpose(1, 2), angles)
            v = v.view(1, -1, shape.kv_heads, shape.head).transpose(1, 2)
            if originals > 0:
                keys[:, :, :originals].copy_(k[:, :, :originals])
                values[:, :, :originals].copy_(v[:, :, :originals])
            else:
                at = slot_of(pos, copy)
                keys.index_copy_(2, at, k)
                values.index_copy_(2, at, v)
                k, v = keys, values
            if attention == "flex":
                mixed = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
            else:
                mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
            x = x + functional.linear(mixed.transpose(1, 2).reshape(1, -1, shape.dim), weights["o"])
            gate, up = functional.linear(norm(x, weights["norms"][1]), weights["gate_up"]).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, weights["down"])
        return functional.linear(norm(x[:, -1], final_norm), embedding)

    def mask_of(pos, copy, key_pos, key_copy):
        """The rule over rows and keys, as the attention takes it. Made outside of what is timed, as an engine would keep it."""

        def visible(_batch, _head, q, k):
            seen = relation.sees(pos[q], copy[q], key_pos[k], key_copy[k])
            return seen & (key_pos[k] >= 0)

        if attention == "flex":
            return create_block_mask(visible, None, None, len(pos), len(key_pos), device=device)
        q = torch.arange(len(pos), device=device)[:, None]
        k = torch.arange(len(key_pos), device=device)[None]
        return visible(None, None, q, k)[None, None]

    def note_slots(pos, copy):
        at = slot_of(pos, copy)
        slot_pos[at] = pos
        slot_copy[at] = copy

    return {
        "forward": forward,
        "mask_of": mask_of,
        "note_slots": note_slots,
        "slots": (slot_pos, slot_copy),
        "weight_bytes": weight_bytes,
        "key_bytes": 2 * kv_width * embedding.element_size() * shape.layers,
    }


def time_on_gpu(torch, run, repeat, warm_up):
    """Milliseconds of each run, by CUDA events."""
    for _ in range(warm_up):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeat):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return times


def summarise(times):
    lower, _, upper = quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return {
        "median": median(times),
        "lowerQuartile": lower,
        "upperQuartile": upper,
        "least": min(times),
        "most": max(times),
        "count": len(times),
    }


def copy_bandwidth(torch, device):
    """Bytes read and written per second by a copy within the device's memory."""
    source = torch.empty(512 * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    ms = median(time_on_gpu(torch, lambda: target.copy_(source), repeat=20, warm_up=5))
    return 2 * source.nbytes / ms * 1000


def measure(torch, shape, relation, attention, n, dtype, options, bandwidth):
    device = "cuda"
    model = build_model(torch, shape, relation, attention, n + 64, dtype, device)
    compiled = torch.compile(model["forward"], mode="max-autotune", fullgraph=True, dynamic=False)
    with torch.inference_mode():
        pos, copy = tokens_of_prompt(torch, relation, n, device)
        # A prompt's rows see each other; the row that predicts comes last in both orders.
        prompt_mask = model["mask_of"](pos, copy, pos, copy)
        ids = pos % shape.vocab
        prefill = time_on_gpu(
            torch, lambda: compiled(ids, pos, copy, prompt_mask, n), options.repeat, options.warm_up
        )

        step_pos = torch.full((relation.copies,), n, device=device)
        step_copy = torch.arange(1, relation.copies + 1, device=device)
        model["note_slots"](pos, copy)
        model["note_slots"](step_pos, step_copy)
        key_pos, key_copy = model["slots"]
        step_mask = model["mask_of"](step_pos, step_copy, key_pos, key_copy)
        step_ids = torch.full((relation.copies,), 7, device=device)
        decode = time_on_gpu(
            torch,
            lambda: compiled(step_ids, step_pos, step_copy, step_mask, 0),
            options.repeat,
            options.warm_up,
        )
    live = n + min(relation.window, (n % relation.chunk) * (relation.copies - 1)) + relation.copies
    step_bytes = model["weight_bytes"] + live * model["key_bytes"]
    return {
        "attention": attention,
        "copies": relation.copies,
        "window": relation.window,
        "chunk": relation.chunk,
        "prompt": n,
        "prefillMs": summarise(prefill),
        "decodeMs": summarise(decode),
        "stepBytes": step_bytes,
        "ofBandwidth": step_bytes / median(decode) * 1000 / bandwidth,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="550m")
    parser.add_argument("--attention", default="flex,sdpa")
    parser.add_argument("--copies", default="1,2,3,16")
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--chunk", type=int, default=32)
    parser.add_argument("--prompt", default="128,1024")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=8)
    parser.add_argument("-o", "--output")
    options = parser.parse_args()

    import torch

    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device")
    # Every K and every length is compiled for itself.
    torch._dynamo.config.cache_size_limit = 256
    bandwidth = copy_bandwidth(torch, "cuda")
    results = []
    for n in map(int, options.prompt.split(",")):
        for copies in map(int, options.copies.split(",")):
            for attention in options.attention.split(","):
                torch._dynamo.reset()
                relation = Relation(copies, options.window, options.chunk)
                result = measure(
                    torch, SHAPES[options.shape], relation, attention, n, getattr(torch, options.dtype), options, bandwidth
                )
                results.append(result)
                print(
                    f"{options.shape} {attention:4} K = {copies:3} n = {n:5}: "
                    f"prefill {result['prefillMs']['median']:.3f} ms, decode {result['decodeMs']['median']:.3f} ms, "
                    f"{100 * result['ofBandwidth']:.0f}% of the copy's bandwidth",
                    file=sys.stderr,
                )
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    report = {
        "benchmark": "pytorch",
        "date": datetime.now(timezone.utc).isoformat(),
        "shape": options.shape,
        "dtype": options.dtype,
        "device": torch.cuda.get_device_name(),
        "driver": driver.stdout.strip(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "copyBytesPerSecond": bandwidth,
        "results": results,
    }
    text = json.dumps(report, indent=2)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
