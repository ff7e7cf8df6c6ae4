"""Times scikit-learn's roc_auc_score for evaluate's TestSpeed (make bench-evaluate).

Run: python3 tools/reference/metrics_speed.py SCORES, whose lines are a label
(true or false) and a score. Each line of stdin is answered with the
seconds of one call and the AUC. Needs python3-sklearn.
"""
import sys
import time

import numpy as np
from sklearn.metrics import roc_auc_score

rows = [line.split() for line in open(sys.argv[1])]
y = np.array([label == "true" for label, _ in rows])
scores = np.array([float(score) for _, score in rows])
roc_auc_score(y, scores)  # what is loaded late is loaded now
for _ in sys.stdin:
    start = time.perf_counter()
    auc = roc_auc_score(y, scores)
    print(f"{time.perf_counter() - start} {auc!r}", flush=True)
