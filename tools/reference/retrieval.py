"""Golden average precisions of rankings, and precision and recall at k, for evaluate.

Run: python3 tools/reference/retrieval.py evaluate/testdata/retrieval.json
Needs python3-sklearn. Precision and recall at k are precision_score and
recall_score of "the first k are relevant".
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, precision_score, recall_score

rng = np.random.default_rng(20261125)


def case(ranking, k):
    ranking = np.asarray(ranking, int)
    first = np.arange(len(ranking)) < k
    return {
        "ranking": ranking.tolist(), "k": k,
        "precision": precision_score(ranking, first), "recall": recall_score(ranking, first),
        "average_precision": average_precision_score(ranking, -np.arange(len(ranking))),
    }


cases = [case([1, 0], 1), case([0, 1], 1), case([0, 1, 1, 0, 1], 5), case([1, 1, 1, 0, 0], 3), case([1, 1], 2)]
cases += [case(rng.random(n) < rate, k) for n, rate, k in [(50, 0.3, 10), (400, 0.05, 10), (400, 0.5, 100), (3000, 0.01, 7)]]
tool = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
json.dump({"tool": tool, "cases": cases}, open(sys.argv[1], "w"), separators=(",", ":"))
