"""tinygpt.generate: what is drawn, how often, and when it ends."""

import pytest
import torch

from tinygpt.generate import generate
from tinygpt.model import GPT, ModelError, preset

V, CONTEXT = 7, 12


def model(seed=0, **changes):
    """Random weights large enough to have opinions."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": V, "context": CONTEXT, "num_layers": 2, "num_heads": 2, "d_model": 16}
    made = GPT(preset("modern", **sizes | changes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def prompts(batch=3, length=4):
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_returns_the_new_ids_alone():
    new = generate(model(), prompts(), 5, generator=seeded())
    assert new.shape == (3, 5)
    assert new.dtype == torch.int64
    assert generate(model(), prompts(), 0).shape == (3, 0)


@pytest.mark.parametrize("new", [8, 20], ids=["within the context", "past it"])
@pytest.mark.parametrize("length", [1, 4, CONTEXT, CONTEXT + 3])
def test_at_temperature_0_each_token_is_the_most_probable_after_those_before_it(new, length):
    gpt, text = model(), prompts(length=length)
    made = generate(gpt, text, new, temperature=0)
    for t in range(new):
        with torch.no_grad():
            best = gpt(text[:, -CONTEXT:])[:, -1].argmax(-1)  # no cache
        assert made[:, t].tolist() == best.tolist()
        text = torch.cat([text, best[:, None]], dim=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature):
    gpt, text, draws = model(), prompts(1), 20_000
    drawn = generate(gpt, text.expand(draws, -1), 1, temperature=temperature, generator=seeded())
    with torch.no_grad():
        expected = (gpt(text)[0, -1] / temperature).softmax(-1)
    counts = drawn.flatten().bincount(minlength=V)
    off = (counts / draws - expected).abs() / (expected * (1 - expected) / draws).sqrt()
    assert off.max() < 4  # standard errors


def test_the_lowest_temperatures_take_the_most_probable_token():
    greedy = generate(model(), prompts(), 6, temperature=0)
    assert torch.equal(generate(model(), prompts(), 6, temperature=1e-300), greedy)


def test_the_same_generator_gives_the_same_text_and_another_another():
    first, same, other = (
        generate(model(), prompts(), 20, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_each_text_of_a_batch_goes_on_as_it_would_alone():
    batch = generate(model(), prompts(), 6, temperature=0)
    alone = [generate(model(), prompt[None], 6, temperature=0) for prompt in prompts()]
    assert torch.equal(batch, torch.cat(alone))


def test_a_text_ends_at_the_stop_and_is_filled_with_it_while_others_go_on():
    free = generate(model(), prompts(8), 9, generator=seeded())
    stop = int(free[0, 2])
    made = generate(model(), prompts(8), 9, generator=seeded(), stop=stop)
    for row, unstopped in zip(made.tolist(), free.tolist(), strict=True):
        end = row.index(stop) if stop in row else len(row)
        assert row[:end] == unstopped[:end]
        assert set(row[end:]) <= {stop}


def test_it_ends_when_every_text_has_ended():
    greedy = generate(model(), prompts(1), 9, temperature=0)
    stop = int(greedy[0, 2])
    end = greedy[0].tolist().index(stop)
    made = generate(model(), prompts(1), 9, temperature=0, stop=stop)
    assert made.tolist() == greedy[:, : end + 1].tolist()


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_as_before_afterwards(training):
    gpt = model(dropout=0.5).train(training)
    texts = [generate(gpt, prompts(), 6, temperature=0) for _ in range(2)]
    assert torch.equal(*texts)
    assert gpt.training is training


def test_tokens_are_those_that_torch_multinomial_draws():
    gpt, text, mine, torchs = model(), prompts(), seeded(), seeded()
    made = generate(gpt, text, 8, generator=mine)
    for t in range(8):
        with torch.no_grad():
            chances = gpt(text)[:, -1].softmax(-1)
        drawn = torch.multinomial(chances, 1, generator=torchs)
        assert made[:, t].tolist() == drawn[:, 0].tolist()
        text = torch.cat([text, drawn], dim=1)


def test_hooks_see_every_step():
    gpt, seen = model(), []
    gpt.blocks[1].mlp.up.register_forward_hook(lambda _, inputs, output: seen.append(output.shape))
    with_hook = generate(gpt, prompts(), 5, temperature=0)
    assert [shape[1] for shape in seen] == [4, 1, 1, 1, 1]
    assert torch.equal(with_hook, generate(model(), prompts(), 5, temperature=0))


def test_weights_that_are_not_numbers_are_reported():
    gpt = model()
    with torch.no_grad():
        gpt.blocks[0].mlp.up.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="logits are not numbers: are its weights"):
        generate(gpt, prompts(), 3)


def test_what_it_made_can_be_trained_on():
    gpt = model()
    gpt(generate(gpt, prompts(), 5)).sum().backward()
    assert gpt.embedding.weight.grad.any()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"causal": False}, {}, "this one is not causal"),
        ({"cross_attention": True}, {}, "this one looks at an encoder's states"),
        ({}, {"ids": [1, 2]}, r"torch.tensor\(\[tokenizer.encode\(text\)\]\)"),
        ({}, {"ids": prompts()[0]}, r"of shape \(batch, positions\)"),
        ({}, {"ids": prompts()[:, :0]}, "a token or more in each row"),
        ({}, {"ids": prompts() + V}, "vocab_size is 7: were they made by another tokenizer"),
        ({}, {"ids": prompts().float()}, "ids has dtype torch.float32"),
        ({}, {"max_new_tokens": -1}, "max_new_tokens is -1: give a whole number, 0 or more"),
        ({}, {"temperature": -1.0}, "temperature is -1.0: give a number, 0 or more"),
        ({}, {"temperature": float("nan")}, "temperature is nan"),
        ({}, {"stop": V}, "stop is 7, but vocab_size is 7"),
    ],
)
def test_a_mistake_is_named_in_one_line(changes, arguments, message):
    with pytest.raises(ModelError, match=message) as error:
        generate(model(**changes), **{"ids": prompts(), "max_new_tokens": 3} | arguments)
    assert "\n" not in str(error.value)
