"""Golden figures at a threshold, over labels and over classes for evaluate.

Run: python3 tools/reference/classes.py evaluate/testdata/classes.json
Needs python3-sklearn.
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.metrics import (accuracy_score, average_precision_score, balanced_accuracy_score, confusion_matrix, f1_score, hamming_loss,
                             precision_score, recall_score, roc_auc_score)

rng = np.random.default_rng(20261126)


def at_threshold(y, p, threshold):
    called = p >= threshold
    tn, fp, fn, tp = confusion_matrix(y, called).ravel().tolist()
    return {
        "threshold": threshold, "tp": tp, "fn": fn, "tn": tn, "fp": fp,
        "sensitivity": recall_score(y, called), "specificity": recall_score(y, called, pos_label=0),
        "ppv": precision_score(y, called), "npv": precision_score(y, called, pos_label=0),
        "f1": f1_score(y, called), "balanced_accuracy": balanced_accuracy_score(y, called),
    }


def labels(name, n, rates, digits):
    rates = np.asarray(rates)
    y = (rng.random((n, len(rates))) < rates).astype(int)
    p = np.round(1 / (1 + np.exp(-(1.5 * y - 0.75 + rng.normal(size=y.shape)))), digits)
    return {
        "name": name, "y": y.T.tolist(), "p": p.T.tolist(),
        "macro": roc_auc_score(y, p, average="macro"), "weighted": roc_auc_score(y, p, average="weighted"),
        "micro": roc_auc_score(y, p, average="micro"), "hamming": hamming_loss(y, p >= 0.5),
        "ap": {a: average_precision_score(y, p, average=a) for a in ("macro", "weighted", "micro")},
        "at": [[at_threshold(y[:, k], p[:, k], t) for t in (0.3, 0.5)] for k in range(len(rates))],
    }


def classes(name, n, shares, digits):
    c = len(shares)
    y = rng.choice(c, size=n, p=shares)
    logits = 1.2 * np.eye(c)[y] + rng.normal(size=(n, c))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p = np.round(p, digits)
    p[:, -1] = 1 - p[:, :-1].sum(1)  # scikit-learn wants rows that sum to 1
    called = p.argmax(1)
    auc = lambda how, average: roc_auc_score(y, p, multi_class=how, average=average)
    return {
        "name": name, "y": y.tolist(), "p": p.T.tolist(),
        "ovr_macro": auc("ovr", "macro"), "ovr_weighted": auc("ovr", "weighted"), "ovr_micro": auc("ovr", "micro"),
        "ovo_macro": auc("ovo", "macro"), "ovo_weighted": auc("ovo", "weighted"),
        "accuracy": accuracy_score(y, called), "balanced_accuracy": balanced_accuracy_score(y, called),
        "confusion": confusion_matrix(y, called).tolist(),
    }


golden = {
    "tool": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}",
    "labels": [
        labels("smooth", 200, [0.5, 0.3, 0.1], 17), labels("ties", 150, [0.4, 0.4], 1),
        labels("rare", 400, [0.02, 0.05, 0.5, 0.2], 3),
    ],
    "classes": [
        classes("three", 200, [0.2, 0.3, 0.5], 17), classes("seven, rare", 300, [0.4, 0.3, 0.1, 0.08, 0.06, 0.04, 0.02], 17),
        classes("ties", 250, [0.25] * 4, 1),
    ],
}
json.dump(golden, open(sys.argv[1], "w"), separators=(",", ":"))
