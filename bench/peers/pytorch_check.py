"""Compares the peer's logits with golden ones: a peer that computes something else is no peer.

A case is a folder with `config.json` and `model.safetensors`, as checkpoints have them, and `golden.safetensors`: `input_ids` [n] and
`logits` [n, vocab], those of a dense forward pass in float64.
"""

import json
import struct
from dataclasses import dataclass

import torch

from pytorch_model import Model, Prompt, Relation, Shape, Step

# Of the largest logit. Goldens are kept as float32; three layers of 16-bit sums and roundings make the rest.
TOLERANCES = {"float64": 1e-6, "float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
UNDERSTOOD = {
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "hidden_act", "torch_dtype", "phd",
    "architectures",
}  # fmt: skip


class CheckError(Exception):
    """A case that cannot be read, or in which the peer computes something else."""


class NotOffered(Exception):
    """A case of a model that the peer does not have."""


@dataclass(frozen=True)
class Case:
    name: str
    shape: Shape
    relation: Relation
    weights: dict
    ids: torch.Tensor
    logits: torch.Tensor


def find_cases(folder):
    """The folder, if it is a case, else the cases in it."""
    folders = [folder] if (folder / "golden.safetensors").exists() else sorted(folder.glob("*/golden.safetensors"))
    if not folders:
        raise CheckError(f"{folder} holds no golden.safetensors, nor do the folders in it")
    return [path if path == folder else path.parent for path in folders]


def read_case(folder):
    """A case; NotOffered where its model is not one of the peer's."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        golden = read_tensors(folder / "golden.safetensors")
        ids, logits = golden["input_ids"].long(), golden["logits"].double()
        phd = config.get("phd", {"variant": "vanilla"})
        unknown = sorted(set(config) - UNDERSTOOD)
        if config["model_type"] != "llama" or unknown:
            raise NotOffered(f"a {config['model_type']} with {', '.join(unknown)}" if unknown else f"a {config['model_type']}")
        shape = Shape(
            layers=config["num_hidden_layers"],
            dim=config["hidden_size"],
            ffn=config["intermediate_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            vocab=config["vocab_size"],
            head=config["head_dim"],
            tied=config["tie_word_embeddings"],
            eps=config["rms_norm_eps"],
            theta=config["rope_theta"],
        )
        relation = relation_of(phd, len(ids))
        return Case(folder.name, shape, relation, read_tensors(folder / "model.safetensors"), ids, logits)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise CheckError(f"{folder}: {type(error).__name__}: {error}") from error


def relation_of(phd, n):
    """The variant as a window and a chunk: without a chunk it is the whole text, and who has no window looks at its own position."""
    variant, copies = phd["variant"], phd.get("repeat", 1)
    if phd.get("positions", "shared") != "shared":
        raise NotOffered("positions of copies are not shared")
    if phd.get("window_unit", "tokens") != "tokens":
        raise NotOffered("its window counts positions")
    if variant == "vanilla":
        return Relation(1, 0, 1)
    if variant == "phd":
        return Relation(copies, 0, 1)
    if variant == "phd-swa":
        return Relation(copies, phd["window"], n)
    if variant == "phd-cswa":
        return Relation(copies, phd["window"], phd["chunk"])
    raise NotOffered(f"its variant is {variant}")


def read_tensors(path):
    """Tensors of a safetensors file: a length of eight bytes, JSON of that length, data."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32}
    tensors = {}
    for name, info in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            first, end = (8 + length + at for at in info["data_offsets"])
            tensors[name] = torch.frombuffer(bytearray(data[first:end]), dtype=types[info["dtype"]]).view(info["shape"])
    return tensors


def load_weights(model, weights):
    """Fills the model with the tensors of a checkpoint."""
    model.embedding.copy_(weights["model.embed_tokens.weight"])
    model.final_norm.copy_(weights["model.norm.weight"])
    if not model.shape.tied:
        model.unembedding.copy_(weights["lm_head.weight"])
    for number, layer in enumerate(model.layers):
        named = lambda *names: torch.cat([weights[f"model.layers.{number}.{name}.weight"] for name in names])
        layer.qkv.copy_(named("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
        layer.o.copy_(named("self_attn.o_proj"))
        layer.gate_up.copy_(named("mlp.gate_proj", "mlp.up_proj"))
        layer.down.copy_(named("mlp.down_proj"))
        layer.attention_norm.copy_(named("input_layernorm"))
        layer.ffn_norm.copy_(named("post_attention_layernorm"))


@torch.inference_mode()
def largest_difference(case, attention, dtype, device, compiler):
    """How far logits are from the golden ones, relative to the largest of these. Reads beginnings of the text as prompts and decodes the
    rest of it token by token."""
    n = len(case.ids)
    model = Model(case.shape, case.relation, attention, n, dtype, device)
    load_weights(model, case.weights)
    run = compiler(model) if compiler else model
    ids, worst = case.ids.to(device), 0.0
    # Compilation is for one length; eager, the shortest and the longest are tried as well.
    prompts = [n // 2 + 1] if compiler else sorted({1, n // 2 + 1, n})

    def compare(logits, position):
        nonlocal worst
        # clone: CUDA graphs write every result to the same place.
        distance = (logits.clone().double().cpu() - case.logits[position]).abs().max().item()
        worst = worst if distance <= worst else distance  # so that a NaN is not lost

    for length in prompts:
        for layer in model.layers:
            # What another prompt left behind must not be taken for a key.
            layer.keys.fill_(1e3)
            layer.values.fill_(1e3)
        prompt, step = Prompt(model, ids[:length]), Step(model, device)
        step.note(prompt.pos, prompt.copy)
        compare(run(*prompt.arguments()), length - 1)
        for position in range(length, n):
            step.move_to(position, ids[position])
            compare(run(*step.arguments()), position)
    return worst / case.logits.abs().max().item()


def check(folder, attentions, dtypes, device, compilers, say):
    """Runs every case in every way; gives the names of the cases that agree. Throws CheckError at the first that does not."""
    agreed = []
    for path in find_cases(folder):
        try:
            case = read_case(path)
        except NotOffered as reason:
            say(f"{path.name}: not offered: {reason}")
            continue
        for attention in attentions:
            for dtype in dtypes:
                for how, compiler in compilers.items():
                    torch._dynamo.reset()
                    what = f"{case.name}: {attention}, {dtype}, {how}"
                    difference = largest_difference(case, attention, getattr(torch, dtype), device, compiler)
                    say(f"{what}: largest difference {difference:.1e}, allowed {TOLERANCES[dtype]:.0e}")
                    if not difference <= TOLERANCES[dtype]:
                        raise CheckError(f"{what}: logits are off by {difference:.1e} of the largest")
        agreed.append(case.name)
    if not agreed:
        raise CheckError(f"{folder} holds no case of a model that the peer has")
    return agreed
