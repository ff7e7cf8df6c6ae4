#!/usr/bin/python3
"""Small images that say how they are to be turned, and what Pillow makes of them.

    python3 tools/reference/orientation.py internal/raster/testdata/orientation

For each orientation there is a PNG, a lossless WebP, a JPEG and a TIFF of 5 by 3
pixels. turned.json holds, for each file, what Image.open shows ("stored") and what
ImageOps.exif_transpose makes of it ("upright"), as [height][width] of the red of
each pixel; of a TIFF, which Image.open itself turns, only what it shows.
"""
import json
import sys
from pathlib import Path

from PIL import Image, ImageOps

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
width, height = 5, 3
drawn = Image.new("RGB", (width, height))
drawn.putdata([(16 * (width * y + x), 255 - 16 * (width * y + x), 7) for y in range(height) for x in range(width)])


def red(image):
    data = list(image.convert("RGB").getdata(0))
    return [data[y * image.width:(y + 1) * image.width] for y in range(image.height)]


said = {}
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[274] = orientation
    drawn.save(folder / f"{orientation}.png", exif=exif)
    drawn.save(folder / f"{orientation}.webp", exif=exif, lossless=True)
    drawn.convert("L").save(folder / f"{orientation}.jpg", exif=exif, quality=100)
    drawn.save(folder / f"{orientation}.tiff", tiffinfo={274: orientation})
    for ending in "png", "webp", "jpg", "tiff":
        name = f"{orientation}.{ending}"
        image = Image.open(folder / name)
        image.load()
        said[name] = {"stored": red(image)}
        if ending != "tiff":
            said[name]["upright"] = red(ImageOps.exif_transpose(image))
(folder / "turned.json").write_text(json.dumps(said, indent=None, separators=(",", ":")) + "\n")
