"""Golden calibrations for trainer from scikit-learn and SciPy.

Run: python3 tools/reference/calibration.py trainer/testdata/calibration
Needs python3-sklearn. Writes golden.json: scores, labels, and what Platt's
method, a temperature and isotonic regression say at other scores.
"""
import json
import sys

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

rng = np.random.default_rng(20261125)
cases = []
for n, slope, grid in [(12, 1.0, 0), (80, 0.5, 0), (200, 3.0, 4), (60, 0.0, 2)]:
    z = 3 * rng.normal(size=n)
    if grid:
        z = np.round(z * grid) / grid  # ties
    y = (rng.random(n) < 1 / (1 + np.exp(-slope * z - 0.7))).astype(int)
    at = np.linspace(-9, 9, 13)
    platt = _SigmoidCalibration().fit(z, y)
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(z, y)
    loss = lambda log: np.sum(np.logaddexp(0, np.where(y == 1, -1, 1) * np.exp(log) * z))
    best = minimize_scalar(loss, bounds=(-13, 13), method="bounded", options={"xatol": 1e-10})
    cases.append({"z": z.tolist(), "y": y.tolist(), "at": at.tolist(),
                  "platt": platt.predict(at).tolist(), "isotonic": isotonic.predict(at).tolist(),
                  "temperature": (1 / (1 + np.exp(-np.exp(best.x) * at))).tolist()})
with open(f"{sys.argv[1]}/golden.json", "w") as f:
    json.dump({"tool": f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}", "cases": cases}, f, separators=(",", ":"))
    f.write("\n")
