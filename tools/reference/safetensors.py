"""Writes internal/safetensors/testdata from the format's description alone.

Independent of the Go package: the layout is that of huggingface/safetensors
src/tensor.rs (prepare): tensors by descending alignment of their type, then by
name; JSON without blanks; header padded with spaces to a multiple of 8. The
expected values are NumPy's and PyTorch's own conversions to float32.

    python3 tools/reference/safetensors.py internal/safetensors/testdata
"""
import json
import pathlib
import struct
import sys

import numpy as np
import torch

# Increasing alignment, as enum Dtype lists them.
ORDER = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
         "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64"]


def write(path, tensors, metadata):
    """tensors: name -> (dtype, shape, bytes)."""
    names = sorted(tensors, key=lambda n: (-ORDER.index(tensors[n][0]), n.encode()))
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for n in names:
        dtype, shape, data = tensors[n]
        header[n] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(tensors[n][2] for n in names))


def values(a):
    """float32 values as their bit patterns, which JSON keeps exactly."""
    return np.ascontiguousarray(a, "<f4").view("<u4").ravel().tolist()


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    halves = np.array([0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0xC000, 0x3555, 0x7BFF, 0x7C00, 0xFC00, 0x83FF], "<u2")
    brains = np.array([0x0000, 0x8000, 0x0001, 0x3F80, 0xC049, 0x7F7F, 0x7F80, 0xFF80], "<u2")
    f32 = np.array([[0.0, -0.0, 1.5], [1e-45, 3.4028235e38, -np.inf]], "<f4")
    f64 = np.array([np.pi, -1e-3], "<f8")
    tensors = {
        "half": ("F16", [3, 4], halves.tobytes()),
        "brain": ("BF16", [2, 4], brains.tobytes()),
        "single": ("F32", [2, 3], f32.tobytes()),
        "double": ("F64", [2], f64.tobytes()),
        "scalar": ("F32", [], struct.pack("<f", 4.5)),
        "empty": ("F32", [0, 7], b""),
        "counts": ("I64", [2], struct.pack("<qq", -1, 1 << 40)),
        "Ärzte \"<&>\" \\": ("F32", [1], struct.pack("<f", -2.0)),
    }
    write(out / "types.safetensors", tensors, {"format": "pt", "note": "a <b> & \"c\""})
    brain32 = torch.from_numpy(brains.view("<i2").copy()).view(torch.bfloat16).float().numpy()
    want = {
        "half": values(halves.view("<f2").astype("<f4")),
        "brain": values(brain32),
        "single": values(f32),
        "double": values(f64.astype("<f4")),
        "scalar": values(np.float32([4.5])),
        "empty": [],
        "Ärzte \"<&>\" \\": values(np.float32([-2.0])),
    }
    (out / "types.json").write_text(json.dumps(want, indent=1, ensure_ascii=False) + "\n")
    write(out / "written.safetensors", {n: tensors[n] for n in ["single", "scalar", "empty", "Ärzte \"<&>\" \\"]},
          {"classes": "[\"a\",\"b\"]", "format": "pt"})


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
