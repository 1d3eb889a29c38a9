"""The recorded run of the page "What it costs": that what is timed is what it says."""

from itertools import islice
from types import SimpleNamespace

import pytest
import torch

import storyland
from tinygpt.config import configure
from tinygpt.model import GPT, preset
from tinygpt.model.int4 import nearest, stands_for
from tools.records import cost

SIZES = {"vocab_size": 90, "context": 60, "num_layers": 2, "num_heads": 2, "d_model": 32}


def test_a_round_times_everything_once_and_the_first_round_does_not_count(monkeypatch):
    clock, called = [0.0], []

    def work(name, seconds):
        def do():
            called.append(name)
            clock[0] += seconds if called.count(name) > 1 else 100 * seconds

        return do

    monkeypatch.setattr(cost.time, "process_time", lambda: clock[0])
    found = cost.medians({"slow": work("slow", 0.5), "fast": work("fast", 0.25)}, rounds=3)
    assert found == {"slow": 500.0, "fast": 250.0}
    assert called == ["slow", "fast"] * 4


def test_a_pass_reads_so_many_tokens_after_so_many_each_time():
    seen = []
    model = GPT(preset("gpt2", **SIZES)).eval()
    model.register_forward_pre_hook(
        lambda _, x, more: seen.append((*x[0].shape, more["cache"].length)), with_kwargs=True
    )
    with torch.no_grad():
        work = cost.reading(model, 3, 10, 2)
        assert seen == [(2, 10, 0)]
        work(), work()
    assert seen[1:] == [(2, 3, 10)] * 2


def test_pytorchs_kernel_for_four_bits_takes_what_our_places_stand_for():
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    width, packed, about = cost.kernel(weight)
    x = torch.randn(1, width).bfloat16()
    product = torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, cost.GROUP, about)
    ours = x.float() @ stands_for(*nearest(weight, cost.GROUP), cost.GROUP).T
    assert torch.allclose(product.float(), ours, atol=0.02 * ours.abs().max().item())


def test_a_kernel_that_gives_another_product_is_noticed(monkeypatch):
    monkeypatch.setattr(cost, "unpack", lambda packed: torch.zeros(48, 64))
    with pytest.raises(ValueError, match="another product"):
        cost.kernel(torch.randn(48, 64))


def test_the_most_that_is_held_at_once_is_not_all_that_is_taken():
    def work():
        for _ in range(3):
            torch.empty(250_000).zero_()  # a megabyte, given back each time

    assert cost.allocated(work) == 1_000_000


@pytest.mark.parametrize("name", ["smoke", "story-laptop"])
def test_steps_and_the_most_they_hold_are_measured(name, monkeypatch):
    monkeypatch.setattr(cost, "STEPS", 2)
    config = configure(name, batch_size=4)
    assert cost.steps_of(config) > 0
    assert 0.9 < cost.peak_of(config) / cost.plan.peak(cost.plan.memory(*cost.memory_of(config)))


def test_fresh_stories_to_calibrate_on_change_with_the_draw_and_are_not_held_out():
    reader = cost.tokenizer()
    one, other = (cost.shown(reader, seed) for seed in (0, 1))
    assert one.shape == (cost.SHOWN, 224) and not torch.equal(one, other)
    drawn = {s.text for seed in (0, 1) for s in islice(storyland.stories(cost.SEED + seed), 24)}
    assert not drawn & {story.text for story in storyland.held_out_stories()}


def test_windows_are_drawn_without_repeats_and_know_their_characters(monkeypatch):
    monkeypatch.setattr(cost, "WINDOW", 4)
    letters = SimpleNamespace(encode=lambda text: list(map(ord, text)), decode=lambda ids: "x" * 3)
    text = "".join(chr(100 + i) for i in range(40))
    found = cost.windows(SimpleNamespace(tokenizer=letters), text, 10)
    assert sorted(ids[0] for ids, _ in found) == list(range(100, 140, 4))
    assert {len(ids) for ids, _ in found} == {4} and {length for _, length in found} == {3}


def test_bits_of_stories_are_those_of_their_tokens():
    reader = cost.tokenizer()
    model = GPT(preset("modern", **SIZES | {"vocab_size": 1536, "context": 224})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    story = next(storyland.stories(1)).text
    (bits,) = cost.bits_of(model, cost.data.texts([story], reader))
    assert bits == pytest.approx(len(reader.encode(story)) * torch.tensor(1536.0).log2().item())
