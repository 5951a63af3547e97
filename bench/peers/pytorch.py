"""PHD in PyTorch on an NVIDIA GPU: what a good implementation without phdc reaches.

Two ways of attention, each compiled by torch.compile with CUDA graphs and a static cache:

  flex   FlexAttention with a block mask made from the visibility rule
  sdpa   scaled_dot_product_attention with the same rule as a mask; plain causal attention for the prompt of the vanilla model

    python3 bench/peers/pytorch.py --check GOLDENS --shape 550m --copies 1,2,3,16,256 --prompt 1024 -o report.json

Weights are random. Copies of a token share position and weights, as in PHD-CSWA. Prefill computes all originals of the prompt and the
hidden tokens of its last chunk. Decode computes the K rows of one position. Times are medians with quartiles, after warm-up; next to
each stands the share of the bandwidth that a device-to-device copy reaches.

--check compares logits with golden ones before anything is timed, eager and compiled, in float32 and in the type that is timed, and ends
the run where they differ. --only-check stops there. --device cpu runs everything on the processor, to try the script without a GPU.
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from statistics import median, quantiles

try:
    import torch

    from pytorch_check import CheckError, check
    from pytorch_model import ATTENTIONS, Model, Prompt, Relation, Shape, Step
except ImportError as error:
    sys.exit(f"this script needs PyTorch 2.6 or newer: {error}")

SHAPES = {
    "2x64": Shape(layers=2, dim=64, ffn=192, heads=4, kv_heads=2, vocab=256),
    "4x256": Shape(layers=4, dim=256, ffn=768, heads=8, kv_heads=2, vocab=4096),
    "550m": Shape(layers=16, dim=1536, ffn=4096, heads=16, kv_heads=4, vocab=100278),
    "1.2b": Shape(layers=16, dim=2048, ffn=8192, heads=32, kv_heads=8, vocab=100278),
}
# Room behind the prompt in the static cache.
MARGIN = 64


def compiler_for(device):
    """CUDA graphs and tuned kernels on a GPU. Nothing may fall back to Python, and every length is compiled for itself."""
    mode = "max-autotune" if device == "cuda" else "default"
    return lambda model: torch.compile(model, mode=mode, fullgraph=True, dynamic=False)


def time_runs(run, device, repeat, warm_up):
    """Milliseconds of each run: by events on a GPU, by the clock on the processor."""
    for _ in range(warm_up):
        run()
    times = []
    if device == "cpu":
        for _ in range(repeat):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        return times
    torch.cuda.synchronize()
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


def copy_bandwidth(device):
    """Bytes read and written per second by a copy within the device's memory."""
    source = torch.empty((512 if device == "cuda" else 64) * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    ms = median(time_runs(lambda: target.copy_(source), device, repeat=20, warm_up=5))
    return 2 * source.nbytes / ms * 1000


@torch.inference_mode()
def measure(relation, attention, n, options, bandwidth):
    """One point: a prompt of n tokens, and the step after it, over and over."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    device, shape = options.device, SHAPES[options.shape]
    model = Model(shape, relation, attention, n + MARGIN, getattr(torch, options.dtype), device)
    model.draw_weights(seed=0)
    run = compiler_for(device)(model)
    prompt, step = Prompt(model, torch.arange(n, device=device) % shape.vocab), Step(model, device)
    prefill = time_runs(lambda: run(*prompt.arguments()), device, options.repeat, options.warm_up)
    step.note(prompt.pos, prompt.copy)
    step.move_to(n, 7)
    decode = time_runs(lambda: run(*step.arguments()), device, options.repeat, options.warm_up)
    step_bytes = model.weight_bytes + relation.live_keys(n) * model.key_bytes
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
        # Heads that FlexAttention does not take as they are have zeros behind them, which are read as well.
        "headWidth": model.head,
        # Not 0 where PyTorch gave up on CUDA graphs: such a time is not what this peer is for.
        "cudaGraphSkips": torch._dynamo.utils.counters["inductor"]["cudagraph_skips"],
    }


def say(line):
    print(line, file=sys.stderr, flush=True)


def sweep(options, bandwidth):
    for n in options.prompt:
        for copies in options.copies:
            for attention in options.attention:
                relation = Relation(copies, options.window, options.chunk)
                point = f"{options.shape} {attention:4} K = {copies:3} n = {n:5}"
                try:
                    result = measure(relation, attention, n, options, bandwidth)
                except torch.OutOfMemoryError as error:
                    say(f"{point}: does not fit: {error}")
                    continue
                say(
                    f"{point}: prefill {result['prefillMs']['median']:.3f} ms, decode {result['decodeMs']['median']:.3f} ms, "
                    f"{100 * result['ofBandwidth']:.0f}% of the copy's bandwidth"
                )
                yield result


def environment(device):
    """What the figures were taken on."""
    known = {"torch": torch.__version__, "python": platform.python_version()}
    if device == "cpu":
        return {**known, "device": f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"}
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return {**known, "device": torch.cuda.get_device_name(), "driver": driver, "cuda": torch.version.cuda}


def whole_numbers(least):
    def parse(text):
        values = [int(part) for part in text.split(",")]
        if min(values) < least:
            raise argparse.ArgumentTypeError(f"{min(values)} is less than {least}")
        return values

    parse.__name__ = "list of whole numbers"
    return parse


def whole_number(least):
    def parse(text):
        [value] = whole_numbers(least)(text)
        return value

    parse.__name__ = "whole number"
    return parse


def attentions(text):
    names = text.split(",")
    unknown = [name for name in names if name not in ATTENTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no attention is called {unknown[0]}; there are {', '.join(ATTENTIONS)}")
    return names


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="550m")
    parser.add_argument("--attention", type=attentions, default=list(ATTENTIONS), help="flex, sdpa, or both with a comma")
    parser.add_argument("--copies", type=whole_numbers(1), default=[1, 2, 3, 16])
    parser.add_argument("--window", type=whole_number(0), default=16, help="in hidden tokens")
    parser.add_argument("--chunk", type=whole_number(1), default=32, help="in positions")
    parser.add_argument("--prompt", type=whole_numbers(1), default=[128, 1024])
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--repeat", type=whole_number(1), default=30)
    parser.add_argument("--warm-up", type=whole_number(1), default=8, help="runs before the first that counts; compiles")
    parser.add_argument("--check", type=pathlib.Path, metavar="FOLDER", help="a golden case, or a folder of them")
    parser.add_argument("--only-check", action="store_true", help="eager in float64 as well; times nothing")
    parser.add_argument("-o", "--output", type=pathlib.Path)
    options = parser.parse_args()
    if options.only_check and options.check is None:
        parser.error("--only-check needs --check FOLDER")
    return options


def run_check(options):
    """Names of the golden cases that agree; ends the run where one does not."""
    try:
        eager = {"eager": None}
        if options.only_check:
            # FlexAttention does not compile in float64, so the exact comparison is eager.
            check(options.check, options.attention, ["float64"], options.device, eager, say)
        ways = {**eager, "compiled": compiler_for(options.device)}
        return check(options.check, options.attention, sorted({"float32", options.dtype}), options.device, ways, say)
    except CheckError as error:
        sys.exit(f"the check failed: {error}")


def main():
    options = read_options()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device. With --device cpu the script runs on the processor.")
    # Every K and every length is compiled for itself.
    torch._dynamo.config.cache_size_limit = 256
    checked = [] if options.check is None else run_check(options)
    if options.only_check:
        return
    bandwidth = copy_bandwidth(options.device)
    report = {
        "benchmark": "pytorch",
        "date": datetime.now(timezone.utc).isoformat(),
        "shape": options.shape,
        "dtype": options.dtype,
        **environment(options.device),
        # Golden cases whose logits this peer computed in this run, before it was timed.
        "checked": checked,
        "copyBytesPerSecond": bandwidth,
        "results": list(sweep(options, bandwidth)),
    }
    text = json.dumps(report, indent=2)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
