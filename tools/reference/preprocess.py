"""Golden pixels by Pillow and NumPy for encoder's preprocessing profiles.

hf and padded are Pillow's own resize; padding, and big-vision's
tf.image.resize(method="bilinear", antialias=False), are written here in NumPy
from their published rules (float32, half-pixel centres, cut to uint8). Shares no
code with medprobe.

    python3 tools/reference/preprocess.py encoder/testdata/preprocess
        resize.json  SHA-256 of the resized bytes of drawn images, by profile,
                     filter and sizes
        modes.npz    what Pillow makes of each file in files/, converted to RGB
        values.npz   the float32 of each byte as SiglipImageProcessor makes it
        files/       one small image of each kind

    python3 tools/reference/preprocess.py photographs FOLDER encoder/testdata/preprocess/photographs.npz
        64×64 pixels of every eighteenth photograph as Pillow decodes it
"""
import hashlib
import io
import json
import pathlib
import sys

import numpy as np
from PIL import Image, features


def drawn(width, height):
    """An image by a formula, so that no file is needed: smooth where x·y is
    small, noisy elsewhere, black and white edges in places."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    v = (x * x * 31 + y * 17 + x * y * 7 + c * 91) & 255
    v = np.where((x // 5 + y // 7) % 4 == 0, 255 * ((x + c) & 1), v)
    return v.astype(np.uint8)


def pillow(a, size, resample):
    return np.asarray(Image.fromarray(a).resize((size, size), resample))


def padded(a, size, resample):
    height, width = a.shape[:2]
    side = max(height, width)
    out = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    out[top:top + height, left:left + width] = a
    return pillow(out, size, resample)


def big_vision(a, size, _):
    def taps(n):
        scale = np.float32(n) / np.float32(size)
        at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
        floor = np.floor(at)
        return np.maximum(floor.astype(int), 0), np.minimum(np.ceil(at).astype(int), n - 1), (at - floor).astype(np.float32)

    y0, y1, wy = taps(a.shape[0])
    x0, x1, wx = taps(a.shape[1])
    f = a.astype(np.float32)
    wx, wy = wx[None, :, None], wy[:, None, None]
    top = f[y0][:, x0] + (f[y0][:, x1] - f[y0][:, x0]) * wx
    bottom = f[y1][:, x0] + (f[y1][:, x1] - f[y1][:, x0]) * wx
    out = top + (bottom - top) * wy
    assert out.dtype == np.float32
    return out.astype(np.uint8)  # cut, not rounded


PROFILES = {"hf": pillow, "padded": padded, "big-vision": big_vision}
SIZES = [(1, 1), (2, 1), (1, 2), (3, 5), (7, 7), (16, 16), (24, 24), (23, 25), (24, 100), (100, 24), (28, 28), (1, 300), (300, 1), (2, 999),
         (999, 2), (47, 448), (448, 448), (449, 447), (640, 480), (480, 640), (1000, 3), (1024, 1024), (1537, 1029), (2048, 77), (4000, 11)]


def resized():
    rows = []
    for profile, rule in PROFILES.items():
        for resample in (2, 3):
            if profile == "big-vision" and resample == 3:
                continue
            for size in (1, 24, 64, 448):
                for width, height in SIZES:
                    out = rule(drawn(width, height), size, resample)
                    assert out.shape == (size, size, 3) and out.dtype == np.uint8
                    rows.append(dict(profile=profile, resample=resample, width=width, height=height, size=size,
                                     sha256=hashlib.sha256(out.tobytes()).hexdigest()))
    return rows


def png16(channels, width, height, values):
    """A 16-bit PNG, which Pillow cannot write with three channels."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + values[y].astype(">u2").tobytes() for y in range(height))
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def files(out):
    """name → RGB bytes; writes the files."""
    out.mkdir(exist_ok=True)
    width, height = 33, 21
    base = Image.fromarray(drawn(width, height))
    smooth = Image.fromarray(drawn(9, 7)).resize((width, height), 3)
    rng = np.random.default_rng(5)
    alpha = Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8))
    rgba = base.copy()
    rgba.putalpha(alpha)
    la = base.convert("L")
    la.putalpha(alpha)
    palette = base.quantize(50)
    with_hole = palette.copy()
    with_hole.info["transparency"] = 7
    plans = {
        "rgb.png": (base, {}), "grey.png": (base.convert("L"), {}), "bits.png": (base.convert("1"), {}),
        "alpha.png": (rgba, {}), "greyalpha.png": (la, {}), "palette.png": (palette, {}),
        "palette-hole.png": (with_hole, {"transparency": 7}), "rgb-hole.png": (base, {"transparency": base.getpixel((3, 3))}),
        "palette.gif": (palette, {}), "palette-hole.gif": (with_hole, {"transparency": 7}),
        "rgb.bmp": (base, {}), "grey.bmp": (base.convert("L"), {}), "palette.bmp": (palette, {}), "alpha.bmp": (rgba, {}),
        "rgb.tif": (base, {}), "grey.tif": (base.convert("L"), {}), "lzw.tif": (base, {"compression": "tiff_lzw"}),
        "deflate.tif": (base, {"compression": "tiff_adobe_deflate"}),
        "palette.tif": (palette, {}), "alpha.tif": (rgba, {}),
        "444.jpg": (smooth, {"quality": 95, "subsampling": 0}), "422.jpg": (smooth, {"quality": 95, "subsampling": 1}),
        "420.jpg": (smooth, {"quality": 95, "subsampling": 2}), "progressive.jpg": (smooth, {"quality": 95, "progressive": True}),
        "grey.jpg": (smooth.convert("L"), {"quality": 95}), "cmyk.jpg": (smooth.convert("CMYK"), {"quality": 95}),
        "two-wide.jpg": (smooth.crop((0, 0, 2, 3)), {"quality": 95, "subsampling": 2}),
        "lossless.webp": (rgba, {"lossless": True, "exact": True}), "lossy.webp": (smooth, {"quality": 90}),
    }
    pixels = {}
    for name, (image, options) in plans.items():
        image.save(out / name, **options)
        pixels[name] = np.asarray(Image.open(out / name).convert("RGB"))
    for name, channels in (("rgb16.png", 3), ("rgba16.png", 4), ("grey16.png", 1)):
        values = rng.integers(0, 65536, (height, width * channels), dtype=np.uint16)
        (out / name).write_bytes(png16(channels, width, height, values))
        if channels > 1:
            pixels[name] = np.asarray(Image.open(out / name).convert("RGB"))
        else:  # Pillow clips; the rule is to scale by the type's maximum
            grey = np.round(values.astype(np.float64) * 255 / 65535).astype(np.uint8)
            pixels[name] = np.repeat(grey[..., None], 3, 2)
    grey16 = rng.integers(0, 65536, (height, width), dtype=np.uint16)
    Image.fromarray(grey16).save(out / "grey16.tif")
    pixels["grey16.tif"] = np.repeat(np.round(grey16 * 255. / 65535).astype(np.uint8)[..., None], 3, 2)
    return pixels


