"""Token ids by sentencepiece itself, for internal/spiece and encoder/tokenizer.go.

SigLIP's rules around sentencepiece are written here from the behaviour of Hugging
Face's slow SiglipTokenizer (transformers, tokenization_utils.py and
models/siglip/tokenization_siglip.py); Python's own re, str.lower and str.strip
decide what they mean. Shares no code with medprobe.

    python3 tools/reference/tokens.py train internal/spiece/testdata
        small.model (Unigram, nmt_nfkc, byte fallback) and odd.model (no byte
        fallback, user-defined and unused pieces, blanks kept), each with texts
        and what sentencepiece cuts them into
    python3 tools/reference/tokens.py siglip MODEL SEED N OUT.json
        N texts and what SiglipTokenizer makes of them, without the padding
    python3 tools/reference/tokens.py characters OUT.json
        what str.lower makes of every character, where that is another one
"""
import io
import json
import pathlib
import random
import re
import string
import sys

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

SPECIAL = ("</s>", "<unk>")
START = "\u2581"


def load(data):
    """The model as SiglipTokenizer loads it: without the dummy prefix."""
    model = proto.ModelProto.FromString(data)
    model.normalizer_spec.add_dummy_prefix = False
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model.SerializeToString())
    return processor


class Siglip:
    def __init__(self, data):
        self.sp = load(data)
        self.unk_length = len(self.sp.encode("<unk>"))

    def tokenize(self, text):
        text = START + text.replace(START, " ")
        # Characters one by one, so that no sigma is final; "." is no newline.
        text = re.sub("(</s>|<unk>)|(.+?)", lambda m: m.group(1) or m.group(2).lower(), text)
        parts = re.split("(</s>|<unk>)", text)
        for i, part in enumerate(parts):
            if part in SPECIAL:
                parts[i - 1] = parts[i - 1].rstrip() if parts[i - 1] not in SPECIAL else parts[i - 1]
                parts[i + 1] = parts[i + 1].lstrip() if parts[i + 1] not in SPECIAL else parts[i + 1]
        tokens = []
        for part in parts:
            if part in SPECIAL:
                tokens.append(part)
            elif part:
                tokens += self.cut(part)
        if len(tokens) > 1 and tokens[0] == START and tokens[1] in SPECIAL:
            tokens = tokens[1:]
        return tokens

    def cut(self, text):
        text = text.translate(str.maketrans("", "", string.punctuation))
        text = re.sub(r"\s+", " ", text).strip()
        tokens = self.sp.encode("<unk>" + text, out_type=str)
        return tokens[self.unk_length:] if len(tokens) >= self.unk_length else tokens

    def ids(self, text):
        """At most 64, without the padding, which is </s> as well."""
        ids = [self.sp.piece_to_id(t) for t in self.tokenize(text)][:63]
        end = self.sp.piece_to_id("</s>")
        if not ids or ids[-1] != end:
            ids.append(end)
        while len(ids) > 1 and ids[-2:] == [end, end]:
            ids.pop()
        return ids


