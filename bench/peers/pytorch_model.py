"""PHD of the Llama family in PyTorch, as a good implementation without phdc would write it.

Rows of a prompt are grouped as in the paper: all originals, then hidden tokens, so that what nobody may see is one block. Keys live in a
static cache: originals by position for ever, hidden tokens in a ring that is as long as the window. Nothing here is specific to a device.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

ATTENTIONS = ("flex", "sdpa")
# Memory-efficient attention wants rows of a mask to begin at multiples of this many elements.
MASK_ALIGNMENT = 16


@dataclass(frozen=True)
class Shape:
    layers: int
    dim: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int
    head: int = 0
    tied: bool = True
    eps: float = 1e-6
    theta: float = 500000.0

    def __post_init__(self):
        if self.head == 0:
            object.__setattr__(self, "head", self.dim // self.heads)


@dataclass(frozen=True)
class Relation:
    """PHD-CSWA-K-W-C: window in hidden tokens, chunk in positions. A chunk of the whole text gives PHD-SWA, one of 1 gives PHD."""

    copies: int
    window: int
    chunk: int

    @property
    def hidden(self):
        return self.copies - 1

    @property
    def ring(self):
        """Slots for hidden keys: those that a step's first hidden row may see, and the rows of the step."""
        return min(self.window, (self.chunk - 1) * self.hidden) + self.hidden

    def sees(self, q_pos, q_copy, k_pos, k_copy):
        """Whether a query sees a key; works on numbers and, elementwise, on tensors. Copies count from 1."""
        distance = (q_pos * self.hidden + q_copy) - (k_pos * self.hidden + k_copy)
        original = (k_copy == 1) & (k_pos < q_pos)
        own = (k_pos == q_pos) & (k_copy <= q_copy)
        near = (distance <= self.window) & (q_pos // self.chunk == k_pos // self.chunk)
        recent = (k_copy > 1) & (q_copy > 1) & (k_pos < q_pos) & near
        return original | own | recent

    def live_keys(self, n):
        """Keys that a step at position n sees in some row, its own among them."""
        return n + min(self.window, n % self.chunk * self.hidden) + self.copies

    def prompt_rows(self, n, device):
        """Positions and copies of the rows of a prefill: originals first, then the hidden tokens of the last chunk."""
        originals = torch.arange(n, device=device)
        positions = torch.arange((n - 1) // self.chunk * self.chunk, n, device=device)
        hidden = torch.arange(2, self.copies + 1, device=device)
        pos = torch.cat([originals, positions.repeat_interleave(len(hidden))])
        copy = torch.cat([torch.ones_like(originals), hidden.repeat(len(positions))])
        return pos, copy


class Layer(torch.nn.Module):
    """Weights and caches of a layer. As parameters and buffers they stay where they are, so CUDA graphs read and write them in place."""

    def __init__(self, shape, slots, cache_width, options):
        super().__init__()
        kv_width = shape.kv_heads * shape.head

        def weight(*sizes):
            return torch.nn.Parameter(torch.ones(sizes, **options), requires_grad=False)

        self.qkv = weight(shape.heads * shape.head + 2 * kv_width, shape.dim)
        self.o = weight(shape.dim, shape.heads * shape.head)
        self.gate_up = weight(2 * shape.ffn, shape.dim)
        self.down = weight(shape.dim, shape.ffn)
        self.attention_norm = weight(shape.dim)
        self.ffn_norm = weight(shape.dim)
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, shape.kv_heads, slots, cache_width, **options))


