"""Train the demo encoder on phantoms. See README.md.

    go run ./tools/demo-encoder -out DATA -n 40000
    python3 tools/demo-encoder/train.py DATA examples/demo/encoder
"""
import argparse
import glob
import io
import json
import os
import time

import numpy as np
import sentencepiece
import torch
from torch import nn
from torch.nn import functional as F

import siglip

THUMBNAIL = 16  # width and height of the picture decoded from the vector
HELD_OUT = 1000  # the last images: never trained on, watched while training

# How often a caption of a batch is about a subject.
SHARE = {'family': 4, 'cardiomegaly': 5, 'effusion': 5, 'opacity': 6, 'nodule': 10, 'pneumothorax': 10, 'device': 12,
         'pairs': 6, 'exposure': 2, 'cell': 7, 'field': 3, 'skin': 5, 'fundus': 5}


def settings():
    p = argparse.ArgumentParser()
    p.add_argument('data')
    p.add_argument('out')
    p.add_argument('--steps', type=int, default=2600)
    p.add_argument('--batch', type=int, default=128)
    p.add_argument('--captions', type=int, default=64, help='distinct captions per batch')
    p.add_argument('--width', type=int, default=128)
    p.add_argument('--layers', type=int, default=4)
    p.add_argument('--rate', type=float, default=1.2e-3)
    p.add_argument('--start', help='go on from the encoder in this folder')
    p.add_argument('--seed', type=int, default=7)
    p.add_argument('--save-every', type=int, default=0)
    return p.parse_args()


def configuration(o, vocabulary):
    tower = {'hidden_size': o.width, 'intermediate_size': 3 * o.width, 'num_attention_heads': 4,
             'hidden_act': 'gelu_pytorch_tanh', 'layer_norm_eps': 1e-6, 'attention_dropout': 0.0}
    return {
        'model_type': 'siglip', 'architectures': ['SiglipModel'], 'initializer_factor': 1.0, 'torch_dtype': 'float16',
        'vision_config': dict(tower, model_type='siglip_vision_model', num_hidden_layers=o.layers,
                              image_size=64, patch_size=8, num_channels=3),
        'text_config': dict(tower, model_type='siglip_text_model', num_hidden_layers=2, vocab_size=vocabulary,
                            max_position_embeddings=siglip.TEXT_LENGTH, projection_size=o.width,
                            pad_token_id=1, bos_token_id=0, eos_token_id=1)}


def general_words():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'words.txt')) as f:
        return f.read().split()


def train_vocabulary(texts, words):
    """A Unigram vocabulary over the captions, general words, letters and digits. Bytes spell the rest."""
    model = io.BytesIO()
    lines = [siglip.canonical(t) for t in texts] + words * 3 + list('abcdefghijklmnopqrstuvwxyz0123456789') * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type='unigram', vocab_size=900, hard_vocab_limit=False,
        byte_fallback=True, normalization_rule_name='nmt_nfkc', pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        character_coverage=1.0, num_threads=1, minloglevel=2)
    return model.getvalue()


class Truth:
    """Which caption is true of which image."""

    def __init__(self, path):
        with open(path) as f:
            t = json.load(f)
        self.captions, self.findings, self.names = t['captions'], t['findings'], t['facts']
        self.facts = np.zeros((len(t['images']), len(t['facts'])), np.float32)
        for i, places in enumerate(t['images']):
            self.facts[i, places] = 1
        self.needs = np.zeros((len(self.captions), len(t['facts'])), np.float32)
        for i, c in enumerate(self.captions):
            self.needs[i, c['needs']] = 1
        self.appearance = np.array([c['appearance'] for c in self.captions])
        self.described = np.array(t['described'])
        subjects = [c['subject'] for c in self.captions]
        share = np.array([SHARE[s] / subjects.count(s) for s in subjects])
        self.share = share / share.sum()

    def of(self, images, captions):
        """Truth and weight, images × captions. A pair that nobody has described has weight 0."""
        true = (1 - self.facts[images]) @ self.needs[captions].T == 0
        weight = ~(self.appearance[captions][None] & ~self.described[images][:, None])
        return torch.from_numpy(true.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))


def read_images(folder, size):
    shards = [siglip.pixels(np.load(f), size) for f in sorted(glob.glob(os.path.join(folder, 'images-*.npy')))]
    return np.concatenate(shards)


def vary(batch, dice):
    """Shift by up to two pixels, change gain and level of each channel a little."""
    out = np.empty_like(batch)
    padded = np.pad(batch, ((0, 0), (2, 2), (2, 2), (0, 0)), mode='edge')
    size = batch.shape[1]
    for i, (y, x) in enumerate(dice.integers(0, 5, (len(batch), 2))):
        out[i] = padded[i, y:y + size, x:x + size]
    n = len(batch)
    gain = dice.uniform(0.88, 1.12, (n, 1, 1, 1)) * dice.uniform(0.97, 1.03, (n, 1, 1, 3))
    level = dice.uniform(-12, 12, (n, 1, 1, 1))
    return np.clip(out * gain + level, 0, 255).astype(np.float32)


class Texts:
    """Captions as ids, now and then with foreign words among them, which change nothing about the truth."""

    def __init__(self, tokenizer, truth, words):
        self.tokenizer = tokenizer
        self.ids = [tokenizer.ids(c['text']) for c in truth.captions]
        used = set(i for ids in self.ids for i in ids)
        self.foreign = [i for i in range(3, tokenizer.pieces.get_piece_size()) if i not in used]

    def batch(self, captions, dice):
        rows = []
        for c in captions:
            ids = list(self.ids[c])
            if dice.random() < 0.3:
                at = dice.integers(0, len(ids) + 1)
                ids[at:at] = [int(i) for i in dice.choice(self.foreign, dice.integers(1, 6))]
            rows.append(self.tokenizer.pad(ids))
        return torch.tensor(rows)


