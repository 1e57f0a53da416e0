"""The one decoder of pictures, and the ranges."""

from utils.diffusion import images

import numpy as np
import pytest
from PIL import Image, ImageOps

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


def test_grey_of_sixteen_bits_keeps_its_upper_eight(tmp_path):
    values = (np.arange(256, dtype="uint16") * 257).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert (images.read_image(tmp_path / "a.png") == np.arange(256).reshape(16, 16, 1)).all()
    assert len(np.unique(images.read_image(tmp_path / "a.png", 8))) > 32
    Image.fromarray(values).save(tmp_path / "b.png", transparency=0)
    assert images.read_image(tmp_path / "b.png")[0, 0].tolist() == [255, 255, 255]


def test_a_cameras_file_with_more_pictures_gives_its_first(tmp_path):
    first, second = Image.fromarray(HALVES), Image.new("RGB", (40, 20), "blue")
    exif = Image.Exif()
    exif[274] = 3  # upside down
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], exif=exif, quality=95)
    assert Image.open(tmp_path / "a.jpg").format == "MPO"
    assert np.abs(images.read_image(tmp_path / "a.jpg").astype(int) - HALVES[::-1, ::-1]).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_every_orientation_is_as_pillow_turns_it(tmp_path, orientation, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype="uint8").repeat(16, 0).repeat(16, 1)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as file:
        expected = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    assert np.array_equal(images.read_image(tmp_path / f"a.{suffix}"), expected)


def test_a_broken_exif_tag_is_no_reason_to_refuse_a_photo(tmp_path):
    Image.fromarray(HALVES).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0", quality=95)
    assert images.read_image(tmp_path / "a.jpg").shape == (20, 40, 3)


def test_of_an_animation_the_first_picture_counts(tmp_path):
    Image.fromarray(HALVES).save(tmp_path / "a.png", save_all=True, append_images=[Image.new("RGB", (40, 20), "blue")])
    assert np.array_equal(images.read_image(tmp_path / "a.png"), HALVES)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_refused_by_their_content(tmp_path, kind):
    picture = Image.fromarray(np.ones((4, 4), "float32")) if kind == "TIFF" else Image.new("RGB", (4, 4))
    picture.save(tmp_path / "a.png", kind)
    with pytest.raises(images.ImageError, match=f"named .png, but its content is {kind}"):
        images.read_image(tmp_path / "a.png")


def drawn(mode, paper, ink):
    page = Image.new(mode, (40, 40), paper)
    page.paste(ink, (10, 10, 14, 30))
    return page


SKETCHES = {
    "black on white": drawn("L", 255, 0),
    "white on black": drawn("L", 0, 255),
    "black on transparent": drawn("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
    "white on transparent": drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
    "transparent on black": drawn("LA", (0, 255), (0, 0)),
    "a palette with a transparent colour": drawn("P", 0, 1),
    "one bit": drawn("1", 1, 0),
    "one bit, white on black": drawn("1", 0, 1),
    "sixteen bits": Image.fromarray(np.asarray(drawn("L", 255, 0), "uint16") * 257),
}
SKETCHES["a palette with a transparent colour"].putpalette([9, 9, 9, 0, 0, 0])
SKETCHES["a palette with a transparent colour"].info["transparency"] = 0


@pytest.mark.parametrize("kind", SKETCHES)
def test_a_sketch_is_dark_lines_on_white_whatever_it_was(tmp_path, kind):
    SKETCHES[kind].save(tmp_path / "a.png")
    for size in (None, 20):
        sketch = images.read_sketch(tmp_path / "a.png", size)
        hint = images.to_hints(sketch)
        assert hint.mean() == pytest.approx(80 / 1600, abs=0.01)
        assert hint[len(hint) // 2, 12 * len(hint) // 40].min() > 0.9


def test_a_sketch_without_lines_and_a_dark_thing_stay_as_they_are(tmp_path):
    Image.new("L", (40, 40), 255).save(tmp_path / "a.png")
    assert images.is_empty(images.read_sketch(tmp_path / "a.png"))
    filled = Image.new("L", (40, 40), 255)
    filled.paste(0, (2, 2, 38, 38))
    filled.save(tmp_path / "b.png")
    assert np.array_equal(images.read_sketch(tmp_path / "b.png"), images.read_image(tmp_path / "b.png"))


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
