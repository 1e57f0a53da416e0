"""Pairs from a folder: bad input by name, sketches where they are missing, and a split that keeps groups together."""

import csv
import io
import os
import unicodedata

from pairs_folder import write_folder
from utils.diffusion import pairs as P

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data")


def test_a_good_folder_in_the_order_of_its_table(folder):
    pairs = P.load_pairs(folder)
    assert pairs.captions.tolist() == [f"picture {i}" for i in range(12)]
    for photo, sketch in zip(pairs.images, pairs.sketches, strict=True):
        assert photo.split("/")[-1] == sketch.split("/")[-1]


def _truncate(path):
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])


def _remove_from_table(folder, name):
    lines = (folder / "captions.csv").read_text().splitlines()
    (folder / "captions.csv").write_text("\n".join(line for line in lines if not line.startswith(name)))


MISTAKES = {
    "sketch missing": (lambda f: (f / "sketches/p03.png").unlink(), "photos/p03.png: no sketch"),
    "photo missing": (lambda f: (f / "photos/p03.png").unlink(), "sketches/p03.png: no photo"),
    "photo truncated": (lambda f: _truncate(f / "photos/p03.png"), "photos/p03.png"),
    "sketch truncated": (lambda f: _truncate(f / "sketches/p03.png"), "sketches/p03.png"),
    "photo empty": (lambda f: (f / "photos/p03.png").write_bytes(b""), "photos/p03.png: the file is empty"),
    "no picture at all": (lambda f: (f / "photos/p03.png").write_text("hello"), "photos/p03.png"),
    "caption missing": (lambda f: _remove_from_table(f, "p03"), "photos/p03.png: no line in captions.csv"),
    "other shape": (lambda f: Image.new("L", (80, 40)).save(f / "sketches/p03.png"), "cannot lie over"),
    "wrong suffix": (lambda f: Image.new("RGB", (40, 40)).save(f / "photos/p03.png", "GIF"), "its content is GIF"),
    "unknown suffix": (lambda f: (f / "photos/p03.png").rename(f / "photos/p03.webp"), "photos/p03.webp: neither"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_bad_file_is_named_and_can_be_skipped(folder, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(folder)
    with pytest.raises(P.PairError, match="skip_bad=True") as error:
        P.load_pairs(folder)
    assert message in str(error.value)
    with pytest.warns(UserWarning, match="left out") as caught:
        pairs = P.load_pairs(folder, skip_bad=True)
    assert len(caught) == 1 and message in str(caught[0].message)
    assert "picture 3" not in pairs.captions.tolist() and len(pairs) == 11


def test_a_truncated_jpeg_is_found(tmp_path):
    folder = write_folder(tmp_path / "data", suffix="jpg")
    _truncate(folder / "photos" / "p05.jpg")
    with pytest.raises(P.PairError, match=r"photos/p05\.jpg"):
        P.load_pairs(folder)


def test_a_caption_without_a_picture(folder):
    with open(folder / "captions.csv", "a") as file:
        file.write("ghost.png,a ghost,\n")
    with pytest.raises(P.PairError, match="ghost has a caption but no photo"):
        P.load_pairs(folder)


def test_empty_and_doubled_captions(folder):
    with open(folder / "captions.csv", "a") as file:
        file.write("p01.png,again,\np02.png,,\n")
    with pytest.raises(P.PairError) as error:
        P.load_pairs(folder)
    assert "line 14: p01.png has a caption already" in str(error.value) and "line 15" in str(error.value)


def test_two_photos_of_one_name(folder):
    Image.new("RGB", (40, 40)).save(folder / "photos" / "p03.jpg")
    with pytest.raises(P.PairError, match="has the same name"):
        P.load_pairs(folder)


def test_files_of_the_system_are_no_pictures(folder):
    (folder / "photos" / ".DS_Store").write_text("x")
    (folder / "photos" / "Thumbs.db").write_text("x")
    assert len(P.load_pairs(folder)) == 12


@pytest.mark.parametrize("part", ["photos", "sketches"])
def test_empty_and_missing_folders(folder, part):
    for path in (folder / part).iterdir():
        path.unlink()
    with pytest.raises(P.PairError, match=f"{part}: holds no PNG or JPEG"):
        P.load_pairs(folder)
    (folder / part).rmdir()
    with pytest.raises(P.PairError, match=f"{part}: no such folder"):
        P.load_pairs(folder, skip_bad=True)


def test_missing_folder_table_and_columns(folder, tmp_path):
    with pytest.raises(P.PairError, match="no such folder"):
        P.load_pairs(tmp_path / "nowhere")
    (folder / "captions.csv").write_text("name;text\n")
    with pytest.raises(P.PairError, match="expected file and caption"):
        P.load_pairs(folder)
    (folder / "captions.csv").write_bytes("file,caption\np01.png,café\n".encode("latin-1"))
    with pytest.raises(P.PairError, match="UTF-8"):
        P.load_pairs(folder)
    (folder / "captions.csv").unlink()
    with pytest.raises(P.PairError, match=r"captions\.csv: not found"):
        P.load_pairs(folder)


def test_fewer_pairs_than_a_batch(tmp_path):
    folder = write_folder(tmp_path / "data", count=5)
    with pytest.raises(P.PairError, match="5 good pairs, fewer than one batch of 8"):
        P.load_pairs(folder)
    assert len(P.load_pairs(folder, minimum=5)) == 5


def test_many_problems_give_one_short_list(folder):
    for path in (folder / "sketches").iterdir():
        path.write_bytes(b"")
    for i in range(20):
        (folder / "photos" / f"x{i}.txt").write_text("x")
    with pytest.raises(P.PairError, match="and 12 more"):
        P.load_pairs(folder)


# Tables of spreadsheets and of careless people

ROWS = [[f"p{i:02d}.png", f"a cat, number {i}", f"g{i // 2}"] for i in range(12)]


def write_table(folder, rows=ROWS, heading=("file", "caption", "group"), delimiter=",", encoding="utf-8", before=""):
    text = io.StringIO()
    text.write(before)
    csv.writer(text, delimiter=delimiter).writerows([heading, *rows])
    (folder / "captions.csv").write_bytes(text.getvalue().encode(encoding))


TABLES = {
    "semicolons": {"delimiter": ";"},
    "tabs": {"delimiter": "\t"},
    "Excel's UTF-8": {"delimiter": ";", "encoding": "utf-8-sig"},
    "Excel's Unicode text": {"delimiter": "\t", "encoding": "utf-16"},
    "UTF-16 without a mark": {"encoding": "utf-16-le"},
    "sep=": {"delimiter": ";", "before": "sep=;\r\n"},
    "sep=|": {"delimiter": "|", "before": '"sep=|"\n'},
    "an empty line before": {"before": "\n"},
    "a heading in capitals": {"heading": (" File", "CAPTION ", "Group")},
    "empty columns": {"heading": ("file", "caption", "group", "", ""), "rows": [[*row, "", ""] for row in ROWS]},
    "empty lines": {"rows": [*ROWS, ["", "", ""], [], ["", "", "", ""]]},
    "names with their folder": {"rows": [[f"photos\\{name}", *rest] for name, *rest in ROWS]},
    "names without suffix": {"rows": [[name[:-4], *rest] for name, *rest in ROWS]},
    "spaces around": {"rows": [[f" {name} ", f"  {caption} \u00a0", group] for name, caption, group in ROWS]},
    "characters that nobody sees": {"rows": [[name, f"\ufeffa cat,\u200b {c[7:]}", g] for name, c, g in ROWS]},
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_as_spreadsheets_write_them(folder, kind):
    write_table(folder, **TABLES[kind])
    pairs = P.load_pairs(folder)
    assert pairs.captions.tolist() == [caption for _, caption, _ in ROWS]
    assert pairs.groups.tolist() == [i // 2 for i in range(12)]


CARELESS = {
    "a comma without marks": ("p03.png,a cat, brown, on a sofa,g1", "line 5: 5 fields, the first line names 3"),
    "no group": ("p03.png,a cat", "line 5: 2 fields, the first line names 3"),
    "an open mark": ('p03.png,"a cat,g1', "line 5: a quotation mark is not closed"),
    "marks inside": (
        'p03.png,"a "big" cat",g1',
        "line 5: a quotation mark is not closed in its line, or stands inside",
    ),
    "a line break": ('p03.png,"a cat\non a sofa",g1', "line 5: a quotation mark is not closed in its line"),
    "a NUL": ("p03.png,a c\0at,g1", r"line 5: the control character '\x00'"),
    "only what nobody sees": ("p03.png,\u200b \ufeff,g1", "line 5: the file or the caption is empty"),
    "a very long field": ('p03.png,"' + 200_000 * "a" + "\n", "line 5: a quotation mark is not closed"),
}


@pytest.mark.parametrize("mistake", CARELESS)
def test_a_careless_line_costs_no_other(folder, mistake):
    line, message = CARELESS[mistake]
    lines = ["file,caption,group", *(f'{name},"{caption}",{group}' for name, caption, group in ROWS)]
    lines[4] = line
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8", newline="")
    with pytest.raises(P.PairError) as error:
        P.load_pairs(folder)
    assert message in str(error.value)
    with pytest.warns(UserWarning, match="left out"):
        pairs = P.load_pairs(folder, skip_bad=True)
    assert pairs.captions.tolist() == [caption for i, (_, caption, _) in enumerate(ROWS) if i != 3]


def test_a_table_of_another_name_or_with_doubled_columns(folder):
    write_table(folder, heading=("file", "caption", "Caption"))
    with pytest.raises(P.PairError, match="a name of its own"):
        P.load_pairs(folder)
    (folder / "captions.csv").rename(folder / "captions.csv.txt")
    with pytest.raises(P.PairError, match=r"not found \(there is captions\.csv\.txt"):
        P.load_pairs(folder)


# Names and sketches as they come


def rename(folder, stem, part="photos", suffix=".png"):
    (folder / part / "p03.png").rename(folder / part / f"{stem}{suffix}")


def test_names_of_a_mac_and_of_cameras(folder):
    decomposed, composed = (unicodedata.normalize(form, "käse\u202f1") for form in ("NFD", "NFC"))
    rename(folder, decomposed)
    rename(folder, composed, "sketches", ".PNG")
    write_table(folder, [[f"{composed}.png" if name == "p03.png" else name, *rest] for name, *rest in ROWS])
    pairs = P.load_pairs(folder)
    assert len(pairs) == 12 and pairs.images[3].endswith(f"{decomposed}.png")
    photo = folder / "photos" / "p04.png"
    Image.open(photo).save(folder / "photos" / "p04.JFIF", "JPEG")
    photo.unlink()
    target = folder / "elsewhere.png"
    (folder / "photos" / "p05.png").rename(target)
    (folder / "photos" / "p05.png").symlink_to(target)
    for name in ("._p03.png", "ehthumbs.db", "Icon\r"):
        (folder / "photos" / name).write_bytes(b"x")
    assert len(P.load_pairs(folder)) == 12


def test_a_name_that_is_no_text_is_named(folder):
    (folder / "photos" / "p03.png").rename(os.fsdecode(os.fsencode(folder / "photos") + b"/k\xe4se.png"))
    with pytest.raises(P.PairError, match=r"k\\udce4se\.png: a name that is no text"):
        P.load_pairs(folder)


def test_a_link_to_nothing_is_named(folder):
    (folder / "photos" / "p03.png").unlink()
    (folder / "photos" / "p03.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(P.PairError, match=r"photos/p03\.png: .*No such file"):
        P.load_pairs(folder)


def lines(dark, light, mode="L"):
    page = Image.new(mode, (40, 40), light)
    page.paste(dark, (18, 4, 22, 36))
    return page


def test_light_lines_on_a_dark_ground_are_told_and_read_inverted(folder):
    lines(255, 0).save(folder / "sketches" / "p03.png")
    lines((255, 255, 255, 255), (0, 0, 0, 0), "RGBA").save(folder / "sketches" / "p05.png")
    with pytest.warns(UserWarning, match=r"2 sketches have light lines on a dark ground.*first is sketches/p03\.png"):
        assert len(P.load_pairs(folder)) == 12


def test_sketches_without_a_line_are_told(folder):
    for name, page in (("p03", Image.new("L", (40, 40), 255)), ("p04", Image.new("RGBA", (40, 40), (0, 0, 0, 0)))):
        page.save(folder / "sketches" / f"{name}.png")
    with pytest.warns(UserWarning, match=r"2 sketches are of one colour.*first is sketches/p03\.png"):
        assert len(P.load_pairs(folder)) == 12


def test_a_sketch_that_is_mostly_ink_is_told(folder):
    page = Image.new("L", (40, 40), 255)
    page.paste(0, (3, 3, 37, 37))
    page.save(folder / "sketches" / "p03.png")
    with pytest.warns(UserWarning, match=r"1 sketches are more ink than paper.*first is sketches/p03\.png"):
        assert len(P.load_pairs(folder)) == 12


def test_other_pairs_have_another_fingerprint(folder, tmp_path):
    first = P.load_pairs(folder)
    again = P.load_pairs(write_folder(tmp_path / "again"))
    assert first.fingerprint() == again.fingerprint()
    assert len({first.fingerprint(), first[:9].fingerprint(), first[::-1].fingerprint()}) == 3
    Image.fromarray(np.full((40, 40, 3), 7, "uint8")).save(tmp_path / "again" / "photos" / "p03.png")
    assert P.load_pairs(tmp_path / "again").fingerprint() != first.fingerprint()


# Split


def test_a_split_never_divides_a_group_and_loses_nothing(tmp_path):
    groups = [i // 3 for i in range(12)]
    pairs = P.load_pairs(write_folder(tmp_path / "data", groups=groups))
    for seed in range(10):
        train, held_out = P.split_pairs(pairs, held_out=0.25, seed=seed)
        assert not set(train.groups) & set(held_out.groups)
        assert sorted([*train.images, *held_out.images]) == sorted(pairs.images)
        assert len(held_out) == 3


def test_copies_of_one_photo_are_one_group(folder):
    (folder / "photos" / "p07.png").write_bytes((folder / "photos" / "p02.png").read_bytes())
    groups = P.load_pairs(folder).groups
    assert groups[2] == groups[7] and len(set(groups)) == 11


def test_a_photo_in_two_groups_joins_them(tmp_path):
    folder = write_folder(tmp_path / "data", groups=[i // 3 for i in range(12)])
    (folder / "photos" / "p03.png").write_bytes((folder / "photos" / "p00.png").read_bytes())
    assert len(set(P.load_pairs(folder).groups[:6])) == 1


def test_a_split_that_cannot_be_made(tmp_path):
    pairs = P.load_pairs(write_folder(tmp_path / "data", groups=["one"] * 12))
    with pytest.raises(ValueError, match="cannot be split"):
        P.split_pairs(pairs)
    with pytest.raises(ValueError, match="held_out=0"):
        P.split_pairs(pairs, held_out=0)


# Sketches


def test_sketches_are_drawn_where_they_are_missing(folder):
    kept = (folder / "sketches" / "p00.png").read_bytes()
    for path in sorted((folder / "sketches").iterdir())[1:]:
        path.unlink()
    assert P.extract_sketches(folder) == 11
    assert (folder / "sketches" / "p00.png").read_bytes() == kept
    assert len(P.load_pairs(folder)) == 12
    sketch = np.asarray(Image.open(folder / "sketches" / "p03.png"))
    assert (sketch[:, 18:22] == 0).any() and (sketch[:, :10] == 255).all()


def test_a_photo_that_cannot_be_sketched_is_named(folder):
    (folder / "sketches" / "p04.png").unlink()
    _truncate(folder / "photos" / "p04.png")
    with pytest.raises(P.PairError, match=r"photos/p04\.png"):
        P.extract_sketches(folder)
