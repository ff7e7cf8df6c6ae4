"""Checkpoints that carry SigLIP's vision tower without its text tower, and what
PyTorch makes of them: SiglipVisionModel with and without the pooling head,
SiglipForImageClassification, and the tower of a MedGemma-like language model.

The forward pass is that of siglip.py beside this file. Each folder under OUT
holds golden.npz: pixels, image_raw and, for the classifier, class_logits.

    python3 tools/reference/siglip_towers.py encoder/testdata/towers
"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

import siglip
from safetensors import write

TOWER = dict(vision=(32, 8, 32, 64, 2, 2), text=(32, 64, 2, 2), vocab=300, dtype="F16")
MEAN = "no probe attention"  # siglip.py's mistake is what these models do


def tower(seed):
    """The weights of a vision tower, as stored, and pixels."""
    rng = np.random.default_rng(seed)
    raw = {n: a for n, a in siglip.weights(rng, TOWER).items() if n.startswith("vision_model.")}
    pixels, _ = siglip.inputs(rng, TOWER)
    return rng, raw, pixels


def exact(raw):
    return {n: siglip.stored(a, TOWER["dtype"])[1] for n, a in raw.items()}


def save(folder, raw, config, pixels, golden, shards=None):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: (TOWER["dtype"], list(np.shape(a)), siglip.stored(a, TOWER["dtype"])[0]) for n, a in raw.items()}
    if shards is None:
        write(folder / "model.safetensors", tensors, {"format": "pt"})
    else:
        # The shard of the language model is listed and left out: an importer
        # that touches it fails.
        write(folder / "model-00001-of-00002.safetensors", tensors, {"format": "pt"})
        where = {n: "model-00001-of-00002.safetensors" for n in tensors} | {n: "model-00002-of-00002.safetensors" for n in shards}
        siglip.save_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": dict(sorted(where.items()))})
    siglip.save_json(folder / "config.json", config)
    size = TOWER["vision"][0]
    siglip.save_json(folder / "preprocessor_config.json", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": {"height": size, "width": size}})
    np.savez_compressed(folder / "golden.npz", pixels=pixels.numpy().astype("<f4"), **{k: v.numpy().astype("<f4") for k, v in golden.items()})


def main(out):
    vision = siglip.config(TOWER)["vision_config"]

    _, raw, pixels = tower(11)
    save(out / "vision", raw, {"architectures": ["SiglipVisionModel"], **vision}, pixels,
         {"image_raw": siglip.Siglip(exact(raw), TOWER).image(pixels)})

    _, raw, pixels = tower(12)
    headless = {n: a for n, a in raw.items() if not n.startswith("vision_model.head.")}
    save(out / "vision-without-head", headless, {"architectures": ["SiglipVisionModel"], **vision, "vision_use_head": False}, pixels,
         {"image_raw": siglip.Siglip(exact(headless), TOWER, MEAN).image(pixels)})

    # Hugging Face saves the head of a classifier's tower though it is not used.
    rng, raw, pixels = tower(13)
    labels = ["normal", "pneumonia", "tuberculosis"]
    raw["classifier.weight"] = rng.normal(size=(len(labels), 32))
    raw["classifier.bias"] = rng.normal(size=len(labels))
    w = exact(raw)
    image = siglip.Siglip(w, TOWER, MEAN).image(pixels)
    save(out / "classification", raw, {"architectures": ["SiglipForImageClassification"], "model_type": "siglip", "vision_config": vision,
                                       "id2label": {str(i): n for i, n in enumerate(labels)}}, pixels,
         {"image_raw": image, "class_logits": F.linear(image, w["classifier.weight"], w["classifier.bias"])})

    for name, prefix, kind in [("medgemma", "vision_tower.", "gemma3"), ("paligemma", "model.vision_tower.", "paligemma")]:
        rng, raw, pixels = tower(14 if kind == "gemma3" else 15)
        headless = {n: a for n, a in raw.items() if not n.startswith("vision_model.head.")}
        image = siglip.Siglip(exact(headless), TOWER, MEAN).image(pixels)
        stored = {prefix + n: a for n, a in headless.items()} | {"multi_modal_projector.weight": rng.normal(size=(4, 4))}
        save(out / name, stored, {"architectures": ["ForConditionalGeneration"], "model_type": kind, "text_config": {"model_type": "gemma", "vocab_size": 262208},
                                  "vision_config": {**vision, "vision_use_head": False}}, pixels, {"image_raw": image},
             shards=["language_model.model.embed_tokens.weight", "language_model.lm_head.weight"])
    for folder in sorted(out.iterdir()):
        if folder.is_dir():
            vectors = torch.from_numpy(np.load(folder / "golden.npz")["image_raw"])
            print(f"{folder.name}: cosine between images {siglip.cosine(vectors[:1], vectors[1:2]):.3f}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
