"""What the drawings are made of: a card, and lines, boxes, arrows and labels on it.

A label is text in which `$...$` is a formula: letters in it are italic, `_` begins an index and `^`
an exponent (`$q_t$`, `$K^⊤$`, `$w_{t-1}$`).
"""

import inspect
import re
from xml.sax.saxutils import escape

from tools.drawings.colours import HERE, INK, LOOK, PAPER, QUIET, STATE, TOKEN, WEIGHT

WIDTH = 640
LABEL, ASIDE = 18, 16  # font sizes: 640 wide shown at 360 makes 9 px of the smaller
SANS = "Helvetica Neue, Helvetica, Arial, sans-serif"
SERIF = "'Source Serif 4', Georgia, 'Times New Roman', serif"
NARROW, WIDE = set("ijlI.,:;'|!()[]‘’ ftr1·"), set("mwMWOQGD%@…→−=+√Σ")


def text_width(text, size):
    """About how wide `text` is, on the safe side of the usual fonts."""
    shares = (0.36 if c in NARROW else 0.86 if c in WIDE else 0.58 for c in text)
    return size * sum(shares)


def spans(label):
    """The parts of a label: (text, "" or "formula" or "letter", "" or "_" or "^")."""
    for i, part in enumerate(label.split("$")):
        if i % 2 == 0:
            yield part, "", ""
            continue
        for shift, inner, plain in re.findall(r"([_^])(\{[^}]*\}|.)|([^_^]+)", part):
            for word in re.findall(r"[A-Za-zα-ωΑ-Ω̂]+|[^A-Za-zα-ωΑ-Ω̂]+", plain or inner.strip("{}")):
                yield word, "letter" if re.match(r"[A-Za-zα-ω]", word) else "formula", shift


def number(x):
    return f"{round(x, 1):g}"


