"""Sphinx extension: what the front page shows besides its text, each from a record.

    guess    a game: records/guess.json, which `python -m tools.guess` writes
    story    the story from the same file
    ladder   every model of the course, from records/ladder.json and two recorded runs

All rounds of the game stand in the page. Without a script the first is shown with its answer;
_static/guess.js hides the answers, and brings the rounds one by one.
"""

import json
import math
import re
from functools import partial
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive

ROOT = Path(__file__).resolve().parent.parent
GUESS = ROOT / "records" / "guess.json"
LADDER = ROOT / "records" / "ladder.json"
TOC = ROOT / "_toc.yml"
# Recorded runs that are no rung of a chapter: what the page calls them, and where they are met.
RUNS = {
    "one-sitting": ("GPT of one sitting", "chapters/one-sitting"),
    "story-base": ("larger GPT, 130 MB of stories", "chapters/3-training/train-a-gpt"),
}
MODELS = {"counting": "Counting", "gpt": "GPT", "oracle": "Oracle"}
BUILT = {  # where the book builds it
    "counting": "chapters/1-language-models/counting",
    "gpt": "chapters/2-attention/gpt",
    "oracle": "chapters/storyland",
}
MARKS = (0.01, 0.1, 1)  # bits above the floor: the lines of the ladder's scale
LEAST, MOST = 0.002, 10  # its ends


def record(run):
    return ROOT / "records" / run / "record.json"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# The game


def percent(chance, model):
    """A probability as one reads it. The oracle alone knows what is impossible, and certain."""
    if model == "oracle" and chance in (0, 1):
        return f"{chance:.0%}"
    return "<1%" if chance < 0.01 else ">99%" if chance > 0.99 else f"{chance:.0%}"


def favourite(choices, model):
    """The choice to which a model gives most, the first of equal ones."""
    return max(choices, key=lambda choice: choice[model])["word"]


def row(heading, chances, said=False):
    cells = "".join(
        f'<td class="guess-{model}">{escape(percent(chances[model], model))}'
        f'<i style="width:{100 * chances[model]:.1f}%"></i></td>'
        for model in MODELS
    )
    return f"<tr{' class=guess-said' if said else ''}><th scope=row>{heading}</th>{cells}</tr>"


def round_html(round, number):
    """One round, with its answer."""
    choices, said = round["choices"], round["said"]
    other = {model: max(0.0, 1 - sum(c[model] for c in choices)) for model in MODELS}
    rows = [row(escape(c["word"]), c, c["word"] == said) for c in choices]
    rows.append(row("<em>any other</em>", other))
    right = " ".join(model for model in MODELS if favourite(choices, model) == said)
    heads = "".join(f'<th scope=col class="guess-{m}">{name}</th>' for m, name in MODELS.items())
    return (
        f'<div class="guess-round" data-right="{right}"{"" if number == 0 else " hidden"}>'
        f'<p class="guess-story">{escape(round["before"] + round["space"])}'
        f'<b class="guess-gap">{escape(said)}</b>'
        f'<span class="guess-after">{escape(round["after"])}</span></p>'
        f'<div class="guess-answer"><p class="guess-kind">The hidden word was '
        f"{escape(round['kind'])}. What each reader gave to the choices, before it saw:</p>"
        f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div></div>"
    )


def guess_html(uri):
    game, run = read(GUESS), read(record("story-base"))
    shown = "".join(round_html(round, number) for number, round in enumerate(game["rounds"]))
    parameters, hours = run["figures"]["parameters"] / 1e6, run["training_seconds"] / 3600
    counting, gpt, oracle = (
        f'<a class="guess-{m}" href="{uri(BUILT[m])}">{name}</a>' for m, name in MODELS.items()
    )
    return (
        f'<div class="guess">{shown}</div>'
        f'<p class="guess-note">{counting} goes by which letter followed the last fifteen in a '
        f"million characters. {gpt} is a network of {parameters:.1f} million numbers, trained for "
        f"{hours:.0f} hours on two processor cores. The {oracle.replace('Oracle', 'oracle')} knows "
        f"the true probabilities. The stories are fresh (seed {game['story_seed']}), with one "
        f"place of each kind, drawn by seed {game['place_seed']}. A reader\u2019s guess is the "
        "choice to which it gives most, of equal ones the first in the alphabet.</p>"
    )