def initialise(model):
    for name, p in model.named_parameters():
        if 'embedding.weight' in name and p.dim() == 2:
            nn.init.normal_(p, std=0.02 if 'position' in name else 0.05)
        elif p.dim() == 2:
            nn.init.xavier_uniform_(p)
        elif name.endswith('bias') and p.dim() == 1 and 'logit' not in name:
            nn.init.zeros_(p)


def auc(scores, labels):
    order = np.argsort(scores)
    rank = np.empty(len(scores))
    rank[order] = np.arange(1, len(scores) + 1)
    n = labels.sum()
    return (rank[labels].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))


def watch(model, tokenizer, truth, images, places):
    """Zero-shot AUC of every finding, by one pair of captions each."""
    model.eval()
    with torch.no_grad():
        vectors = torch.cat([model.vision_model(siglip.tensor(images[k:k + 200])) for k in places[::200]])
        line = []
        for f in truth.findings:
            own = [c for c in truth.captions if c['subject'] == f['name'] and c['text'].startswith('a chest radiograph with')]
            yes = next(c['text'] for c in own if truth.names[c['needs'][0]].endswith(': yes'))
            no = next(c['text'] for c in own if truth.names[c['needs'][0]].endswith(': no'))
            t = model.text_model(tokenizer([yes, no]))
            logits = model.logits(vectors, t).numpy()
            fact = truth.facts[places]
            there = fact[:, truth.names.index(f['name'] + ': yes')] > 0
            chest = there | (fact[:, truth.names.index(f['name'] + ': no')] > 0)
            line.append('%s %.2f' % (f['name'][:6], auc((logits[:, 0] - logits[:, 1])[chest], there[chest])))
    model.train()
    return ' '.join(line)


def main():
    o = settings()
    torch.manual_seed(o.seed)
    dice = np.random.default_rng(o.seed)
    truth = Truth(os.path.join(o.data, 'captions.json'))
    words = general_words()
    if o.start:
        with open(os.path.join(o.start, 'spiece.model'), 'rb') as f:
            spiece = f.read()
    else:
        spiece = train_vocabulary([c['text'] for c in truth.captions], words)
    os.makedirs(o.out, exist_ok=True)
    with open(os.path.join(o.out, 'spiece.model'), 'wb') as f:
        f.write(spiece)
    tokenizer = siglip.Tokenizer(os.path.join(o.out, 'spiece.model'))
    config = configuration(o, tokenizer.pieces.get_piece_size())
    images = read_images(o.data, config['vision_config']['image_size'])
    small = siglip.pixels(images, THUMBNAIL).astype(np.float32) / 127.5 - 1
    small = torch.from_numpy(small.reshape(len(small), -1))

    model = siglip.Siglip(config)
    initialise(model)
    if o.start:
        model.load_state_dict(siglip.load(o.start)[0].state_dict())
    decoder = nn.Sequential(nn.Linear(o.width, 3 * o.width), nn.GELU(), nn.Linear(3 * o.width, 3 * THUMBNAIL ** 2))
    model.train()
    parameters = list(model.named_parameters()) + list(decoder.named_parameters())
    groups = [{'params': [p for n, p in parameters if p.dim() > 1], 'weight_decay': 0.03},
              {'params': [p for n, p in parameters if p.dim() <= 1], 'weight_decay': 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=o.rate, betas=(0.9, 0.98))
    warm = min(150, o.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warm if s < warm else 0.5 * (1 + np.cos(np.pi * (s - warm) / (o.steps - warm))))
    texts = Texts(tokenizer, truth, words)
    print('%d images, %d captions, %d pieces, %d parameters' % (
        len(images), len(truth.captions), tokenizer.pieces.get_piece_size(),
        sum(p.numel() for p in model.parameters())), flush=True)

    trainable, held_out = len(images) - HELD_OUT, np.arange(len(images) - HELD_OUT, len(images))
    order, start, sums = np.empty(0, int), time.time(), []
    for step in range(o.steps):
        if len(order) < o.batch:
            order = np.concatenate([order, dice.permutation(trainable)])
        chosen, order = order[:o.batch], order[o.batch:]
        said = dice.choice(len(truth.captions), o.captions, replace=False, p=truth.share)
        true, weight = truth.of(chosen, said)
        vectors = model.vision_model(siglip.tensor(vary(images[chosen], dice)))
        logits = model.logits(vectors, model.text_model(texts.batch(said, dice)))
        pairs = (F.binary_cross_entropy_with_logits(logits, true, reduction='none') * weight).sum() / weight.sum()
        picture = F.mse_loss(decoder(F.normalize(vectors, dim=-1) * 10), small[chosen])
        optimizer.zero_grad(set_to_none=True)
        (pairs + 0.5 * picture).backward()
        nn.utils.clip_grad_norm_([p for _, p in parameters], 1.0)
        optimizer.step()
        schedule.step()
        sums.append((pairs.item(), picture.item()))
        if step == 9 or (step + 1) % 100 == 0:
            a, b = np.mean(sums, axis=0)
            sums = []
            print('step %d  %.0f s  pairs %.4f  picture %.4f' % (step + 1, time.time() - start, a, b), flush=True)
        if (step + 1) % 300 == 0 or step + 1 == o.steps:
            print('   held out: ' + watch(model, tokenizer, truth, images, held_out), flush=True)
        if o.save_every and (step + 1) % o.save_every == 0:
            siglip.save(model, config, spiece, o.out)
    siglip.save(model, config, spiece, o.out)


if __name__ == '__main__':
    main()
