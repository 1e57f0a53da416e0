"""The one decoder of pictures, and the ranges."""

from utils.diffusion import images

import numpy as np
import pytest
from PIL import Image

HALVES = np.zeros((20, 40, 3), "uint8")
HALVES[:, :20] = (200, 30, 30)


def test_a_png_is_read_as_it_is_and_a_jpeg_nearly(tmp_path):
    Image.fromarray(HALVES).save(tmp_path / "a.png")
    Image.fromarray(HALVES).save(tmp_path / "a.jpg", quality=95)
    read = images.read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8 and (read == HALVES).all()
    assert np.abs(images.read_image(tmp_path / "a.jpg").astype(int) - HALVES).mean() < 3


def test_the_centre_square_is_scaled_and_averaged(tmp_path):
    Image.fromarray(HALVES).save(tmp_path / "a.png")
    read = images.read_image(tmp_path / "a.png", 4)
    assert read.shape == (4, 4, 3)
    assert np.abs(read[:, 0].astype(int) - (200, 30, 30)).max() < 25 and read[:, -1].max() < 25
    stripes = np.zeros((64, 64, 3), "uint8")
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "b.png")
    assert np.abs(images.read_image(tmp_path / "b.png", 8).astype(int) - 127).max() < 25, "every eighth column only"


def test_transparent_parts_become_white(tmp_path):
    rgba = np.dstack([HALVES, np.full((20, 40), 255, "uint8")])
    rgba[:10, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    read = images.read_image(tmp_path / "a.png")
    assert (read[:10] == 255).all() and (read[10:] == HALVES[10:]).all()
    palette = Image.fromarray(HALVES).quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(tmp_path / "b.png", transparency=palette.getpixel((0, 0)))
    assert (images.read_image(tmp_path / "b.png")[0, 0] == 255).all()


def test_a_photo_turned_by_its_exif_tag_is_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: show the picture a quarter to the right
    Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=exif, quality=95)
    read = images.read_image(tmp_path / "a.jpg")
    assert read.shape == (40, 20, 3)
    assert (read[:15, :, 0] > 150).all() and (read[25:, :, 0] < 50).all()


def test_grey_and_cmyk_pictures_become_rgb(tmp_path):
    Image.new("L", (8, 8), 77).save(tmp_path / "a.png")
    assert (images.read_image(tmp_path / "a.png") == 77).all()
    Image.fromarray(HALVES).convert("CMYK").save(tmp_path / "b.jpg", quality=95)
    assert np.abs(images.read_image(tmp_path / "b.jpg").astype(int) - HALVES).mean() < 6


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_files_that_are_no_pictures_say_why(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(images.ImageError, match="No such file"):
        images.read_image(path)
    path.write_bytes(b"")
    with pytest.raises(images.ImageError, match="empty"):
        images.read_image(path)
    path.write_text("hello")
    with pytest.raises(images.ImageError, match="cannot identify"):
        images.read_image(path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    Image.fromarray(noise).save(path)
    for share in (0.02, 0.5, 0.9):
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(images.ImageError):
            images.read_image(path)


def test_ranges_go_there_and_back():
    values = np.arange(256, dtype="uint8")
    scaled = images.to_float(values)
    assert scaled.dtype == np.float32 and (scaled[0], scaled[-1]) == (-1, 1)
    assert (images.to_uint8(scaled) == values).all()
    assert images.to_uint8(np.array([-7.0, 7.0])).tolist() == [0, 255]


def test_hints_are_high_where_lines_are():
    sketch = np.array([0, 51, 255], "uint8")
    assert images.to_hints(sketch) == pytest.approx([1, 0.8, 0])
    assert images.to_hints(sketch, (-1.0, 1.0)) == pytest.approx([1, 0.6, -1])
    assert images.to_hints(sketch).dtype == np.float32
