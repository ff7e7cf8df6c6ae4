"""Golden votes of nearest neighbours for trainer's golearn-knn.

Run: python3 tools/reference/golearn_knn.py trainer/testdata/golearn/golden.json
Needs python3-sklearn >= 1.2. For k = 1, 3, 5, 7, 9, as far as there are samples,
KNeighborsClassifier votes on each label alone, on the rows for which it is known.
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.neighbors import KNeighborsClassifier

rng = np.random.default_rng(20261125)
cases = []
for n, m, d, classes, exclusive in [(60, 40, 12, 1, False), (50, 30, 6, 3, False), (6, 20, 4, 1, False), (90, 40, 8, 4, True)]:
    x = np.round(rng.normal(size=(n, d)), 3).astype(np.float32).astype(float)
    t = np.round(rng.normal(size=(m, d)), 3).astype(np.float32).astype(float)
    if exclusive:
        own = np.argmax(x[:, :classes] + 0.7 * rng.normal(size=(n, classes)), axis=1)
        y = (own[:, None] == np.arange(classes)).astype(int)
    else:
        y = (x[:, :classes] + 0.7 * rng.normal(size=(n, classes)) > 0).astype(int)
        if classes > 1:
            y[rng.random(y.shape) < 0.1] = -1
    votes = np.zeros((m, classes), int)
    for c in range(classes):
        known = y[:, c] >= 0
        for k in range(1, min(9, known.sum()) + 1, 2):
            votes[:, c] += KNeighborsClassifier(k, algorithm="brute").fit(x[known], y[known, c]).predict(t)
    cases.append(dict(n=n, m=m, d=d, exclusive=exclusive, x=x.ravel().tolist(), t=t.ravel().tolist(), y=y.tolist(), votes=votes.tolist()))
with open(sys.argv[1], "w") as f:
    json.dump(dict(tool="scikit-learn " + sklearn.__version__, cases=cases), f)
