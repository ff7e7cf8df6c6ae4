"""Reads what the registry exported, without medprobe.

    python3 consume.py onnx MODEL.onnx…           ONNX's checker, in full
    python3 consume.py head HEAD.safetensors X.npy WANT.csv
                                                  PyTorch and scikit-learn against `medprobe predict`
"""
import csv
import json
import struct
import sys


def check(paths):
    import onnx

    for path in paths:
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path, load_external_data=False)
        print(path + ":", ", ".join(v.name for v in model.graph.input), "->", ", ".join(v.name for v in model.graph.output))


def load(path):
    """A safetensors file by its specification: a length, a JSON header, the values."""
    import numpy

    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    about = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(body[begin:end], "<f4").reshape(entry["shape"])
    return tensors, about


def compare(path, vectors, want):
    import numpy
    import torch
    from sklearn.linear_model import LogisticRegression

    tensors, about = load(path)
    x = numpy.load(vectors)
    classes = json.loads(about["classes"])
    with open(want) as f:
        rows = list(csv.DictReader(f))
    expected = numpy.array([[float(row[c]) for c in classes] for row in rows])
    weight, bias = tensors["weight"].astype("float64"), tensors["bias"].astype("float64")
    for k, c in enumerate(json.loads(about.get("calibration", "[]"))):  # Platt's: folded in
        weight[k] *= c["slope"]
        bias[k] = bias[k] * c["slope"] + c.get("intercept", 0)
    by_torch = torch.sigmoid(torch.from_numpy(x).double() @ torch.from_numpy(weight).T + torch.from_numpy(bias)).numpy()
    by_sklearn = []
    for w, b in zip(weight, bias):
        model = LogisticRegression()
        model.classes_, model.coef_, model.intercept_ = numpy.array([0, 1]), w[None], numpy.array([b])
        by_sklearn.append(model.predict_proba(x.astype("float64"))[:, 1])
    for name, got in [("PyTorch", by_torch), ("scikit-learn", numpy.stack(by_sklearn, 1))]:
        worst = abs(got - expected).max()
        print(f"{name}: {len(rows)} rows, greatest difference {worst:.1e}")
        if not worst <= 1e-5:
            sys.exit(f"{path}: {name} differs by {worst}")


if sys.argv[1] == "onnx":
    check(sys.argv[2:])
else:
    compare(*sys.argv[2:])