class Model(torch.nn.Module):
    """One sequence. `forward` is what is timed; masks and rows are made outside of it, as an engine would keep them."""

    def __init__(self, shape, relation, attention, context, dtype, device):
        super().__init__()
        self.shape, self.relation, self.attention, self.context = shape, relation, attention, context
        options = {"dtype": dtype, "device": device}
        # What angles and scores of a reference run are computed in; 16-bit types rotate in float32.
        self.wide = torch.promote_types(dtype, torch.float32)
        self.head = flex_width(shape.head) if attention == "flex" else shape.head
        self.slots = context + relation.ring
        self.layers = torch.nn.ModuleList(Layer(shape, self.slots, self.head, options) for _ in range(shape.layers))
        self.embedding = torch.nn.Parameter(torch.ones(shape.vocab, shape.dim, **options), requires_grad=False)
        self.final_norm = torch.nn.Parameter(torch.ones(shape.dim, **options), requires_grad=False)
        self.unembedding = self.embedding
        if not shape.tied:
            self.unembedding = torch.nn.Parameter(torch.ones_like(self.embedding), requires_grad=False)
        exponents = torch.arange(0, shape.head, 2, device=device, dtype=torch.float64) / shape.head
        self.register_buffer("frequencies", (shape.theta**-exponents).to(self.wide))

    def draw_weights(self, seed):
        """Matrices of variance 1 / columns; norms stay 1."""
        generator = torch.Generator(device=self.embedding.device).manual_seed(seed)
        for weight in self.parameters():
            if weight.dim() == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator, device=weight.device) / weight.shape[1] ** 0.5)

    @property
    def weight_bytes(self):
        """Bytes of weights that a decode step reads. The rows of an embedding that is not the head's count for nothing."""
        unread = 0 if self.shape.tied else self.embedding.nbytes
        return sum(weight.nbytes for weight in self.parameters()) - unread

    @property
    def key_bytes(self):
        """Bytes that a token's keys and values need in all layers."""
        return 2 * self.shape.kv_heads * self.shape.head * self.embedding.element_size() * self.shape.layers

    def forward(self, ids, pos, copy, mask, originals):
        """Logits of the last row. A prompt begins with its originals; a step, with none, sees the whole cache."""
        shape = self.shape
        q_width, kv_width = shape.heads * shape.head, shape.kv_heads * shape.head
        x = self.embedding[ids][None]
        angles = pos[:, None].to(self.wide) * self.frequencies
        rotation = angles.cos(), angles.sin()
        for layer in self.layers:
            normed = functional.rms_norm(x, (shape.dim,), layer.attention_norm, shape.eps)
            q, k, v = functional.linear(normed, layer.qkv).split([q_width, kv_width, kv_width], dim=-1)
            q = self.widened(rotate(self.by_head(q), *rotation))
            k = self.widened(rotate(self.by_head(k), *rotation))
            v = self.widened(self.by_head(v))
            if originals > 0:
                self.keep_prompt(layer, pos, copy, k, v, originals)
            else:
                at = self.slots_of(pos, copy)
                layer.keys.index_copy_(2, at, k)
                layer.values.index_copy_(2, at, v)
                k, v = layer.keys, layer.values
            mixed = self.attend(q, k, v, mask, is_step=originals == 0)[..., : shape.head]
            x = x + functional.linear(mixed.transpose(1, 2).reshape(1, -1, q_width), layer.o)
            normed = functional.rms_norm(x, (shape.dim,), layer.ffn_norm, shape.eps)
            gate, up = functional.linear(normed, layer.gate_up).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, layer.down)
        last = functional.rms_norm(x[:, -1], (shape.dim,), self.final_norm, shape.eps)
        return functional.linear(last, self.unembedding)[0]

    def by_head(self, x):
        return x.view(1, x.shape[1], -1, self.shape.head).transpose(1, 2)

    def widened(self, x):
        """Heads of the width that the cache has: zeros change no product."""
        return x if self.head == self.shape.head else functional.pad(x, (0, self.head - self.shape.head))

    def keep_prompt(self, layer, pos, copy, k, v, originals):
        layer.keys[:, :, :originals].copy_(k[:, :, :originals])
        layer.values[:, :, :originals].copy_(v[:, :, :originals])
        kept = min(self.relation.ring, len(pos) - originals)
        if kept > 0:
            at = self.slots_of(pos[-kept:], copy[-kept:])
            layer.keys.index_copy_(2, at, k[:, :, -kept:])
            layer.values.index_copy_(2, at, v[:, :, -kept:])

    def attend(self, q, k, v, mask, is_step):
        scale = self.shape.head**-0.5
        if self.attention == "flex":
            if v.device.type == "cpu":
                # PyTorch 2.6 compiles this attention for the processor as if values were contiguous, which those of a prompt are not.
                v = v.contiguous()
            return flex_attention(q, k, v, block_mask=mask, scale=scale, enable_gqa=True)
        if mask is None:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
        group = self.shape.heads // self.shape.kv_heads
        if is_step:
            # A step's heads that share a key head become rows of it: keys are read once and never copied.
            rows = q.reshape(1, self.shape.kv_heads, -1, self.head)
            mixed = functional.scaled_dot_product_attention(rows, k, v, attn_mask=mask, scale=scale)
            return mixed.reshape(q.shape)
        # The memory-efficient kernel, the only one that takes a mask, wants as many key heads as heads.
        k, v = (side.repeat_interleave(group, dim=1) for side in (k, v))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    def slots_of(self, pos, copy):
        if self.relation.ring == 0:
            return pos
        hidden_index = pos * self.relation.hidden + copy - 2
        return torch.where(copy == 1, pos, self.context + hidden_index % self.relation.ring)

    def mask_of(self, visible, rows, keys, repeat):
        """Who sees whom, as the attention takes it; `visible` is a function of batch, head, row and key."""
        device = self.embedding.device
        if self.attention == "flex":
            return create_block_mask(visible, None, None, rows, keys, device=str(device))
        seen = visible(None, None, torch.arange(rows, device=device)[:, None], torch.arange(keys, device=device)[None])
        padded = -(-keys // MASK_ALIGNMENT) * MASK_ALIGNMENT
        mask = torch.zeros(1, 1, rows * repeat, padded, dtype=self.embedding.dtype, device=device)[..., :keys]
        return mask.masked_fill_(~seen.repeat(repeat, 1), float("-inf"))


class Prompt:
    """Rows and mask of a prefill."""

    def __init__(self, model, ids):
        n = len(ids)
        pos, copy = model.relation.prompt_rows(n, ids.device)
        self.ids, self.pos, self.copy, self.originals = ids[pos], pos, copy, n
        visible = lambda _batch, _head, q, k: model.relation.sees(pos[q], copy[q], pos[k], copy[k])
        # Plain causal attention needs no mask, and has faster kernels without.
        plain = model.attention == "sdpa" and model.relation.copies == 1
        self.mask = None if plain else model.mask_of(visible, len(pos), len(pos), repeat=1)

    def arguments(self):
        return self.ids, self.pos, self.copy, self.mask, self.originals


class Step:
    """Rows and mask of a decode step, in tensors that stay where they are while the text grows."""

    def __init__(self, model, device):
        relation = model.relation
        self.model = model
        self.ids = torch.zeros(relation.copies, device=device, dtype=torch.long)
        self.pos = torch.zeros_like(self.ids)
        self.copy = torch.arange(1, relation.copies + 1, device=device)
        # Which token stands in a slot; position -1 is nobody, and is seen by nobody.
        self.slot_pos = torch.full((model.slots,), -1, device=device, dtype=torch.long)
        self.slot_copy = torch.ones_like(self.slot_pos)
        self.mask = self.new_mask()

    def note(self, pos, copy):
        """These tokens are in the cache, and what stood in their slots is not. Of hidden tokens those that fit into the ring count."""
        hidden = (copy > 1).nonzero()[:, 0]
        kept = torch.cat([(copy == 1).nonzero()[:, 0], hidden[max(0, len(hidden) - self.model.relation.ring) :]])
        at = self.model.slots_of(pos[kept], copy[kept])
        self.slot_pos[at] = pos[kept]
        self.slot_copy[at] = copy[kept]

    def move_to(self, position, token):
        self.ids.fill_(token)
        self.pos.fill_(position)
        self.note(self.pos, self.copy)
        fresh = self.new_mask()
        if isinstance(fresh, BlockMask):
            for kept, new in zip(self.mask.as_tuple(), fresh.as_tuple(), strict=True):
                if isinstance(kept, torch.Tensor):
                    kept.copy_(new)
        else:
            self.mask.copy_(fresh)

    def new_mask(self):
        group = self.model.shape.heads // self.model.shape.kv_heads
        return self.model.mask_of(self.visible, len(self.pos), self.model.slots, group)

    def visible(self, _batch, _head, q, k):
        seen = self.model.relation.sees(self.pos[q], self.copy[q], self.slot_pos[k], self.slot_copy[k])
        return seen & (self.slot_pos[k] >= 0)

    def arguments(self):
        return self.ids, self.pos, self.copy, self.mask, 0


def rotate(x, cos, sin):
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def flex_width(head):
    """The width of a head that FlexAttention takes: up to PyTorch 2.6 a power of two."""
    try:
        one = torch.zeros(1, 1, 1, head)
        flex_attention(one, one, one)
        return head
    except ValueError:
        return 1 << (head - 1).bit_length()
