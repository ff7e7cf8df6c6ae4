"""Writes evaluate/testdata/curves.json: curves for drawing, by scikit-learn 1.2.1.

    /usr/bin/python3 tools/reference/curves.py > evaluate/testdata/curves.json
"""
import json

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

random = np.random.default_rng(11)
cases = []
for name, n, digits in [("continuous", 60, 16), ("ties", 80, 1), ("few", 6, 2)]:
    y = random.integers(0, 2, n)
    y[:2] = [0, 1]
    p = np.round(1 / (1 + np.exp(-(1.2 * y - 0.6 + random.normal(size=n)))), digits)
    precision, recall, thresholds = precision_recall_curve(y, p)
    observed, predicted = calibration_curve(y, p, n_bins=15)
    cases.append({
        "name": name, "y": y.tolist(), "p": p.tolist(),
        "precision": precision.tolist(), "recall": recall.tolist(), "thresholds": thresholds.tolist(),
        "observed": observed.tolist(), "predicted": predicted.tolist(),
    })
print(json.dumps({"cases": cases}))
