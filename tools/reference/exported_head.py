"""What PyTorch and scikit-learn make of an exported head.

usage: exported_head.py VECTORS.json HEAD.safetensors…
Reads the safetensors by hand, so that neither side's reader is trusted, and
prints the probabilities of the vectors, for each head, as JSON.
"""
import json
import struct
import sys

import numpy as np


def read(path):
    data = open(path, "rb").read()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    about = header.pop("__metadata__")
    tensors = {}
    for name, t in header.items():
        assert t["dtype"] == "F32", t
        begin, end = t["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + n + begin : 8 + n + end], "<f4").reshape(t["shape"])
    return tensors, about


def by_torch(tensors, about, x):
    import torch

    z = torch.tensor(x, dtype=torch.double) @ torch.tensor(tensors["weight"]).double().T + torch.tensor(tensors["bias"]).double()
    for k, c in enumerate(json.loads(about.get("calibration", "[]"))):
        if about["exclusive"] == "true":
            z = z * c["slope"]
        else:
            z[:, k] = z[:, k] * c["slope"] + c.get("intercept", 0)
    return (z.softmax(1) if about["exclusive"] == "true" else z.sigmoid()).tolist()


def by_sklearn(tensors, about, x):
    from sklearn.linear_model import LogisticRegression

    if "calibration" in about:
        return None
    if about["exclusive"] == "true":
        m = LogisticRegression(multi_class="multinomial")
        m.classes_ = np.arange(len(tensors["bias"]))
        m.coef_, m.intercept_ = tensors["weight"].astype(float), tensors["bias"].astype(float)
        return m.predict_proba(x).tolist()
    columns = []
    for w, b in zip(tensors["weight"], tensors["bias"]):
        m = LogisticRegression()
        m.classes_ = np.arange(2)
        m.coef_, m.intercept_ = w[None].astype(float), np.array([b], float)
        columns.append(m.predict_proba(x)[:, 1])
    return np.stack(columns, 1).tolist()


x = np.array(json.load(open(sys.argv[1])), np.float32).astype(float)
found = []
for path in sys.argv[2:]:
    tensors, about = read(path)
    found.append({"classes": json.loads(about["classes"]), "torch": by_torch(tensors, about, x), "sklearn": by_sklearn(tensors, about, x)})
json.dump(found, sys.stdout)
