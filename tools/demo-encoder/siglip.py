"""A SigLIP encoder in PyTorch, as small as you like, and its files in the Hugging Face layout.

Module names are those of the checkpoint, so that state_dict() is what model.safetensors holds.
"""
import json
import os
import string
import struct

import numpy as np
import sentencepiece
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

TEXT_LENGTH = 64  # ids per text, padded with END
END = 1           # </s>, and padding


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        n, t, w = x.shape
        split = lambda y: y.view(n, t, self.heads, w // self.heads).transpose(1, 2)
        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        a = torch.softmax(q @ k.transpose(2, 3) * (w // self.heads) ** -0.5, dim=-1)
        return self.out_proj((a @ v).transpose(1, 2).reshape(n, t, w))


class MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate='tanh'))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, eps = c['hidden_size'], c['layer_norm_eps']
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.self_attn = Attention(width, c['num_attention_heads'])
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, c['intermediate_size'])

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Layers(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.ModuleList(Layer(c) for _ in range(c['num_hidden_layers']))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Pooling(nn.Module):
    """A learned probe attends to the patches."""

    def __init__(self, c):
        super().__init__()
        width = c['hidden_size']
        self.probe = nn.Parameter(torch.randn(1, 1, width))
        self.attention = nn.MultiheadAttention(width, c['num_attention_heads'], batch_first=True)
        self.layernorm = nn.LayerNorm(width, eps=c['layer_norm_eps'])
        self.mlp = MLP(width, c['intermediate_size'])

    def forward(self, x):
        y = self.attention(self.probe.expand(x.shape[0], -1, -1), x, x, need_weights=False)[0]
        return (y + self.mlp(self.layernorm(y)))[:, 0]


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, patch = c['hidden_size'], c['patch_size']
        self.patches = (c['image_size'] // patch) ** 2
        self.embeddings = nn.Module()
        self.embeddings.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.embeddings.position_embedding = nn.Embedding(self.patches, width)
        self.encoder = Layers(c)
        self.post_layernorm = nn.LayerNorm(width, eps=c['layer_norm_eps'])
        self.head = Pooling(c)

    def forward(self, pixels):
        x = self.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        x = x + self.embeddings.position_embedding.weight
        return self.head(self.post_layernorm(self.encoder(x)))


class Text(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c['hidden_size']
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(c['vocab_size'], width)
        self.embeddings.position_embedding = nn.Embedding(c['max_position_embeddings'], width)
        self.encoder = Layers(c)
        self.final_layer_norm = nn.LayerNorm(width, eps=c['layer_norm_eps'])
        self.head = nn.Linear(width, c['projection_size'])

    def forward(self, ids):
        x = self.embeddings.token_embedding(ids) + self.embeddings.position_embedding.weight
        return self.head(self.final_layer_norm(self.encoder(x))[:, -1])


class Siglip(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.vision_model = Vision(config['vision_config'])
        self.text_model = Text(config['text_config'])
        self.logit_scale = nn.Parameter(torch.tensor([np.log(10.0)], dtype=torch.float32))
        self.logit_bias = nn.Parameter(torch.tensor([-2.0]))

    def logits(self, images, texts):
        """Rows are images, columns texts; both raw tower outputs."""
        images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
        return images @ texts.t() * self.logit_scale.exp() + self.logit_bias


# Pixels: what profile `hf` does.

RESAMPLE = 2  # bilinear


def pixels(images, size):
    """RGB arrays or PIL images of any size to uint8 [N, size, size, 3], by PIL's antialiased resize."""
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        if not isinstance(image, Image.Image):
            image = Image.fromarray(image)
        out[i] = np.asarray(image.convert('RGB').resize((size, size), RESAMPLE))
    return out


def tensor(batch):
    """uint8 [N, H, W, 3] to float [N, 3, H, W] from -1 to 1."""
    return torch.from_numpy(batch.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


# Texts: what SiglipTokenizer does.

def canonical(text):
    text = text.lower().translate(str.maketrans('', '', string.punctuation))
    return ' '.join(text.split())


class Tokenizer:
    def __init__(self, path):
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=path)

    def pad(self, ids):
        ids = ids[:TEXT_LENGTH - 1] + [END]
        return ids + [END] * (TEXT_LENGTH - len(ids))

    def ids(self, text):
        return self.pieces.encode(canonical(text))

    def __call__(self, texts):
        return torch.tensor([self.pad(self.ids(t)) for t in texts])


# Files.

def write_safetensors(path, tensors):
    """tensors: name to float16 array. The header is padded with spaces to a multiple of 8."""
    header, offset, names = {'__metadata__': {'format': 'pt'}}, 0, sorted(tensors)
    for name in names:
        a = tensors[name]
        header[name] = {'dtype': 'F16', 'shape': list(a.shape), 'data_offsets': [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for name in names:
            f.write(tensors[name].tobytes())


def read_safetensors(path):
    with open(path, 'rb') as f:
        data = f.read()
    n, = struct.unpack('<Q', data[:8])
    tensors = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != '__metadata__':
            a, b = t['data_offsets']
            tensors[name] = np.frombuffer(data[8 + n + a:8 + n + b], '<f2').reshape(t['shape'])
    return tensors


def write_json(path, value):
    with open(path, 'w') as f:
        json.dump(value, f, indent=2, sort_keys=True)
        f.write('\n')


def save(model, config, spiece, folder):
    """Write the checkpoint as Hugging Face lays it out, weights in float16."""
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, 'model.safetensors'),
                      {k: v.detach().numpy().astype('<f2') for k, v in model.state_dict().items()})
    write_json(os.path.join(folder, 'config.json'), config)
    size = config['vision_config']['image_size']
    write_json(os.path.join(folder, 'preprocessor_config.json'), {
        'image_processor_type': 'SiglipImageProcessor', 'processor_class': 'SiglipProcessor',
        'do_convert_rgb': True, 'do_resize': True, 'size': {'height': size, 'width': size}, 'resample': RESAMPLE,
        'do_rescale': True, 'rescale_factor': 1 / 255, 'do_normalize': True,
        'image_mean': [0.5] * 3, 'image_std': [0.5] * 3})
    special = {'eos_token': '</s>', 'pad_token': '</s>', 'unk_token': '<unk>'}
    write_json(os.path.join(folder, 'special_tokens_map.json'), special)
    write_json(os.path.join(folder, 'tokenizer_config.json'), dict(
        special, tokenizer_class='SiglipTokenizer', do_lower_case=True, model_max_length=TEXT_LENGTH,
        model_input_names=['input_ids'], clean_up_tokenization_spaces=True, additional_special_tokens=[]))
    with open(os.path.join(folder, 'spiece.model'), 'wb') as f:
        f.write(spiece)


def load(folder):
    """The model, its tokenizer and its configuration."""
    with open(os.path.join(folder, 'config.json')) as f:
        config = json.load(f)
    model = Siglip(config)
    tensors = read_safetensors(os.path.join(folder, 'model.safetensors'))
    model.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in tensors.items()})
    return model.eval(), Tokenizer(os.path.join(folder, 'spiece.model')), config
