"""A page on which a person draws a sketch with mouse, pen or finger and gets a picture (ipycanvas).

The strokes are kept as points and drawn again with Pillow at the size that the model reads, so that the sketch does not
depend on what the browser sends back.
"""

import io
import itertools
import os
import traceback
from collections.abc import Callable, Sequence

import numpy as np
from ipycanvas import Canvas
from ipywidgets import HTML, Button, HBox, Image, Text, VBox
from PIL import Image as Picture
from PIL import ImageDraw

SIDE = 260  # of the canvas on the screen
LINE_WIDTH = 1.6 / 64  # of a sketch's side: as wide as the lines that the small model was trained on
FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG", "VOILA_REQUEST_URL")
SMOOTH = 8  # a sketch is drawn this many times larger and then made smaller, so that its lines have soft edges


def has_front_end() -> bool:
    """Tell whether a window is attached to this kernel: Jupyter's server names the session; others name themselves.

    In batch runs (papermill, nbconvert, nbval, nbgrader) there is none, and a widget would show nothing.
    """
    return any(name in os.environ for name in FRONT_ENDS)


def draw_strokes(strokes: Sequence[Sequence[tuple[float, float]]], size: int, side: int, width: float) -> np.ndarray:
    """Draw strokes as black lines on white.

    Parameters
    ----------
    strokes : sequence of sequences of (x, y)
        Points in pixels of the canvas; a stroke of one point becomes a dot.
    size : int
        Side of the sketch in pixels.
    side : int
        Side of the canvas in pixels.
    width : float
        Width of a line in pixels of the sketch.

    Returns
    -------
    np.ndarray
        uint8, shape (size, size, 3).
    """
    scale, half = SMOOTH * size / side, SMOOTH * width / 2
    page = Picture.new("L", (SMOOTH * size, SMOOTH * size), 255)
    pen = ImageDraw.Draw(page)
    for stroke in strokes:
        points = [(x * scale, y * scale) for x, y in stroke]
        if len(points) > 1:
            pen.line(points, fill=0, width=round(2 * half))
        for x, y in points:  # round ends and joints
            pen.ellipse((x - half, y - half, x + half, y + half), fill=0)
    grey = np.asarray(page.resize((size, size), Picture.Resampling.BOX))
    return np.repeat(grey[..., None], 3, axis=-1)


