"""tinygpt.mlp: the window, the network, its training and its evaluation."""

import math

import pytest
import torch

from tinygpt.mlp import MLP, MLPConfig, MLPError, bits_per_char, fit, log_probs, windows

V, N = 11, 3
PAD = 0


def small(seed=0, **sizes):
    torch.manual_seed(seed)
    return MLP(MLPConfig(**{"vocab_size": V, "context": N, "d_model": 8, "hidden": 32} | sizes))


def trained():
    """A model with opinions, and the text that it has learned by heart."""
    model, ids = small(), torch.randint(V, (40,), generator=torch.Generator().manual_seed(3))
    losses = fit(model, ids, PAD, steps=300, batch_size=40)
    return model, ids, losses


def test_each_window_ends_in_its_target_and_holds_the_tokens_before_it():
    rows = windows([5, 6, 7, 8], context=2, pad_id=9)
    assert rows.tolist() == [[9, 9, 5], [9, 5, 6], [5, 6, 7], [6, 7, 8]]


def test_logits_have_one_row_a_window_and_one_column_a_token():
    assert small()(torch.zeros(4, N, dtype=torch.long)).shape == (4, V)


def test_the_number_of_parameters_is_that_of_the_formula():
    d, hidden = 8, 32
    expected = V * d + (N * d * hidden + hidden) + (hidden * d + d) + (d * V + V)
    assert sum(p.numel() for p in small().parameters()) == expected


def test_before_training_the_loss_is_that_of_a_uniform_guess():
    nats = -log_probs(small(), [1, 2, 3, 4], PAD)
    assert torch.allclose(nats, torch.full((4,), math.log(V)))


def test_probabilities_sum_to_one():
    model, ids, _ = trained()
    probs = model(windows(ids, N, PAD)[:, :-1]).softmax(-1)
    assert torch.allclose(probs.sum(-1), torch.ones(len(ids)))


def test_no_token_sees_itself_or_the_future():
    model, ids, _ = trained()
    changed = ids.clone()
    changed[20:] = (changed[20:] + 1) % V
    logits, others = (model(windows(text, N, PAD)[:, :-1]) for text in (ids, changed))
    assert torch.equal(logits[:21], others[:21])  # the logits for token 20 see tokens 17 to 19
    assert not torch.equal(logits[21], others[21])


def test_no_token_is_seen_beyond_the_context():
    model, ids, _ = trained()
    changed = ids.clone()
    changed[10] = (changed[10] + 1) % V
    moved = (log_probs(model, ids, PAD) != log_probs(model, changed, PAD)).nonzero().flatten()
    assert moved.tolist() == [10, 11, 12, 13]  # as a target, then in N contexts


def test_it_learns_a_small_text_by_heart():
    model, ids, losses = trained()
    assert losses[0] == pytest.approx(math.log(V), abs=1e-5)
    assert losses[-1] < 0.1
    assert bits_per_char(model, ids, len(ids), PAD) < 0.15


def test_training_with_the_same_seed_gives_the_same_model():
    assert trained()[2] == trained()[2]


def test_bits_per_char_counts_characters_and_not_tokens():
    ids = [1, 2, 3, 4, 5]
    assert bits_per_char(small(), ids, 20, PAD) == pytest.approx(5 * math.log2(V) / 20)


def test_evaluation_in_chunks_equals_evaluation_at_once(monkeypatch):
    model, ids, _ = trained()
    whole = log_probs(model, ids, PAD)
    monkeypatch.setattr("tinygpt.mlp.CHUNK", 7)
    assert torch.allclose(log_probs(model, ids, PAD), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["vocab_size", "context", "d_model", "hidden"])
@pytest.mark.parametrize("value", [0, 2.5])
def test_a_wrong_size_is_named_in_one_line(name, value):
    with pytest.raises(MLPError) as error:
        small(**{name: value})
    message = f"{name} is {value}: give a whole number, 1 or more."
    assert str(error.value) == message
    assert error.value._render_traceback_() == [message]


def test_a_wrong_context_says_what_the_model_takes():
    with pytest.raises(MLPError, match=r"ids has shape \(2, 4\): this model takes \(batch, 3\)"):
        small()(torch.zeros(2, N + 1, dtype=torch.long))


@pytest.mark.parametrize("ids", [[], [[1, 2], [3, 4]]])
def test_windows_want_one_text_that_is_not_empty(ids):
    with pytest.raises(MLPError, match="give the ids of one text"):
        windows(ids, N, PAD)


def test_a_text_of_no_characters_has_no_bits_a_character():
    with pytest.raises(MLPError, match="num_chars is 0"):
        bits_per_char(small(), [1], 0, PAD)
