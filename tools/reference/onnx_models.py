"""ONNX models as PyTorch exports them, for encoder/testdata/onnx.

siglip/ holds the towers of the checkpoint encoder/testdata/siglip-f32 as
transformers.js lays them out, with the names it gives; what they must return is
in that checkpoint's golden.npz. tokens.onnx is an image encoder of another kind:
channels last, one vector per token, a second output, weights in a file beside
it; tokens.npz holds pixels, channels first, and what PyTorch makes of them.

    python3 tools/reference/onnx_models.py encoder/testdata
"""
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from PIL import Image

import siglip


class Whole(siglip.Siglip):
    """Siglip in words that the exporter knows: sizes are numbers, and the pooling
    head is written out."""

    def norm(self, x, name):
        w = self.w[name + ".weight"]
        return F.layer_norm(x, (len(w),), w, self.w[name + ".bias"], self.eps)

    def image(self, pixels):
        _, patch, width, _, heads, n = self.case["vision"]
        e, h = "vision_model.embeddings.", "vision_model.head."
        x = F.conv2d(pixels, self.w[e + "patch_embedding.weight"], self.w[e + "patch_embedding.bias"], stride=patch)
        x = x.flatten(2).transpose(1, 2) + self.w[e + "position_embedding.weight"]
        x = self.norm(self.layers(x, "vision_model.encoder.layers", heads, n), "vision_model.post_layernorm")
        weight, bias = self.w[h + "attention.in_proj_weight"].chunk(3), self.w[h + "attention.in_proj_bias"].chunk(3)
        b, tokens, d = x.shape
        q = F.linear(self.w[h + "probe"].expand(b, 1, d), weight[0], bias[0]).view(b, 1, heads, d // heads).transpose(1, 2)
        k, v = (F.linear(x, weight[i], bias[i]).view(b, tokens, heads, d // heads).transpose(1, 2) for i in (1, 2))
        y = (q @ k.transpose(2, 3) / math.sqrt(d // heads)).softmax(-1) @ v
        y = self.linear(y.transpose(1, 2).reshape(b, 1, d), h + "attention.out_proj")
        return x, (y + self.mlp(self.norm(y, h + "layernorm"), h + "mlp"))[:, 0]


class Call(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def export(path, f, x, name, outputs):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(Call(f), (x,), str(path), input_names=[name], output_names=outputs, opset_version=14,
                      dynamic_axes={name: {0: "batch_size"}, **{o: {0: "batch_size"} for o in outputs}})


def towers(out):
    folder = out / "siglip-f32"
    w = {n: a.float() for n, a in siglip.read(folder / "model.safetensors")}
    golden = np.load(folder / "golden.npz")
    size, patch = golden["pixels"].shape[-1], w["vision_model.embeddings.patch_embedding.weight"].shape[-1]
    c = json.loads((folder / "config.json").read_text())
    v, t = c["vision_config"], c["text_config"]
    case = dict(vision=(size, patch, v["hidden_size"], v["intermediate_size"], v["num_attention_heads"], v["num_hidden_layers"]),
                text=(t["hidden_size"], t["intermediate_size"], t["num_attention_heads"], t["num_hidden_layers"]),
                act=v.get("hidden_act", "gelu_pytorch_tanh"), eps=v.get("layer_norm_eps", 1e-6))
    model = Whole(w, case)
    pixels, ids = torch.from_numpy(golden["pixels"]), torch.from_numpy(golden["input_ids"])
    print("image: largest difference from golden.npz", np.abs(model.image(pixels)[1].numpy() - golden["image_raw"]).max())
    export(out / "onnx/siglip/vision_model.onnx", model.image, pixels[:2], "pixel_values", ["last_hidden_state", "pooler_output"])
    export(out / "onnx/siglip/text_model.onnx", lambda x: model.text(x), ids[:2], "input_ids", ["pooler_output"])


def tokens(out):
    torch.manual_seed(5)
    size, patch, width = 24, 8, 16
    conv = torch.nn.Conv2d(3, width, patch, patch)
    cls, norm, mix = torch.randn(1, 1, width), torch.nn.LayerNorm(width), torch.nn.Linear(width, width)

    for layer in (conv, norm, mix):
        layer.requires_grad_(False)

    def forward(x):
        y = conv(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        y = norm(torch.cat([cls.expand(x.shape[0], 1, width) + y.mean(1, keepdim=True), y], 1))
        scores = (y @ y.transpose(1, 2)).softmax(-1)
        return scores @ torch.tanh(mix(y)), scores

    pixels = torch.randn(3, size, size, 3)
    path = out / "onnx/tokens.onnx"
    with torch.no_grad():
        export(path, forward, pixels[:2], "images", ["tokens", "attention"])
        y = forward(pixels)[0]
    model = onnx.load(path)
    pathlib.Path(str(path) + ".data").unlink(missing_ok=True)  # save_model appends
    onnx.save_model(model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location="tokens.onnx.data", size_threshold=64,
                    convert_attribute=True)
    np.savez_compressed(out / "onnx/tokens.npz", pixels=pixels.permute(0, 3, 1, 2).numpy().astype("<f4"),
                        cls=y[:, 0].numpy(), mean=y.mean(1).numpy())


def crops(out):
    """The middle of images, as CLIP's and DINOv2's processors cut it out."""
    made = {}
    for name, shortest, size, resample in [("rgb.png", 40, 32, 3), ("palette.png", 33, 32, 2), ("two-wide.jpg", 24, 17, 3)]:
        image = Image.open(out / "preprocess/files" / name).convert("RGB")
        w, h = image.size
        short = min(w, h)
        image = image.resize((int(shortest * w / short), int(shortest * h / short)), resample)
        w, h = image.size
        left, top = (w - size) // 2, (h - size) // 2
        pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float64)
        made[name] = pixels.transpose(2, 0, 1).astype(np.uint8)
    np.savez_compressed(out / "onnx/crops.npz", **made)


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    with torch.no_grad():
        towers(out)
    tokens(out)
    crops(out)