def picture_row(pictures: np.ndarray, side: int, gap: int = 4) -> bytes:
    """Return a PNG of pictures, uint8 (n, height, width, 3), in two rows together as high as the canvas."""
    columns = -(-len(pictures) // 2)
    cell = side // 2
    page = Picture.new("RGB", (columns * (cell + gap) - gap, 2 * cell + gap), "white")
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        tile = Picture.fromarray(picture).resize((cell, cell), Picture.Resampling.NEAREST)
        page.paste(tile, (column * (cell + gap), row * (cell + gap)))
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


class SketchPad:
    """A canvas, a field for the caption, and buttons: take the last stroke back, clear, make the pictures.

    Parameters
    ----------
    make_pictures : function
        Takes a sketch, uint8 (size, size, 3), black on white, and a caption; returns pictures, uint8
        (n, height, width, 3).
    size : int
        Side of the sketch in pixels.
    caption : str
        What stands in the field at first.

    Attributes
    ----------
    widget : ipywidgets.VBox
        What the notebook displays.
    strokes : list of lists of (x, y)
        What was drawn so far.
    """

    def __init__(
        self,
        make_pictures: Callable[[np.ndarray, str], np.ndarray],
        size: int,
        caption: str = "",
    ):
        self.make_pictures, self.size = make_pictures, size
        self.strokes: list[list[tuple[float, float]]] = []
        self._drawing = False
        self.canvas = Canvas(width=SIDE, height=SIDE, layout={"border": "1px solid #777777", "flex": "0 0 auto"})
        self._other = Canvas(width=1, height=1)
        self.canvas.on_client_ready(self._redraw)
        self.canvas.on_mouse_down(self._down)
        self.canvas.on_mouse_move(self._move)
        self.canvas.on_mouse_up(self._up)
        self.canvas.on_mouse_out(self._up)
        self.canvas.on_touch_start(lambda touches: self._down(*touches[0]))
        self.canvas.on_touch_move(lambda touches: self._move(*touches[0]))
        self.canvas.on_touch_end(lambda touches: self._up(0, 0))
        self.canvas.on_touch_cancel(lambda touches: self._up(0, 0))
        self.caption = Text(
            value=caption, description="Caption:", layout={"width": f"{2 * SIDE}px", "max_width": "100%"}
        )
        self.clear_button = Button(description="Clear")
        self.clear_button.on_click(lambda _: self.clear())
        self.undo_button = Button(description="Undo", tooltip="Take the last stroke back")
        self.undo_button.on_click(lambda _: self.undo())
        self.make_button = Button(description="Make the picture", button_style="primary")
        self.make_button.on_click(lambda _: self.make())
        self.message = HTML("Draw in the frame with mouse, pen or finger, write a caption, and press the button.")
        self.result = Image(format="png", layout={"visibility": "hidden", "max_width": "100%"})
        buttons = HBox([self.make_button, self.undo_button, self.clear_button], layout={"flex_flow": "row wrap"})
        pictures = HBox([self.canvas, self.result], layout={"flex_flow": "row wrap"})  # below each other on a phone
        self.widget = VBox([pictures, self.caption, buttons, self.message])
        self.clear()

    def _down(self, x: float, y: float) -> None:
        self._drawing = True
        self.strokes.append([(x, y)])
        self._dot(x, y)

    def _move(self, x: float, y: float) -> None:
        if self._drawing:
            self.canvas.stroke_line(*self.strokes[-1][-1], x, y)
            self.strokes[-1].append((x, y))

    def _up(self, x: float, y: float) -> None:
        self._drawing = False

    def _dot(self, x: float, y: float) -> None:
        self.canvas.fill_circle(x, y, LINE_WIDTH * SIDE / 2)

    def undo(self) -> None:
        """Forget the last stroke."""
        del self.strokes[-1:]
        self._redraw()

    def clear(self) -> None:
        """Empty the canvas and forget the strokes."""
        self.strokes.clear()
        self._redraw()

    def _redraw(self) -> None:
        """Draw everything again, for a window that opened after it was drawn."""
        self._other.fill_rect(0, 0, 1, 1)  # ipycanvas names a canvas to the window only where it draws on another one
        self.canvas.fill_style = "white"
        self.canvas.fill_rect(0, 0, SIDE, SIDE)
        self.canvas.fill_style = self.canvas.stroke_style = "black"
        self.canvas.line_width = LINE_WIDTH * SIDE
        self.canvas.line_cap = "round"
        for stroke in self.strokes:
            self._dot(*stroke[0])
            for start, end in itertools.pairwise(stroke):
                self.canvas.stroke_line(*start, *end)

    def sketch(self) -> np.ndarray:
        """Return what was drawn, uint8 (size, size, 3), black on white."""
        return draw_strokes(self.strokes, self.size, SIDE, LINE_WIDTH * self.size)

    def make(self) -> None:
        """Make the pictures of the sketch and the caption and show them; an error is shown, too."""
        if not self.strokes:
            self.message.value = "The canvas is empty: draw something first."
            return
        self.message.value = "Making the pictures ..."
        self.make_button.disabled = True
        try:
            pictures = self.make_pictures(self.sketch(), self.caption.value)
        except Exception as error:  # shown beside the canvas, where an error of a button would be lost
            traceback.print_exc()
            self.message.value = f"No picture could be made: {type(error).__name__}: {error}"
        else:
            self.result.value = picture_row(pictures, SIDE)
            self.result.layout.visibility = "visible"
            self.message.value = f"{len(pictures)} pictures from {len(pictures)} different noises."
        finally:
            self.make_button.disabled = False
