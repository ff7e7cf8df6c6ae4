"""Small SigLIP checkpoints with random weights, and what PyTorch makes of them.

The forward pass is written from the published architecture (Zhai et al., arXiv
2303.15343; Hugging Face's modeling_siglip.py) in float64 on the weights as they
are stored, and shares no code with medprobe. Each folder under OUT is a
checkpoint in Hugging Face's layout together with golden.npz: pixels, input_ids,
and the embeddings and logits they give.

    python3 tools/reference/siglip.py encoder/testdata

Any other SigLIP checkpoint, MedSigLIP's included, gets its golden.npz by

    python3 tools/reference/siglip.py --forward CHECKPOINT OUT/golden.npz
    MEDPROBE_CHECKPOINT=CHECKPOINT MEDPROBE_GOLDEN=OUT/golden.npz go test ./encoder -run OwnCheckpoint -v

Before anything is written, the script makes each of the mistakes that are easy
to make (see MISTAKES) and checks that the golden arrays would show it.
"""
import io
import json
import math
import pathlib
import sys

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F

from safetensors import write

# name: vision (image, patch, width, mlp, heads, layers), text (width, mlp,
# heads, layers), what else differs.
CASES = {
    "siglip-f32": dict(seed=1, vision=(32, 8, 32, 64, 2, 2), text=(32, 64, 2, 2), dtype="F32"),
    "siglip-f16": dict(seed=2, vision=(32, 8, 32, 64, 2, 2), text=(32, 64, 2, 2), dtype="F16"),
    # 30/7: the convolution leaves two pixels over. Text of another width.
    "siglip-bf16": dict(seed=3, vision=(30, 7, 48, 70, 3, 2), text=(40, 56, 5, 3), dtype="BF16", scalar=True),
    "siglip-sharded": dict(seed=4, vision=(24, 8, 32, 50, 4, 1), text=(24, 50, 2, 3), dtype="F16", shards=3),
    # Other values of what a configuration may say.
    "siglip-erf": dict(seed=5, vision=(16, 8, 24, 40, 2, 2), text=(24, 40, 3, 2), dtype="F32", act="gelu", eps=1e-3),
}

MISTAKES = ["eps", "gelu", "mean instead of last position", "no probe attention", "no head MLP", "no head residual",
            "no post layernorm", "no attention scale", "no patch bias", "causal text", "padding masked", "k and v swapped",
            "one attention head", "no logit scale", "no logit bias", "post norm"]