CLINICAL = """chest radiograph ct mri axial coronal sagittal left right upper lower lobe lung pleural effusion
pneumothorax cardiomegaly consolidation opacity nodule atelectasis oedema normal no evidence of acute fracture
there is a the with without and in on at image photo histopathology melanoma naevus dermoscopy fundus diabetic
retinopathy haemorrhage exudate optic disc cup h&e stained slide adenocarcinoma lymph node metastasis blood smear
neutrophil platelet erythrocyte white red cell count bone joint knee spine brain tumour glioma lesion mm cm 2.5 10
Kerley B T2-weighted X-ray PA/AP 3D 512x512 COVID-19 p53 α β µm ≥ ± ° Ångström naïve Zürich Müller café""".split()
# Characters by the mischief they make.
NASTY = [
    " ", "  ", "\t", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u1680", "\u2000", "\u2003",
    "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff",
    "\u00ad", "\u180e", "\u034f", "\u061c", "\u200e", "\u200f", "\u202e", "\x00", "\x01", "\x08", "\x1b", "\x7f", "\x80", "\x9f",
    "Ａ", "ｂ", "１", "！", "　", "／", "＜", "ﬁ", "ﬃ", "ﬅ", "Ĳ", "ŉ", "ǆ", "ſ", "ẛ", "½", "²", "₂", "①", "⑩", "Ⅳ", "ⅻ", "㎝", "㏒",
    "㎡", "℃", "Å", "Ω", "™", "…", "ﷺ", "㍿", "㋿", "＿", "ｶﾞ", "ﾊﾟ", "が", "か\u3099", "é", "e\u0301", "e\u0301\u0323", "o\u0308\u0304",
    "\u0301", "\u0345", "각", "\u1100\u1161\u11a8", "\u1112", "ㄱ", "한국어", "日本語", "胸部Ｘ線", "中文字符", "肺炎", "ไทย", "กำลัง",
    "น้ำ", "ปอดบวม", "हिन्दी", "क्ष", "العربية", "ﻻ", "לשון", "שּׁ", "Ελλάς", "ΟΔΥΣΣΕΥΣ", "Σ", "ς", "ΑΣ", "İ", "I", "ı", "ß", "ẞ", "Ǆ", "ǅ", "Ϊ",
    "ᾳ", "ᾼ", "K", "Ⴀ", "Ა", "Ꭰ", "ꭰ", "Ⲁ", "𐐀", "𝐀", "𝟘", "𝔸", "Ⓐ", "🩻", "🫁", "👩‍⚕️", "🏳️‍🌈", "1️⃣", "🇩🇪", "👍🏽", "❤️", "\U000e0041",
    "\U0010ffff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\ufdd0", "\u2581", "\u2581\u2581", "\u2582", "</s>", "<unk>", "</S>", "<UNK>", "<s>",
    "<pad>", "<0x41>", "<0x0A>", "< /s>", "<</s>>", "</s", "<unk", "</s></s>", " </s> ", "<unk> <unk>", "\u2581</s>", "\u3000<unk>\x1f", "<", ">",
    "/", "s", "!", "\"", "#", "&", "'", "''", "(", ")", "*", "+", ",", "-", ".", "...", ":", ";", "=", "?", "@", "[", "\\", "]", "^", "_",
    "`", "{", "|", "}", "~", "¡", "«", "–", "—", "’", "“", "„", "€", "a", "A", "1", "0",
]
# With SigLIP's vocabulary, two cuts of these have the same score as float32 and
# different ones before rounding; found among 20,000 random texts.
TIES = ["QAGlNT01nwJwzPZlsBjchVQvKgB3zNz80gmqJ0PP9ClkyH1kkn61hsYGgIQzzzSKcqsugK94ICwoLmC6SrR7lN4NjvIoNZw6jTkNsDBUTwCzqqYRj4xWWG8Y7CzfoLf2TXgI7w3Jjwi3w",
        "Z9Wn4PPp0gA6sraHebihYEE5WGddbS8V1KQ5qiwmmVlmzj8z6HdmZBsOcYkvDGrJjKGTymvP87KhXINXAnqtwi2lZqkdff0hckbpe6QHg3wEB8QMpbWY8vJPO54Q0adAnI7Ra"]
BLOCKS = [(0x20, 0x7e), (0xa0, 0x17f), (0x180, 0x24f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x6ff), (0x900, 0x97f), (0xe00, 0xe7f),
          (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x218f), (0x2460, 0x24ff), (0x3000, 0x30ff), (0x3200, 0x33ff),
          (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xfb00, 0xfdff), (0xfe70, 0xffef), (0x1d400, 0x1d7ff), (0x1f300, 0x1faff),
          (0, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x10ffff)]


def nasty(rng):
    """One text: clinical words, mischief and random characters, mixed."""
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(NASTY)
    if kind < 0.10:
        return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(rng.randint(1, 200)))
    out = []
    block = rng.choice(BLOCKS)
    for _ in range(rng.choice([1, 2, 3, 5, 8, 12, 20, 40, 90])):
        dice = rng.random()
        if dice < 0.45:
            word = rng.choice(CLINICAL)
            out.append(rng.choice([word, word.upper(), word.capitalize(), word]))
        elif dice < 0.75:
            out.append(rng.choice(NASTY))
        else:
            out.append("".join(chr(rng.randint(*block)) for _ in range(rng.randint(1, 4))))
        out.append(rng.choice(["", " ", " ", " ", "-", "\n"]))
    # A lone surrogate is no text.
    return "".join(out).encode("utf-8", "ignore").decode("utf-8")


