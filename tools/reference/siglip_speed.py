"""How long PyTorch takes for a SigLIP vision tower: one forward pass of one
random image for each line read, answered with its seconds. float32, in eval
mode, with PyTorch's own layers, as Hugging Face's model runs it.

    yes '' | head -5 | python3 tools/reference/siglip_speed.py CHECKPOINT
"""
import json
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

import siglip

folder = pathlib.Path(sys.argv[1])
c = json.loads((folder / "config.json").read_text())
w = {n.removeprefix("vision_model."): t.float() for n, t in siglip.read(folder / "model.safetensors")}
heads, layers, width = c["num_attention_heads"], c["num_hidden_layers"], c["hidden_size"]


def linear(x, name):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def norm(x, name):
    return F.layer_norm(x, (width,), w[name + ".weight"], w[name + ".bias"], 1e-6)


def gelu(x):
    return F.gelu(x, approximate="tanh")


def image(pixels):
    x = F.conv2d(pixels, w["embeddings.patch_embedding.weight"], w["embeddings.patch_embedding.bias"], stride=c["patch_size"])
    x = x.flatten(2).transpose(1, 2) + w["embeddings.position_embedding.weight"]
    b, n, d = x.shape
    for i in range(layers):
        p = f"encoder.layers.{i}"
        h = norm(x, p + ".layer_norm1")
        q, k, v = (linear(h, f"{p}.self_attn.{m}_proj").view(b, n, heads, d // heads).transpose(1, 2) for m in "qkv")
        y = ((q @ k.transpose(2, 3)) * (d // heads) ** -0.5).softmax(-1) @ v
        x = x + linear(y.transpose(1, 2).reshape(b, n, d), p + ".self_attn.out_proj")
        x = x + linear(gelu(linear(norm(x, p + ".layer_norm2"), p + ".mlp.fc1")), p + ".mlp.fc2")
    x = norm(x, "post_layernorm")
    pool = torch.nn.MultiheadAttention(width, heads, batch_first=True)
    pool.load_state_dict({k: w["head.attention." + k] for k in pool.state_dict()})
    y = pool(w["head.probe"].repeat(b, 1, 1), x, x)[0]
    return (y + linear(gelu(linear(norm(y, "head.layernorm"), "head.mlp.fc1")), "head.mlp.fc2"))[:, 0]


pixels = torch.rand(1, 3, c["image_size"], c["image_size"]) * 2 - 1
with torch.inference_mode():
    for _ in sys.stdin:
        start = time.perf_counter()
        image(pixels)
        print(time.perf_counter() - start, flush=True)
