"""Times scikit-learn for trainer's TestSpeed (make bench-trainer).

Needs python3-sklearn. Each line read is "FIT x.npy y.npy": "one" is
LogisticRegression(C=1), "sweep" LogisticRegressionCV of 10 C from 1e-4 to 1e4
over 5 folds, both as they come, on float64. The answer is a line with seconds.
"""
import os
import sys

for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]:
    os.environ[name] = "2"
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

warnings.filterwarnings("ignore")
for line in sys.stdin:
    fit, x, y = line.split()
    x, y = np.load(x).astype(np.float64), np.load(y).ravel().astype(int)
    model = LogisticRegression(C=1) if fit == "one" else LogisticRegressionCV(Cs=10, cv=5, scoring="neg_log_loss")
    start = time.perf_counter()
    model.fit(x, y)
    print(time.perf_counter() - start, flush=True)