def siglip(model, seed, n, out):
    reference, rng = Siglip(pathlib.Path(model).read_bytes()), random.Random(seed)
    texts = ["", " ", "\n"] + TIES + NASTY + [nasty(rng) for _ in range(n)]
    # Long texts are kept as what is repeated how often.
    rows = [{"text": t, "repeat": 1} for t in texts[:n]]
    rows += [{"text": t, "repeat": r} for t, r in [("a", 5000), ("</s>", 80), ("ﬃ ", 2000), ("pleural effusion ", 500), ("🫁", 900), ("<unk>", 70), ("\u3000", 3000)]]
    write(out, [dict(row, ids=reference.ids(row["text"] * row["repeat"])) for row in rows])


def write(path, rows):
    """One row a line, ASCII only, so that no editor changes a character."""
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def train(out):
    rng = random.Random(20260101)
    corpus = [" ".join(rng.choice(CLINICAL) for _ in range(12)).lower() for _ in range(3000)]
    corpus += ["が か\u3099 각 日本語 胸部x線 肺炎 ไทย กำลัง हिन्दी العربية לשון ελλάς 한국어 中文字符"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=700, model_type="unigram", byte_fallback=True,
        normalization_rule_name="nmt_nfkc", character_coverage=1.0, num_threads=1, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    small = model.getvalue()
    (out / "small.model").write_bytes(small)
    cuts(small, 150, 1, out / "small.json")

    odd = proto.ModelProto.FromString(small)
    odd.trainer_spec.byte_fallback = False
    odd.normalizer_spec.precompiled_charsmap = b""
    odd.normalizer_spec.remove_extra_whitespaces = False
    kept = [p for p in odd.pieces if p.type != proto.ModelProto.SentencePiece.BYTE]
    for i, p in enumerate(kept):
        if p.type == proto.ModelProto.SentencePiece.NORMAL and i % 11 == 0:
            p.type = proto.ModelProto.SentencePiece.UNUSED
    del odd.pieces[:]
    odd.pieces.extend(kept)
    for text in ["pleural eff", "pleural effusion", "\u2581lung", "ﬃ", "Ａ", "<s>", "  "]:
        piece = next((p for p in odd.pieces if p.piece == text), None) or odd.pieces.add()
        piece.piece, piece.score, piece.type = text, 0, proto.ModelProto.SentencePiece.USER_DEFINED
    (out / "odd.model").write_bytes(odd.SerializeToString())
    cuts(odd.SerializeToString(), 100, 2, out / "odd.json")


def cuts(data, n, seed, path):
    """Texts as hexadecimal, since some are not UTF-8."""
    sp, rng = load(data), random.Random(seed)
    texts = [t.encode() for t in ["", " "] + NASTY + [nasty(rng) for _ in range(n)]]
    broken = [b"\xff", b"\xc3", b"\xe2\x96", b"\xe2\x96\x81\xe2", b"\xed\xa0\x80", b"\xf0\x9f\xab", b"\xc0\x80", b"\xf5\x80\x80\x80", b"a\x80b", b"\xf4\x90\x80\x80"]
    texts += broken + [b"lung " + b + b" lung" for b in broken]
    for _ in range(n // 4):
        t = bytearray(nasty(rng).encode()[:200])
        for _ in range(3):
            t[rng.randrange(len(t))] = rng.randrange(256)
        texts.append(bytes(t))
    # As SigLIP sees them, in lower case, since the vocabulary is.
    texts += [t.decode().lower().encode() for t in texts[:n]]
    write(path, [{"text": t.hex(), "ids": sp.encode(t)} for t in dict.fromkeys(texts)])


def characters(out):
    """Ranges would be shorter, and harder to trust."""
    rows = [{"from": c, "to": chr(c).lower()} for c in range(0x110000) if not 0xd800 <= c < 0xe000 and chr(c).lower() != chr(c)]
    space = [c for c in range(0x110000) if re.match(r"\s", chr(c))]
    assert space == [c for c in range(0x110000) if chr(c).isspace()] == [c for c in range(0x110000) if not chr(c).strip()]
    write(out, [{"space": space}] + rows)


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "train":
        train(pathlib.Path(rest[0]))
    elif command == "siglip":
        siglip(rest[0], int(rest[1]), int(rest[2]), rest[3])
    elif command == "characters":
        characters(rest[0])
    else:
        sys.exit(__doc__)