def values(mean, std):
    """transformers' rescale in float64 stored as float32, then normalize in float32."""
    scaled = (np.arange(256, dtype=np.uint8).astype(np.float64) * 0.00392156862745098).astype(np.float32)
    mean, std = np.array(mean, np.float32), np.array(std, np.float32)
    return ((scaled[:, None] - mean) / std).T.copy()


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    rows = resized()
    (out / "resize.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    pixels = files(out / "files")
    savez(out / "modes.npz", pixels)
    savez(out / "values.npz", {"half": values([.5] * 3, [.5] * 3), "imagenet": values([.485, .456, .406], [.229, .224, .225])})
    print("Pillow", Image.__version__, "libjpeg-turbo", features.version("libjpeg_turbo"), "NumPy", np.__version__, len(rows), "resizes")


def savez(path, arrays):
    """numpy.savez with a fixed time, so that the bytes can be compared."""
    import zipfile
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, a in arrays.items():
            data = io.BytesIO()
            np.save(data, a)
            z.writestr(zipfile.ZipInfo(name + ".npy"), data.getvalue(), zipfile.ZIP_DEFLATED)


def photographs(folder, out):
    paths = sorted(pathlib.Path(folder).glob("*.jpg"))[::18]
    savez(out, {p.name: np.asarray(Image.open(p).convert("RGB"))[200:264, 300:364] for p in paths})


if __name__ == "__main__":
    if sys.argv[1] == "photographs":
        photographs(sys.argv[2], sys.argv[3])
    else:
        main(pathlib.Path(sys.argv[1]))