def weights(rng, case):
    """Scales are chosen so that attention is far from uniform and every bias
    counts; embeddings are small, as trained ones are, so that the epsilon of the
    first LayerNorm counts as well."""
    w = {}

    def linear(name, out, inp, gain=1.0):
        w[name + ".weight"] = rng.normal(size=(out, inp)) * gain / math.sqrt(inp)
        w[name + ".bias"] = rng.normal(size=out) * 0.2

    def norm(name, width):
        w[name + ".weight"] = 1 + 0.3 * rng.normal(size=width)
        w[name + ".bias"] = 0.2 * rng.normal(size=width)

    def layers(name, width, mlp, n):
        for i in range(n):
            p = f"{name}.{i}"
            norm(p + ".layer_norm1", width)
            norm(p + ".layer_norm2", width)
            for part, gain in [("q", 1.8), ("k", 1.8), ("v", 1.0), ("out", 1.0)]:
                linear(f"{p}.self_attn.{part}_proj", width, width, gain)
            linear(p + ".mlp.fc1", mlp, width, 1.5)
            linear(p + ".mlp.fc2", width, mlp)

    image, patch, width, mlp, _, n = case["vision"]
    e = "vision_model.embeddings."
    w[e + "patch_embedding.weight"] = rng.normal(size=(width, 3, patch, patch)) * 0.004 / patch
    w[e + "patch_embedding.bias"] = rng.normal(size=width) * 0.002
    w[e + "position_embedding.weight"] = rng.normal(size=((image // patch) ** 2, width)) * 0.002
    layers("vision_model.encoder.layers", width, mlp, n)
    norm("vision_model.post_layernorm", width)
    h = "vision_model.head."
    w[h + "probe"] = rng.normal(size=(1, 1, width))
    w[h + "attention.in_proj_weight"] = rng.normal(size=(3 * width, width)) * 1.6 / math.sqrt(width)
    w[h + "attention.in_proj_bias"] = rng.normal(size=3 * width) * 0.2
    linear(h + "attention.out_proj", width, width)
    norm(h + "layernorm", width)
    linear(h + "mlp.fc1", mlp, width, 1.5)
    linear(h + "mlp.fc2", width, mlp)

    tw, tmlp, _, tn = case["text"]
    e = "text_model.embeddings."
    w[e + "token_embedding.weight"] = rng.normal(size=(case["vocab"], tw)) * 0.003
    w[e + "position_embedding.weight"] = rng.normal(size=(64, tw)) * 0.002
    layers("text_model.encoder.layers", tw, tmlp, tn)
    norm("text_model.final_layer_norm", tw)
    linear("text_model.head", width, tw)
    shape = () if case.get("scalar") else (1,)
    w["logit_scale"] = np.full(shape, math.log(10) + 0.1 * rng.normal())
    w["logit_bias"] = np.full(shape, -8 + rng.normal())
    return w


class Siglip:
    def __init__(self, w, case, mistake=None):
        self.w, self.case, self.mistake = w, case, mistake
        self.eps = case.get("eps", 1e-6) * (10 if mistake == "eps" else 1)
        exact = case.get("act") == "gelu"
        self.tanh = exact if mistake == "gelu" else not exact

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], self.eps)

    def mlp(self, x, name):
        h = self.linear(x, name + ".fc1")
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h ** 3))) if self.tanh else F.gelu(h)
        return self.linear(h, name + ".fc2")

    def attention(self, x, name, heads, mask):
        b, n, d = x.shape
        if self.mistake == "one attention head":
            heads = 1
        q, k, v = (self.linear(x, f"{name}.{p}_proj").view(b, n, heads, d // heads).transpose(1, 2) for p in "qkv")
        if self.mistake == "k and v swapped":
            k, v = v, k
        scores = q @ k.transpose(2, 3)
        if self.mistake != "no attention scale":
            scores = scores * (d // heads) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(mask, -math.inf)
        y = scores.softmax(-1) @ v
        return self.linear(y.transpose(1, 2).reshape(b, n, d), name + ".out_proj")

    def layers(self, x, name, heads, n, mask=None):
        for i in range(n):
            p = f"{name}.{i}"
            if self.mistake == "post norm":
                x = self.norm(x + self.attention(x, p + ".self_attn", heads, mask), p + ".layer_norm1")
                x = self.norm(x + self.mlp(x, p + ".mlp"), p + ".layer_norm2")
                continue
            x = x + self.attention(self.norm(x, p + ".layer_norm1"), p + ".self_attn", heads, mask)
            x = x + self.mlp(self.norm(x, p + ".layer_norm2"), p + ".mlp")
        return x

    def image(self, pixels):
        _, patch, width, _, heads, n = self.case["vision"]
        e = "vision_model.embeddings."
        bias = None if self.mistake == "no patch bias" else self.w[e + "patch_embedding.bias"]
        x = F.conv2d(pixels, self.w[e + "patch_embedding.weight"], bias, stride=patch)
        x = x.flatten(2).transpose(1, 2) + self.w[e + "position_embedding.weight"]
        x = self.layers(x, "vision_model.encoder.layers", heads, n)
        if self.mistake != "no post layernorm":
            x = self.norm(x, "vision_model.post_layernorm")
        if self.mistake == "no probe attention":
            return x.mean(1)
        h = "vision_model.head."
        pool = torch.nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
        pool.load_state_dict({k: self.w[h + "attention." + k] for k in pool.state_dict()})
        with torch.no_grad():
            y = pool(self.w[h + "probe"].repeat(len(x), 1, 1), x, x)[0]
        if self.mistake == "no head MLP":
            return y[:, 0]
        z = self.mlp(self.norm(y, h + "layernorm"), h + "mlp")
        return (z if self.mistake == "no head residual" else y + z)[:, 0]

    def text(self, ids):
        _, _, heads, n = self.case["text"]
        e = "text_model.embeddings."
        x = self.w[e + "token_embedding.weight"][ids] + self.w[e + "position_embedding.weight"]
        mask = None
        if self.mistake == "causal text":
            mask = torch.ones(64, 64, dtype=torch.bool).triu(1)
        if self.mistake == "padding masked":
            pad = (ids == 1) & ((ids == 1).cumsum(1) > 1)  # all but the first </s>
            mask = pad[:, None, None, :]
        x = self.norm(self.layers(x, "text_model.encoder.layers", heads, n, mask), "text_model.final_layer_norm")
        return self.linear(x.mean(1) if self.mistake == "mean instead of last position" else x[:, -1], "text_model.head")

    def logits(self, images, texts):
        scale = 1 if self.mistake == "no logit scale" else self.w["logit_scale"].exp()
        bias = 0 if self.mistake == "no logit bias" else self.w["logit_bias"]
        return F.normalize(images) @ F.normalize(texts).T * scale + bias


def stored(a, dtype):
    """The bytes of an array in dtype and the float64 values those stand for."""
    t = torch.from_numpy(np.asarray(a)).to({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype])
    data = t.contiguous().view(torch.int16).numpy().tobytes() if dtype == "BF16" else t.numpy().tobytes()
    return data, t.double()


def spiece():
    """A vocabulary of 300 pieces, bytes included, without normalisation."""
    text = ["a chest radiograph with an enlarged heart", "a blood smear with white cells", "a fundus photograph",
            "no effusion is seen", "dark upper zone", "thin bright line", "normal"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=300, model_type="unigram", byte_fallback=True,
        normalization_rule_name="identity", num_threads=1, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    return model.getvalue()


def config(case):
    image, patch, width, mlp, heads, layers = case["vision"]
    tw, tmlp, theads, tlayers = case["text"]
    # Hugging Face leaves out what has the default, here hidden_act and
    # layer_norm_eps.
    extra = {}
    if "act" in case:
        extra = {"hidden_act": case["act"], "layer_norm_eps": case["eps"]}
    text = {"model_type": "siglip_text_model", "hidden_size": tw, "intermediate_size": tmlp, "num_attention_heads": theads,
            "num_hidden_layers": tlayers, "vocab_size": case["vocab"], **extra}
    if tw != width:
        text["projection_size"] = width
    vision = {"model_type": "siglip_vision_model", "hidden_size": width, "intermediate_size": mlp, "num_attention_heads": heads,
              "num_hidden_layers": layers, "image_size": image, "patch_size": patch, **extra}
    return {"architectures": ["SiglipModel"], "model_type": "siglip", "text_config": text, "vision_config": vision}


def save_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def save_weights(out, w, case):
    tensors = {n: (case["dtype"], list(a.shape), stored(a, case["dtype"])[0]) for n, a in w.items()}
    shards = case.get("shards", 1)
    if shards == 1:
        write(out / "model.safetensors", tensors, {"format": "pt"})
        return
    names, where = sorted(tensors), {}
    for s in range(shards):
        file = f"model-{s + 1:05}-of-{shards:05}.safetensors"
        part = names[s::shards]  # neighbours in different shards
        write(out / file, {n: tensors[n] for n in part}, {"format": "pt"})
        where.update({n: file for n in part})
    save_json(out / "model.safetensors.index.json",
              {"metadata": {"total_size": sum(len(t[2]) for t in tensors.values())}, "weight_map": dict(sorted(where.items()))})


def inputs(rng, case):
    image, vocab = case["vision"][0], case["vocab"]
    pixels = rng.integers(0, 256, size=(5, 3, image, image)) / 127.5 - 1
    pixels[1] = np.linspace(-1, 1, image)  # a ramp
    pixels[2] = -1  # black
    ids = np.ones((5, 64), np.int64)
    for row, n in enumerate([7, 63, 1, 0, 30]):
        ids[row, :n] = rng.integers(2, vocab, size=n)
    ids[1, 63] = vocab - 1  # a full text has no </s> at its end here
    return torch.from_numpy(pixels.astype("<f4")).double(), torch.from_numpy(ids)


def cosine(a, b):
    return F.cosine_similarity(a, b, dim=-1).min().item()


def distance(a, b):
    """Largest relative distance of two vectors. The cosine hardly sees the two
    forms of Gelu (1 - cosine = 7e-8); this does."""
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).max().item()


def save_golden(path, pixels, ids, image, text, logits):
    def single(t):
        return t.numpy().astype("<f4")

    np.savez_compressed(path, pixels=single(pixels), input_ids=ids.numpy(), image_raw=single(image),
                        image_embeds=single(F.normalize(image)), text_raw=single(text),
                        text_embeds=single(F.normalize(text)), logits_per_image=single(logits))


def read(path):
    """The tensors of a safetensors file as float64."""
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
    data = bytearray(path.read_bytes())
    n = int.from_bytes(data[:8], "little")
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            flat = torch.frombuffer(data, dtype=types[t["dtype"]], count=math.prod(t["shape"]), offset=8 + n + begin)
            yield name, flat.reshape(t["shape"]).double()


def forward(checkpoint, out):
    """golden.npz of a checkpoint as it is, on random pixels and ids."""
    c = json.loads((checkpoint / "config.json").read_text())
    v = {"image_size": 224, "patch_size": 16, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
         "num_hidden_layers": 12, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh", **c["vision_config"]}
    t = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 32000,
         **c["text_config"]}
    size = ["hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"]
    case = dict(vision=[v[k] for k in ["image_size", "patch_size", *size]], text=[t[k] for k in size], vocab=t["vocab_size"],
                act=v["hidden_act"], eps=v["layer_norm_eps"])
    w = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        w.update(read(file))
    pixels, ids = inputs(np.random.default_rng(0), case)
    model = Siglip(w, case)
    image, text = model.image(pixels), model.text(ids)
    save_golden(out, pixels, ids, image, text, model.logits(image, text))


def main(out):
    vocabulary = spiece()
    pieces = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).get_piece_size()
    shown = {m: 0.0 for m in MISTAKES}
    for name, case in CASES.items():
        case["vocab"] = pieces
        rng = np.random.default_rng(case["seed"])
        raw = weights(rng, case)
        pixels, ids = inputs(rng, case)
        w = {n: stored(a, case["dtype"])[1] for n, a in raw.items()}
        right = Siglip(w, case)
        image, text = right.image(pixels), right.text(ids)
        logits = right.logits(image, text)
        for m in MISTAKES:
            wrong = Siglip(w, case, m)
            i, t = wrong.image(pixels), wrong.text(ids)
            moved = max(distance(i, image), distance(t, text))
            if "logit" in m:
                moved = (wrong.logits(i, t) - logits).abs().max().item()
            shown[m] = max(shown[m], moved)
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(folder, raw, case)
        save_json(folder / "config.json", config(case))
        save_json(folder / "preprocessor_config.json",
                  {"do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
                   "resample": 2, "rescale_factor": 1 / 255, "size": {"height": case["vision"][0], "width": case["vision"][0]}})
        (folder / "spiece.model").write_bytes(vocabulary)
        save_golden(folder / "golden.npz", pixels, ids, image, text, logits)
        print(f"{name}: cosine between images {cosine(image[:1], image[1:2]):.3f}, texts {cosine(text[:1], text[1:2]):.3f}, "
              f"logits {logits.min():.2f} to {logits.max():.2f}")
    for m, moved in shown.items():
        print(f"  mistake {m!r}: moves {moved:.1e}")
        assert moved > 1e-4, m


if __name__ == "__main__":
    if sys.argv[1] == "--forward":
        forward(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        main(pathlib.Path(sys.argv[1]))
