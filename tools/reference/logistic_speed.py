"""Times scikit-learn on the shapes of trainer's BenchmarkFit.

Run: python3 tools/reference/logistic_speed.py [repetitions]
Needs python3-sklearn. Prints the least of the repetitions in milliseconds.
One fit at C = 1, and a sweep of 10 C from 1e-4 to 1e4 over 5 folds with a fit of
the best at the end, by LogisticRegression and LogisticRegressionCV as they come
but for max_iter.
"""
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

warnings.filterwarnings("ignore")
rng = np.random.default_rng(1)
repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
noise = (1.0 + np.arange(1152)) ** -0.4
for n in [64, 256, 2000]:
    # As internal/testworld draws: two means three deviations apart, length one.
    shift = rng.normal(size=1152)
    shift *= 3 / np.linalg.norm(shift) * noise
    y = np.arange(n) % 2
    x = rng.normal(size=1152) * np.sqrt(np.mean(noise**2)) + rng.normal(size=(n, 1152)) * noise + (y[:, None] - 0.5) * shift
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    for name, model in {
        "logistic, C = 1": LogisticRegression(C=1, max_iter=1000),
        "logistic, C = 1, tol 1e-10": LogisticRegression(C=1, max_iter=10000, tol=1e-10),
        "logistic, 10 C x 5 folds": LogisticRegressionCV(Cs=10, cv=5, max_iter=1000, scoring="neg_log_loss", n_jobs=2),
    }.items():
        times = []
        for _ in range(repetitions):
            start = time.perf_counter()
            model.fit(x, y)
            times.append(time.perf_counter() - start)
        print(f"{n}x1152 {name}: {1000 * min(times):.1f} ms", flush=True)