# The story


def story_html(uri):
    game = read(GUESS)
    return (
        f'<figure class="story"><blockquote><p>{escape(game["story"])}</p></blockquote>'
        "<figcaption>The first story of seed "
        f"{game['story_seed']}, as the grammar wrote it.</figcaption></figure>"
    )


# The ladder


def pages():
    """{"2.3": the document}: the chapters of the parts, by their numbers."""
    found, caption = {}, ""
    for part in yaml.safe_load(TOC.read_text(encoding="utf-8"))["parts"]:
        caption = part.get("caption", caption)  # a list without one belongs to the part above it
        if part.get("numbered") and (number := re.match(r"Part (\d+)", caption)):
            files = [entry["file"] for entry in part["chapters"]]
            found |= {f"{number[1]}.{i}": file for i, file in enumerate(files, 1)}
    return found


def rungs():
    """(name, bits a character, the document that explains it), worst first; last the floor."""
    of_chapter = pages()
    found = [(r["name"], r["bits_per_char"], of_chapter[r["chapter"]]) for r in read(LADDER)]
    for run, (name, page) in RUNS.items():
        figures = read(record(run))["figures"]
        found.append((name, figures["bits_per_char"], page))
    return sorted(found, key=lambda rung: -rung[1])


def place(gap):
    """Where on the scale a gap to the floor stands, in percent."""
    return 100 * math.log(gap / LEAST) / math.log(MOST / LEAST)


def ladder_html(uri):
    steps = rungs()
    floor = steps[-1][1]
    marks = "".join(f'<span style="left:{place(mark):.1f}%">{mark:g}</span>' for mark in MARKS)
    lines = ";".join(f"--line-{i}:{place(mark):.1f}%" for i, mark in enumerate(MARKS))
    rows = []
    for name, bits, page in steps:
        gap = bits - floor
        bar = f'<i style="width:{place(gap):.1f}%"></i>' if gap else ""
        rows.append(
            f'<tr{"" if gap else " class=ladder-floor"}><th scope=row><a href="{uri(page)}">'
            f"{escape(name)}</a></th><td>{bits:.3f}</td><td>{f'+{gap:.3f}' if gap else '0'}</td>"
            f'<td class="ladder-track" aria-hidden="true">{bar}</td></tr>'
        )
    return (
        f'<table class="ladder" style="{lines}"><caption>Bits a character on 400 stories that no '
        "model has seen. The bars are what is left to the floor: each line of their scale is ten "
        "times as far from it as the one before, so that the last steps can be told apart."
        "</caption><thead><tr><th scope=col>Model</th><th scope=col>Bits</th>"
        "<th scope=col>Above the floor</th>"
        f'<td class="ladder-track" aria-hidden="true">{marks}</td></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


# The directives


class Drawn(Directive):
    """A piece of HTML, made anew when what it is read from has changed."""

    draw: staticmethod  # from a function that makes an address of a document

    def run(self):
        env = self.state.document.settings.env
        for path in (GUESS, LADDER, TOC, *map(record, RUNS)):
            env.note_dependency(str(path))
        uri = partial(env.app.builder.get_relative_uri, env.docname)
        return [nodes.raw("", self.draw(uri), format="html")]


def setup(app):
    for name, draw in (("guess", guess_html), ("story", story_html), ("ladder", ladder_html)):
        app.add_directive(name, type(name, (Drawn,), {"draw": staticmethod(draw)}))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
