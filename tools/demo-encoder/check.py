"""Check a demo encoder on phantoms it has not seen: zero-shot and probe AUC per finding.

    python3 tools/demo-encoder/check.py examples/demo/encoder DATASET...

DATASET is a folder written by `go run ./tools/demo-encoder -evaluation DATASET -seed N`.
The probe is scikit-learn's logistic regression on L2-normalised vectors, C by patient-grouped
cross-validation on the split "train"; intervals resample patients of the split "test".
"""
import csv
import os
import sys
import warnings

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

import siglip

# Positive and negative prompt of every finding; the last two are names the encoder has never read.
PROMPTS = {
    'cardiomegaly': ('a chest radiograph with an enlarged heart', 'a chest radiograph with no enlarged heart'),
    'effusion': ('a chest radiograph with an effusion', 'a chest radiograph with no effusion'),
    'opacity': ('a chest radiograph with an opacity', 'a chest radiograph with no opacity'),
    'nodule': ('a chest radiograph with a nodule', 'a chest radiograph with no nodule'),
    'pneumothorax': ('a chest radiograph with a pneumothorax', 'a chest radiograph with no pneumothorax'),
    'device': ('a chest radiograph with a device', 'a chest radiograph with no device'),
}
# What the appearance words of the unnamed findings give: shown for comparison, not by the demo.
DESCRIBED = {
    'pneumothorax': ('a chest radiograph with a dark upper zone', 'a chest radiograph without a dark upper zone'),
    'device': ('a chest radiograph with a thin bright line', 'a chest radiograph without a thin bright line'),
}
GRID = [0.01, 0.1, 1, 10, 100, 1000]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def read(folder):
    with open(os.path.join(folder, 'labels.csv')) as f:
        return list(csv.DictReader(f))


def vectors(model, config, images):
    size = config['vision_config']['image_size']
    with torch.no_grad():
        return unit(np.concatenate([model.vision_model(siglip.tensor(siglip.pixels(images[i:i + 100], size))).numpy()
                                    for i in range(0, len(images), 100)]))


def direction(model, tokenizer, prompts):
    with torch.no_grad():
        t = unit(model.text_model(tokenizer(prompts)).numpy())
    return t[0] - t[1]


def probe(x, y, groups):
    """Logistic regression, C by five-fold grouped cross-validation on log-loss."""
    def loss(c):
        total = 0
        for a, b in GroupKFold(5).split(x, y, groups):
            p = LogisticRegression(C=c, max_iter=5000).fit(x[a], y[a]).predict_proba(x[b])
            total -= np.log(np.clip(p[np.arange(len(b)), y[b]], 1e-9, 1)).sum()
        return total
    return LogisticRegression(C=min(GRID, key=loss), max_iter=5000).fit(x, y)


def interval(a, b, y, groups, times=400):
    """95 % interval of AUC(a) - AUC(b), resampling patients."""
    dice = np.random.default_rng(0)
    members = {g: np.flatnonzero(groups == g) for g in np.unique(groups)}
    names, differences = list(members), []
    for _ in range(times):
        rows = np.concatenate([members[g] for g in dice.choice(names, len(names))])
        differences.append(roc_auc_score(y[rows], a[rows]) - roc_auc_score(y[rows], b[rows]))
    return np.quantile(differences, [0.025, 0.975])


def check(folder, model, tokenizer, config):
    rows = read(folder)
    x = vectors(model, config, [Image.open(os.path.join(folder, r['path'])) for r in rows])
    patient, split = np.array([r['patient'] for r in rows]), np.array([r['split'] for r in rows])
    print('%s: %d images of %d patients' % (os.path.basename(folder), len(rows), len(set(patient))))
    print('  %-13s %9s %6s %22s %9s' % ('finding', 'zero-shot', 'probe', 'difference (95 %)', 'described'))
    for f, prompts in PROMPTS.items():
        label = np.array([r[f] for r in rows])
        train, test = (split == 'train') & (label != ''), (split == 'test') & (label != '')
        y = (label == '1').astype(int)
        zero = x[test] @ direction(model, tokenizer, prompts)
        p = probe(x[train], y[train], patient[train]).decision_function(x[test])
        low, high = interval(p, zero, y[test], patient[test])
        auc_zero, auc_probe = roc_auc_score(y[test], zero), roc_auc_score(y[test], p)
        described = ''
        if f in DESCRIBED:
            described = '%.3f' % roc_auc_score(y[test], x[test] @ direction(model, tokenizer, DESCRIBED[f]))
        print('  %-13s %9.3f %6.3f   %+.3f (%+.3f to %+.3f) %9s' % (
            f, auc_zero, auc_probe, auc_probe - auc_zero, low, high, described))


def main():
    warnings.simplefilter('ignore')
    model, tokenizer, config = siglip.load(sys.argv[1])
    for folder in sys.argv[2:]:
        check(folder, model, tokenizer, config)


if __name__ == '__main__':
    main()
