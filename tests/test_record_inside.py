"""The recorded run of the page "Interpretability": rows, patches, texts and probes."""

from itertools import islice

import pytest
import torch

import storyland
from tinygpt.model.hooks import watch
from tools.records import inside


@pytest.fixture
def model():
    model = inside.new_model(3).eval()
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def some(count):
    return list(islice(inside.hidings(8), count))


def test_a_corrupted_row_lacks_the_first_a_and_nothing_else():
    clean, corrupted, b = inside.pairs(1, 50, 12)
    differ = clean != corrupted
    assert differ.sum(1).eq(1).all() and differ[:, inside.CUT].all()
    assert torch.equal(clean[:, -1], clean[:, inside.CUT])
    assert torch.equal(b, clean[:, inside.CUT + 1])
    assert not (corrupted[:, :12] == clean[:, -1:]).any()


def test_batches_say_the_same_again():
    for step in range(5):
        rows = inside.repeats(0)(step)
        assert rows.shape == (inside.BATCH, inside.LENGTH + 1)
        assert any(torch.equal(rows[:, p:], rows[:, :-p]) for p in range(8, 25))


def test_scores_are_means_of_the_weights(model):
    rows = inside.twice(1, 3, 6)
    with torch.no_grad(), watch(model, read=["weights.1"]) as seen:
        model(rows)
    weights = seen["weights.1"][:, 1]
    before = torch.stack([weights[:, t, t - 1] for t in range(1, 12)]).mean()
    followed = torch.stack([weights[:, t, t - 5] for t in range(6, 12)]).mean()
    found = inside.scores(model, rows)
    assert torch.allclose(found["previous"][1, 1], before)
    assert torch.allclose(found["induction"][1, 1], followed)


def test_all_heads_of_both_blocks_bring_everything_back(model):
    clean, corrupted, b = inside.pairs(1, 20, 12)
    seen = inside.outputs(model, clean)
    last = inside.put([(1, 0), (1, 1)], seen, -1)
    assert inside.last_log_prob(model, corrupted, b, last).shape == (20,)
    assert torch.equal(
        inside.last_log_prob(model, clean, b, inside.put(inside.all_heads(model), seen)),
        inside.last_log_prob(model, clean, b),
    )


def test_a_head_that_is_put_is_the_only_one(model):
    clean, corrupted, _ = inside.pairs(1, 5, 12)
    seen, own = inside.outputs(model, clean), inside.outputs(model, corrupted)
    with torch.no_grad(), watch(model, ["heads.0"], inside.put([(0, 1)], seen)) as now:
        model(corrupted)
    assert torch.equal(now["heads.0"][:, :, 1], seen["heads.0"][:, :, 1])
    assert torch.equal(now["heads.0"][:, :, 0], own["heads.0"][:, :, 0])


def test_a_mean_is_that_of_the_batch():
    x = torch.arange(24.0).view(2, 3, 2, 2)
    found = inside.means({"heads.0": x})["heads.0"]
    assert torch.equal(found[0], x.mean(0)) and torch.equal(found[1], x.mean(0))


def test_drawn_heads_are_of_the_same_blocks_and_none_that_was_chosen():
    torch.manual_seed(0)
    found = {name: torch.rand(30, 9).tolist() for name in ("induction", "previous")}
    sets = inside.head_sets(found)
    chosen = set(sets["induction"]) | set(sets["previous"])
    assert len(sets["induction"]) == inside.TOP
    for drawn in sets["same blocks"]:
        assert not chosen & set(drawn)
        assert sorted(b for b, _ in drawn) == sorted(b for b, _ in sets["induction"])
    assert all(len(drawn) == inside.TOP for drawn in sets["anywhere"])


def test_the_texts_of_a_hiding_differ_in_one_place():
    for one in some(30):
        for name, old in (("elsewhere", "answer"), ("decoy", "other")):
            both = zip(one["told"].split(), one[name].split(), strict=True)
            ((was, now),) = [pair for pair in both if pair[0] != pair[1]]
            assert was.strip(".,") == one[old] and now.strip(".,") == one["third"]


def test_told_and_twin_end_alike_and_are_stories_where_nothing_was_exchanged():
    oracle = storyland.Oracle()
    for one in some(12):
        assert one["told"].split()[-6:] == one["twin"].split()[-6:]
        saw = [name for name in ("told", "twin") if "saw it all" in one[name]]
        assert len(saw) == 1
        expected = oracle.next_word(one[saw[0]])
        place = one["answer"] if saw == ["told"] else one["other"]
        assert expected[place] == pytest.approx(1)


def test_a_probe_finds_what_is_linear_and_not_what_is_drawn():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(600, 20, generator=rng)
    y = (x[:, 3] > 0).long()
    weights = inside.probe(x[:400], y[:400])
    assert (inside.says(weights, x[400:]) == y[400:]).float().mean() > 0.9
    lot = torch.randint(2, (600,), generator=rng)
    weights = inside.probe(x[:400], lot[:400])
    assert (inside.says(weights, x[400:]) == lot[400:]).float().mean() < 0.65


def test_a_lot_gives_each_name_one_label():
    stories = list(islice(storyland.stories(1), 200))
    for task in inside.TASKS:
        found = inside.labels(stories, task, lot=1)
        by_name = {}
        for story, label in zip(stories, found.tolist(), strict=True):
            assert by_name.setdefault(story.facts["hero"], label) == label
        assert len(set(by_name.values())) > 1
