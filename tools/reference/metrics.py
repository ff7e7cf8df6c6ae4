"""Golden AUC, average precision, Brier score, log-loss and ECE for evaluate.

Run: python3 tools/reference/metrics.py evaluate/testdata/metrics.json
Needs python3-sklearn. ECE has no function there: it is written out below.
Log-loss is asked for with eps = 2**-52, the default for float64 since
scikit-learn 1.3.
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

rng = np.random.default_rng(20261123)


def ece(y, p, bins=15):
    edges = np.arange(1, bins + 1) / bins
    at = np.searchsorted(edges, p, side="left")  # a bin holds its upper end
    return sum(abs(p[at == b].mean() - y[at == b].mean()) * (at == b).mean() for b in range(bins) if (at == b).any())


def case(name, y, p):
    y, p = np.asarray(y, int), np.asarray(p, float)
    return {
        "name": name, "y": y.tolist(), "p": p.tolist(),
        "auc": roc_auc_score(y, p), "average_precision": average_precision_score(y, p),
        "brier": brier_score_loss(y, p), "log_loss": log_loss(y, p, eps=2.0**-52), "ece": ece(y, p),
    }


def drawn(n, rate, digits):
    y = (rng.random(n) < rate).astype(int)
    return y, np.round(1 / (1 + np.exp(-(1.5 * y - 0.75 + rng.normal(size=n)))), digits)


cases = [
    case("smooth", *drawn(300, 0.4, 17)),
    case("many ties", *drawn(300, 0.4, 1)),
    case("rare", *drawn(1000, 0.02, 17)),
    case("certain and wrong", [0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0.7, 0.2]),
    case("all alike", [0, 1, 0, 1, 1], [0.5] * 5),
    case("separated", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
    case("two samples", [1, 0], [0.3, 0.6]),
    case("thousands", *drawn(5000, 0.3, 5)),
]
tool = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
json.dump({"tool": tool, "cases": cases}, open(sys.argv[1], "w"), separators=(",", ":"))
