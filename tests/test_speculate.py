"""tinygpt.speculate: the texts of the large model, as often as it writes them itself."""

import itertools
import math

import pytest
import torch

from tinygpt import records, speculate
from tinygpt.decode import Decoder
from tinygpt.generate import generate
from tinygpt.model import GPT, ModelError, preset
from tinygpt.speculate import speculative, verdict


def model(seed=0, std=0.5, name="modern", **changes):
    """Random weights, large enough to have opinions."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": 9, "context": 40, "num_layers": 2, "num_heads": 2, "d_model": 16}
    made = GPT(preset(name, **sizes | changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=std)
    return made


def prompt(length=3):
    return torch.randint(2, (1, length), generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def near(gpt, seed=5, std=0.1):
    """A draft that often agrees with it."""
    draft = model(**{key: getattr(gpt.config, key) for key in ("vocab_size", "num_layers")})
    draft.load_state_dict(gpt.state_dict())
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in draft.parameters():
            parameter.add_(std * torch.randn_like(parameter))
    return draft


# Exactly


def test_a_token_drafted_and_judged_has_the_models_chance_exactly():
    generator = torch.Generator().manual_seed(0)
    for sharp in (0.5, 3.0, 30.0):
        logits = sharp * torch.randn(2, 40, 6, generator=generator, dtype=torch.float64)
        logits[:, :, 0] = -math.inf  # dropped by both; and by one alone:
        logits[0, ::2, 1], logits[1, 1::2, 2] = -math.inf, -math.inf
        p, q = logits.softmax(-1)
        for one, other in zip(p, q, strict=True):
            made = torch.zeros(6, dtype=torch.float64)
            for x in torch.arange(6)[other > 0]:
                pair = [torch.stack(two) for two in ((one, one), (other, torch.zeros(6).double()))]
                taken, rest = verdict(*pair, x[None])
                made[x] += other[x] * taken[0]
                made += other[x] * (1 - taken[0]) * rest[0]
                assert torch.allclose(rest[1], one, atol=1e-15, rtol=0)
            assert torch.allclose(made, one, atol=1e-14, rtol=0)


def every_outcome(monkeypatch, run):
    """Each result of run() as a tuple, with its chance: all that `draw` may give is tried."""
    script = []  # [chances, the choice made there]
    place = [0]

    def draw(chances, generator):
        picked = []
        for row in chances:
            if place[0] == len(script):
                script.append([row.double() / row.double().sum(), int((row > 0).int().argmax())])
            picked.append(script[place[0]][1])
            place[0] += 1
        return torch.tensor(picked, dtype=torch.long)

    monkeypatch.setattr(speculate, "draw", draw)
    found = {}
    while True:
        place[0] = 0
        result = tuple(run())
        chance = math.prod(float(chances[choice]) for chances, choice in script)
        found[result] = found.get(result, 0.0) + chance
        while script:  # the next choice at the last place that has one
            chances, choice = script.pop()
            more = [i for i in range(choice + 1, len(chances)) if chances[i] > 0]
            if more:
                script.append([chances, more[0]])
                break
        else:
            return found


def expected(gpt, text, new, decoder, stop=None):
    """The chance of each text by the model alone."""
    found = {}
    for tail in itertools.product(range(gpt.config.vocab_size), repeat=new):
        chance, ids = 1.0, text
        for i, token in enumerate(tail):
            with torch.no_grad():
                chances = decoder(gpt(ids)[:, -1], ids).softmax(-1)[0].double()
            chance *= float(chances[token] / chances.sum())
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
            if token == stop:
                tail = tail[: i + 1]
                break
        if chance and tail not in found:
            found[tail] = chance
    return found


@pytest.mark.parametrize(
    ("vocab_size", "k", "new", "decoding", "stop"),
    [
        (2, 1, 3, {}, None),
        (2, 2, 3, {}, None),
        (2, 3, 4, {}, None),
        (3, 1, 3, {}, None),
        (3, 2, 2, {"temperature": 0.6}, None),
        (3, 1, 3, {"top_k": 2}, None),
        (3, 1, 3, {"top_p": 0.8}, None),
        (3, 2, 2, {"repetition_penalty": 3.0}, None),
        (2, 2, 4, {}, 1),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"copy_head": True}, {"ngram_rows": 20}], ids=str)
def test_every_text_has_the_chance_that_the_model_alone_gives_it(
    vocab_size, k, new, decoding, stop, changes, monkeypatch
):
    """All that may be drawn is drawn, each text's chances added up."""
    gpt = model(vocab_size=vocab_size, **changes)
    draft = model(1, vocab_size=vocab_size, num_layers=1)
    text = prompt()
    found = every_outcome(
        monkeypatch,
        lambda: speculative(draft, gpt, text, new, k, stop=stop, **decoding).ids[0].tolist(),
    )
    truth = expected(gpt, text, new, Decoder(**decoding), stop)
    assert set(found) == set(truth) and len(truth) > 1
    assert sum(found.values()) == pytest.approx(1, abs=1e-6)
    for tail, chance in truth.items():
        assert found[tail] == pytest.approx(chance, abs=1e-6), tail


