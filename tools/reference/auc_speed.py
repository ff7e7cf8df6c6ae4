"""The peer in evaluate's speed test: times scikit-learn's roc_auc_score.

Reads lines from standard input, each the path of a file of little-endian
float64, scores first and as many labels of 0 and 1 after them, and answers each
with the AUC and the seconds that it took, by the clock and of the processor.
"""
import sys
import time

import numpy as np
from sklearn.metrics import roc_auc_score

for line in sys.stdin:
    scores, labels = np.fromfile(line.strip(), "<f8").reshape(2, -1)
    labels = labels.astype(int)
    start, processor = time.perf_counter(), time.process_time()
    auc = roc_auc_score(labels, scores)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(f"{float(auc)!r} {seconds} {processor}", flush=True)
