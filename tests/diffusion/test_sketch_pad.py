"""The drawing page: what the mouse does becomes a sketch, and the buttons do what they say."""

from utils.diffusion import sketch_pad

import numpy as np
import pytest


@pytest.fixture
def calls():
    return []


@pytest.fixture
def pad(calls):
    def make_pictures(sketch, caption):
        calls.append((sketch, caption))
        return np.zeros((3, 64, 64, 3), "uint8")

    return sketch_pad.SketchPad(make_pictures, size=64, caption="a red spoon")


def drag(pad, *points):
    """Move the mouse with its button pressed; the canvas calls these functions for the browser's events."""
    pad._down(*points[0])
    for point in points[1:]:
        pad._move(*point)
    pad._up(*points[-1])


def test_strokes_become_a_sketch(pad):
    drag(pad, (65, 130), (195, 130))
    pad._move(10, 10)  # the button is not pressed any more
    sketch = pad.sketch()
    assert sketch.shape == (64, 64, 3) and sketch.dtype == np.uint8
    assert sketch[32, 32].max() < 80 and (sketch == 255).mean() > 0.9
    rows, columns = np.nonzero(sketch[..., 0] < 128)
    assert set(rows) <= {31, 32} and (columns.min(), columns.max()) == (15, 48)


def test_a_finger_draws_what_the_mouse_draws(pad):
    drag(pad, (65, 130), (195, 130))
    wanted = pad.sketch()
    pad.clear()
    for event, touches in (
        ("touch_start", [(65, 130)]),
        ("touch_move", [(195, 130), (9, 9)]),  # a second finger changes nothing
        ("touch_end", []),
        ("touch_move", [(195, 20)]),
    ):
        message = {"event": event, "touches": [{"x": x, "y": y} for x, y in touches]}
        pad.canvas._handle_frontend_event(pad.canvas, message, [])
    assert np.array_equal(pad.sketch(), wanted)


def test_line_width_is_that_of_the_sketch():
    thin, thick = (sketch_pad.draw_strokes([[(0, 32), (64, 32)]], 64, 64, width) for width in (1, 4))
    assert (255 - thin[:, 32, 0].astype(int)).sum() == pytest.approx(255, rel=0.2)
    assert (255 - thick[:, 32, 0].astype(int)).sum() == pytest.approx(4 * 255, rel=0.2)


def test_a_click_is_a_dot():
    dot = sketch_pad.draw_strokes([[(32, 32)]], 64, 64, 2)
    assert dot[32, 32].max() < 128 and (dot < 255).any(axis=-1).sum() <= 16


def test_button_makes_pictures(pad, calls):
    drag(pad, (10, 10), (200, 200))
    pad.make_button.click()
    ((sketch, caption),) = calls
    assert np.array_equal(sketch, pad.sketch()) and caption == "a red spoon"
    assert bytes(pad.result.value).startswith(b"\x89PNG") and "3 pictures" in pad.message.value
    assert not pad.make_button.disabled


def test_empty_canvas_is_said(pad, calls):
    pad.make_button.click()
    assert not calls and "empty" in pad.message.value


def test_clear_forgets(pad):
    drag(pad, (10, 10), (200, 200))
    pad.clear_button.click()
    assert pad.strokes == [] and (pad.sketch() == 255).all()


def test_undo_takes_one_stroke_back(pad):
    drag(pad, (10, 10), (200, 200))
    first = pad.sketch()
    drag(pad, (10, 200), (200, 10))
    pad.undo_button.click()
    assert len(pad.strokes) == 1 and np.array_equal(pad.sketch(), first)
    for _ in range(2):
        pad.undo_button.click()
    assert pad.strokes == []


def test_a_click_is_seen_on_the_canvas(pad, monkeypatch):
    dots = []
    monkeypatch.setattr(pad.canvas, "fill_circle", lambda *circle: dots.append(circle))
    drag(pad, (30, 40))
    pad._redraw()
    assert dots == [(30, 40, sketch_pad.LINE_WIDTH * sketch_pad.SIDE / 2)] * 2


def test_a_window_that_opens_later_sees_the_strokes(pad, monkeypatch):
    drag(pad, (10, 10), (200, 200), (10, 200))
    drawn = []
    monkeypatch.setattr(pad.canvas, "stroke_line", lambda *line: drawn.append(line))
    pad.canvas._handle_frontend_event(pad.canvas, {"event": "client_ready"}, [])
    assert drawn == [(10, 10, 200, 200), (200, 200, 10, 200)] and len(pad.strokes) == 1


def test_error_is_shown(calls):
    def fails(sketch, caption):
        raise ValueError("no such word")

    pad = sketch_pad.SketchPad(fails, 64)
    drag(pad, (10, 10), (20, 20))
    pad.make()
    assert "ValueError: no such word" in pad.message.value and not pad.make_button.disabled


def test_front_end_is_known_by_the_servers_session(monkeypatch):
    for name in sketch_pad.FRONT_ENDS:
        monkeypatch.delenv(name, raising=False)
    assert not sketch_pad.has_front_end()
    monkeypatch.setenv("JPY_SESSION_NAME", "sketch.ipynb")
    assert sketch_pad.has_front_end()
