"""Formulas as MathML, which browsers draw by themselves, without a script and a network."""

import html
import re

from latex2mathml.converter import convert

MATH = re.compile(r"\$\$.+?\$\$|\$(?!\s)[^$\n]{1,500}?(?<!\s)\$", re.DOTALL)
# Browsers keep to MathML Core, which leaves the alignment of cells to CSS. `docs/site/static/course.css` says the same.
STYLE = """
math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", "Noto Sans Math", math; }
mtd[columnalign="left"] { text-align: left } mtd[columnalign="right"] { text-align: right }
"""
# What latex2mathml makes an identifier of and is an operator: prime, floor, "is distributed as".
OPERATORS = {"&#x02032;": "&#x02032;", "&#x0230A;": "&#x0230A;", "&#x0230B;": "&#x0230B;", "&#x0007E;": "&#x0223C;"}


def to_mathml(tex: str, block: bool = False) -> str:
    """Return a formula as MathML, with its source for a reader that shows none."""
    known = re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{split}", tex.strip())  # aligned is unknown to latex2mathml
    made = str(convert(known, display="block" if block else "inline"))
    for identifier, operator in OPERATORS.items():
        made = made.replace(f"<mi>{identifier}</mi>", f"<mo>{operator}</mo>")
    return made.replace("<math ", f'<math alttext="{html.escape(tex.strip())}" ', 1)


def from_dollars(formula: str) -> str:
    """Return a formula between one or two dollar signs as MathML."""
    return to_mathml(formula.strip("$"), block=formula.startswith("$$"))