class Canvas:
    """A card 640 wide, drawn on from the top left; y grows downwards.

    `function` is the one that draws: its docstring's first line is the title, which is also the
    alternative text, and the rest is the long description.
    """

    def __init__(self, function, height):
        title, *rest = inspect.getdoc(function).split("\n\n")
        self.title, self.words = title.rstrip("."), [" ".join(part.split()) for part in rest]
        self.height = height
        self.parts = []

    def add(self, tag, content=None, **attributes):
        named = "".join(
            f' {name.replace("_", "-")}="{value if isinstance(value, str) else number(value)}"'
            for name, value in attributes.items()
            if value is not None
        )
        self.parts.append(
            f"<{tag}{named}/>" if content is None else f"<{tag}{named}>{content}</{tag}>"
        )

    # Letters

    def text(self, x, y, label, size=LABEL, anchor="middle", colour=INK, weight=None, struck=False):
        """A label whose letters have the middle of their height at y."""
        content, low = "", 0
        for word, kind, shift in spans(label):
            want = {"": 0, "_": round(0.22 * size), "^": -round(0.34 * size)}[shift]
            style = f' font-family="{SERIF}"' if kind else ""
            style += ' font-style="italic"' if kind == "letter" else ""
            style += f' font-size="{max(ASIDE, round(size * 0.7))}"' if shift else ""
            style += f' dy="{want - low}"' if want != low else ""
            content += f"<tspan{style}>{escape(word)}</tspan>" if style else escape(word)
            low = want
        self.add(
            "text",
            content,
            x=x,
            y=y + 0.35 * size,
            font_size=size,
            text_anchor=None if anchor == "start" else anchor,
            fill=colour,
            font_weight=weight,
            text_decoration="line-through" if struck else None,
        )

    def maths(self, x, y, label, size=22, **more):
        """A formula by itself."""
        self.text(x, y, f"${label}$", size, **more)

    def aside(self, x, y, label, **more):
        """A remark or a shape: small and quiet."""
        self.text(x, y, label, **{"size": ASIDE, "colour": QUIET} | more)

    # Lines

    def line(self, *points, colour=QUIET, width=1.5, dashed=False, opacity=None):
        self.add(
            "polyline",
            points=" ".join(f"{number(x)},{number(y)}" for x, y in points),
            fill="none",
            stroke=colour,
            stroke_width=width,
            stroke_dasharray="5 4" if dashed else None,
            stroke_linejoin="round",
            opacity=opacity,
        )

    def head(self, before, end, colour, width, opacity=None):
        """The point of an arrow that comes from `before`."""
        (x0, y0), (x, y) = before, end
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        ux, uy = (x - x0) / length, (y - y0) / length
        long, wide = 7 + 1.5 * width, 2.6 + 0.9 * width
        corners = [
            (x, y),
            (x - long * ux - wide * uy, y - long * uy + wide * ux),
            (x - long * ux + wide * uy, y - long * uy - wide * ux),
        ]
        points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
        self.add("polygon", points=points, fill=colour, opacity=opacity)
        return x - 0.8 * long * ux, y - 0.8 * long * uy

    def arrow(self, *points, colour=QUIET, width=1.5, dashed=False, opacity=None):
        end = self.head(points[-2], points[-1], colour, width, opacity)
        self.line(*points[:-1], end, colour=colour, width=width, dashed=dashed, opacity=opacity)

    def bow(self, start, bend, end, colour=QUIET, width=1.5, dashed=False, opacity=None):
        """An arrow from `start` to `end`, drawn towards the point `bend`."""
        near = self.head(bend, end, colour, width, opacity)
        d = "M{} {} Q{} {} {} {}".format(*map(number, (*start, *bend, *near)))
        dash = "5 4" if dashed else None
        self.add(
            "path",
            d=d,
            fill="none",
            stroke=colour,
            stroke_width=width,
            stroke_dasharray=dash,
            opacity=opacity,
        )

    def brace(self, x0, x1, y, depth=10, colour=QUIET):
        """A bracket under (depth > 0) or over what stands between x0 and x1."""
        self.line((x0, y), (x0, y + depth), (x1, y + depth), (x1, y), colour=colour)

    # Shapes

    def box(self, x, y, w, h, colour=QUIET, label="", tint=0.16, dashed=False, radius=5, **more):
        self.add(
            "rect",
            x=x,
            y=y,
            width=w,
            height=h,
            rx=radius,
            fill=colour if tint else "none",
            fill_opacity=f"{tint:g}" if tint else None,
            stroke=QUIET if colour == HERE else colour,  # a yellow edge is hardly seen
            stroke_width=1.5,
            stroke_dasharray="5 4" if dashed else None,
        )
        if label:
            self.text(x + w / 2, y + h / 2, label, **more)

    def fill(self, x, y, w, h, colour, opacity=1.0):
        """A patch of colour without an edge."""
        opacity = None if opacity == 1 else f"{opacity:.2g}"
        self.add("rect", x=x, y=y, width=w, height=h, fill=colour, fill_opacity=opacity)

    def dot(self, x, y, r=4, colour=STATE, opacity=None):
        self.add("circle", cx=x, cy=y, r=r, fill=colour, opacity=opacity)

    def circle(self, x, y, r, colour=QUIET, width=1.5, tint=0.0):
        opacity = f"{tint:g}" if tint else None
        fill = colour if tint else "none"
        self.add(
            "circle",
            cx=x,
            cy=y,
            r=r,
            fill=fill,
            fill_opacity=opacity,
            stroke=colour,
            stroke_width=width,
        )

    def plus(self, x, y, r=11):
        """The sign of a sum, on the stream."""
        self.add("circle", cx=x, cy=y, r=r, fill=PAPER, stroke=INK, stroke_width=1.5)
        self.line((x - r / 2, y), (x + r / 2, y), colour=INK)
        self.line((x, y - r / 2), (x, y + r / 2), colour=INK)

    def token(self, x, y, word, w=None, h=32, colour=TOKEN, tint=0.12, **more):
        """A token about (x, y); returns its width."""
        w = w or text_width(word, more.get("size", LABEL)) + 14
        self.box(x - w / 2, y - h / 2, w, h, colour, word, tint, **more)
        return w

    def tokens(self, x, y, words, gap=6, **more):
        """A row of tokens from the left edge x; returns the middle of each."""
        middles = []
        for word in words:
            w = text_width(word, LABEL) + 14
            self.token(x + w / 2, y, word, w, **more)
            middles.append(x + w / 2)
            x += w + gap
        return middles

    def vector(self, x, y, shades, size=14, colour=STATE, across=False):
        """A vector's numbers as cells from the top left (x, y), the larger the darker."""
        for i, shade in enumerate(shades):
            left, top = (x + i * size, y) if across else (x, y + i * size)
            self.fill(left, top, size, size, colour, 0.12 + 0.6 * shade)
        w, h = (size * len(shades), size) if across else (size, size * len(shades))
        self.add("rect", x=x, y=y, width=w, height=h, fill="none", stroke=colour, stroke_width=1.2)

    def grid(self, x, y, rows, size=18, colour=LOOK):
        """A matrix of shades from 0 to 1; None is a place that is shut."""
        for i, row in enumerate(rows):
            for j, shade in enumerate(row):
                left, top = x + j * size, y + i * size
                if shade is not None:
                    self.fill(left, top, size, size, colour, 0.12 + 0.7 * shade)
                self.add(
                    "rect",
                    x=left,
                    y=top,
                    width=size,
                    height=size,
                    fill="none",
                    stroke=QUIET if shade is None else colour,
                    stroke_width=0.6,
                )

    def weights(self, x, y, w, h, label, **more):
        """A learned matrix."""
        self.box(x, y, w, h, WEIGHT, f"${label}$" if label else "", 0.28, size=more.pop("size", 20))

    def svg(self):
        """The whole picture, as a file's text."""
        words = "\n".join(escape(part) for part in self.words)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" role="img" aria-labelledby="t d" '
            f'font-family="{SANS}">'
        )
        card = f'<rect width="{WIDTH}" height="{self.height}" rx="12" fill="{PAPER}"/>'
        title = f'<title id="t">{escape(self.title)}</title>'
        body = [head, title, f'<desc id="d">{words}</desc>', card, *self.parts, "</svg>"]
        return "\n".join(body) + "\n"