# By counting


def test_the_texts_drawn_are_as_frequent_as_the_models_own():
    gpt = model(vocab_size=3)
    draft, runs, new = near(gpt), 1500, 3
    truth = expected(gpt, prompt(), new, Decoder())
    generator, counts = seeded(), dict.fromkeys(truth, 0)
    accepted = drafted = 0
    for _ in range(runs):
        made = speculative(draft, gpt, prompt(), new, 2, generator=generator)
        counts[tuple(made.ids[0].tolist())] += 1
        accepted, drafted = accepted + made.accepted, drafted + made.drafted
    off = sum((counts[text] - runs * p) ** 2 / (runs * p) for text, p in truth.items())
    degrees = len(truth) - 1
    assert off < degrees + 5 * math.sqrt(2 * degrees)  # five standard deviations
    assert 0.3 < accepted / drafted < 1


# At temperature 0, and its counts


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"copy_head": True},
        {"ngram_rows": 30},
        {"name": "gpt2"},
        {"positions": "none", "num_kv_heads": 1},
    ],
    ids=str,
)
def test_at_temperature_0_the_text_is_that_of_generate(k, changes):
    gpt = model(**changes)
    for draft in (model(1, num_layers=1), near(model()), gpt):
        made = speculative(draft, gpt, prompt(), 30, k, temperature=0)
        assert torch.equal(made.ids, generate(gpt, prompt(), 30, temperature=0))
        assert 0 <= made.accepted <= made.drafted
        if draft is gpt:
            assert made.accepted == made.drafted


def test_a_model_that_drafts_for_itself_is_called_once_for_k_and_one_more():
    gpt, calls = model(), []
    gpt.register_forward_hook(lambda _, inputs, output: calls.append(output.shape[1]))
    made = speculative(gpt, gpt, prompt(), 15, 4, temperature=0)
    assert (made.accepted, made.drafted) == (12, 12)
    reads = [rows for rows in calls if rows > 1]
    assert len(reads) == 3 and len(calls) - 3 == 12


def test_a_draft_that_is_never_right_costs_its_work_alone():
    gpt = model()
    draft = model()
    greedy = generate(gpt, prompt(), 12, temperature=0)[0].tolist()
    other = next(token for token in range(9) if token not in greedy)
    draft.register_forward_hook(lambda _, inputs, y: torch.eye(9)[other].expand_as(y) * 50)
    made = speculative(draft, gpt, prompt(), 12, 3, temperature=0)
    assert made.ids[0].tolist() == greedy and made.accepted == 0
    assert made.drafted == 9 * 3 + 2 + 1


@pytest.mark.parametrize("draft", ["one-block", "gpt"])
def test_recorded_models_draft_for_one_another(draft):
    gpt, small = records.load("story-base")[0], records.load(draft)[0]
    text = torch.tensor([[198, 300, 7]])
    made = speculative(small, gpt, text, 120, 4, temperature=0)
    assert torch.equal(made.ids, generate(gpt, text, 120, temperature=0))
    assert made.accepted > 0


def test_a_text_ends_at_a_stop_wherever_it_stands_in_a_draft():
    gpt = model()
    greedy = generate(gpt, prompt(), 20, temperature=0)[0].tolist()
    for stop in set(greedy):
        for k in (1, 2, 5):
            made = speculative(gpt, gpt, prompt(), 20, k, temperature=0, stop=[stop])
            assert made.ids[0].tolist() == greedy[: greedy.index(stop) + 1]


def test_nothing_is_asked_for():
    made = speculative(model(), model(), prompt(), 0)
    assert made.ids.shape == (1, 0) and (made.accepted, made.drafted) == (0, 0)


def test_modes_are_as_before_afterwards():
    gpt, draft = model().train(), model(1)
    speculative(draft, gpt, prompt(), 5)
    assert gpt.training and not draft.training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": torch.zeros(2, 3).long()}, "ids holds 2 prompts: speculative continues one"),
        ({"k": 0}, "k is 0: give a whole number, 1 or more"),
        ({"max_new_tokens": 38}, "3 tokens, which with 38 more is beyond the context of 40"),
        ({"draft": model(vocab_size=8)}, "The draft has 8 tokens and the model 9"),
        ({"draft": model(causal=False)}, "this one is not causal"),
        ({"top_p": 0}, "top_p is 0"),
        ({"stop": 9}, "stop is 9, but vocab_size is 9"),
    ],
    ids=str,
)
def test_a_mistake_is_named_in_one_line(arguments, message):
    given = {"draft": model(), "model": model(), "ids": prompt(), "max_new_tokens": 3} | arguments
    with pytest.raises(ModelError, match=message) as error:
        speculative(**given)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_numbers_are_reported():
    gpt = model()
    with torch.no_grad():
        gpt.blocks[0].mlp.up.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="logits are not numbers"):
        speculative(model(1), gpt, prompt(), 3)
