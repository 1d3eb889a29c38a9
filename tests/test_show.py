"""Tables and stories: what a page shows, and the plain text that says the same."""

import re

import pytest

from tinygpt import show

ROWS = [["GPT", 0.17621, 1018624], ["one <block>", None, 7]]
TABLE = show.table(ROWS, {"": "", "bits": ".3f", "parameters": ",d"})


def test_a_table_in_plain_text_has_its_numbers_under_one_another():
    assert str(TABLE).splitlines() == [
        "              bits  parameters",
        "GPT          0.176   1,018,624",
        "one <block>                  7",
    ]


def test_a_table_on_a_page_says_what_each_row_and_column_is_about():
    html = TABLE._repr_html_()
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html) == ["bits", "parameters"]
    assert re.findall(r'<th scope="row"[^>]*>(.*?)</th>', html) == ["GPT", "one &lt;block&gt;"]
    assert "<th></th>" not in html  # an empty heading says nothing


def test_columns_of_words_begin_at_the_left_and_numbers_end_at_the_right():
    sides = re.findall(r"text-align: (\w+)", TABLE._repr_html_())
    assert sides == ["left", "right", "right"] * 3


def test_a_row_that_is_too_short_is_named():
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        show.table([[1, 2], [3]], {"a": "", "b": ""})


def test_a_story_is_paragraphs_on_a_page_and_wraps_in_plain_text():
    text = show.story("The fox slept. " * 9 + "\nSo <did> the owl.\n")
    assert text._repr_html_().count("<p>") == 2
    assert "So &lt;did&gt; the owl." in text._repr_html_()
    assert max(map(len, str(text).splitlines())) <= show.WIDTH
    assert str(text).endswith(".\n\nSo <did> the owl.")


def test_marked_words_stand_out_with_what_they_are():
    plain = show.story(["The", " fox", " saw", " Tom", "."], marked=[1])
    assert str(plain) == "The [fox] saw Tom."
    assert "The <mark>fox</mark> saw" in plain._repr_html_()
    named = show.story(["The", " fox", " saw", " Tom", "."], marked={3: "person"})
    assert str(named) == "The fox saw [Tom person]."


def test_the_less_likely_a_word_was_the_darker_its_ground():
    text = show.story(["A", " fox", " slept", "."], chances=[None, 0.5, 0.01, 1.0])
    shades = [float(x) for x in re.findall(r"rgba\(0, 114, 178, ([\d.]+)\)", text._repr_html_())]
    assert len(shades) == 2 and 0 < shades[0] < shades[1] < 1
    assert 'title="P = 0.01"' in text._repr_html_()
    assert str(text) == "A fox slept{0.01}."


def test_an_impossible_word_is_shown_and_not_an_error():
    assert str(show.story(["A", " dragon"], chances=[1.0, 0.0])) == "A dragon{0}"


def test_chances_must_be_as_many_as_pieces():
    with pytest.raises(ValueError, match="1 chances for 2 pieces"):
        show.story(["a", "b"], chances=[0.5])


def test_several_stories_are_told_apart_by_who_wrote_them():
    both = show.stories({"order 1": "cche\n", "order 2": "Rof"})
    assert str(both) == "order 1: cche\n\norder 2: Rof"
    assert both._repr_html_().count("<strong>") == 2
