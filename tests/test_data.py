"""tinygpt.data: streams, texts on the disk, and which rows a step trains on."""

import threading

import pytest
import torch

from tinygpt import data
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

LINES = [f"text {i} of seven\n" for i in range(7)]
READER = CharTokenizer.train("".join(LINES))
TEXTS = data.texts(LINES, READER)


def drawn(draws, steps, world=1):
    return torch.cat([draws(step, rank, world) for step in range(steps) for rank in range(world)])


def test_a_stream_is_windows_that_predict_each_token_but_the_first_once():
    text = "".join(LINES)
    stream = data.stream(text, READER, context=10)
    assert stream.starts.tolist() == list(range(0, len(text) - 1, 10))
    assert stream.num_chars == len(text) - 1
    assert READER.decode(stream.rows(torch.tensor([1]), 11)[0].tolist()) == text[10:21]


def test_a_text_shorter_than_the_context_makes_no_stream():
    with pytest.raises(ValueError, match="the text has 3 tokens and the context is 3: give a lon"):
        data.stream("xte", READER, context=3)


@pytest.mark.parametrize("context", [3, 30])
def test_the_first_texts_and_their_characters(context):
    reader = BPETokenizer.train("".join(LINES), 270)
    first = data.texts(LINES, reader).first(2, reader)
    assert len(first) == 2 and first.num_chars == len(LINES[0] + LINES[1])
    assert reader.decode(first.ids.tolist()) == "\n" + LINES[0] + LINES[1]
    assert data.texts(LINES, reader).first(99, reader).num_chars == len("".join(LINES))


@pytest.mark.parametrize(("large", "dtype"), [(0, torch.uint16), (2**16, torch.uint32)])
def test_texts_come_back_from_the_disk_in_as_few_bytes_as_they_need(tmp_path, large, dtype):
    ids = torch.cat([TEXTS.ids, torch.tensor([large])])
    texts = data.Texts(ids, TEXTS.starts, TEXTS.num_chars)
    data.save(tmp_path / "texts.safetensors", texts)
    found = data.load(tmp_path / "texts.safetensors")
    assert found.ids.dtype == dtype and found.num_chars == texts.num_chars
    which = torch.tensor([6, 0, 3])
    assert torch.equal(found.rows(which, 40), texts.rows(which, 40))


def test_each_text_is_drawn_once_before_any_is_drawn_again():
    draws = data.Draws(TEXTS, length=7, batch_size=7, seed=1)
    first, second = draws(0), draws(1)
    numbers = [sorted(READER.decode(row.tolist())[6] for row in rows) for rows in (first, second)]
    assert numbers == [list("0123456"), list("0123456")]
    assert not torch.equal(first, second)


def test_a_draw_is_a_function_of_seed_and_step():
    first, again, other = (data.Draws(TEXTS, 7, 3, seed) for seed in (1, 1, 2))
    assert torch.equal(first(5), again(5))
    assert not torch.equal(drawn(first, 3), drawn(other, 3))


def test_processes_together_draw_the_rows_of_one():
    draws = data.Draws(TEXTS, length=7, batch_size=4)
    assert torch.equal(drawn(draws, 5, world=2), drawn(draws, 5))


def test_windows_of_a_stream_begin_elsewhere_each_time_round():
    stream = data.stream("".join(LINES) * 3, READER, context=10)
    draws = data.Draws(stream, length=11, batch_size=len(stream), shifted=True)
    assert drawn(draws, 1).sort(0).values.ne(drawn(draws, 2)[len(stream) :].sort(0).values).any()


# Rows of one text each

UNLIKE = ["so " * (i % 9) + f"ends text {i}\n" for i in range(23)]
STORIES = data.texts(UNLIKE, CharTokenizer.train("".join(UNLIKE)))


def alone(length=1000, batch_size=3, seed=0):
    return data.Draws(STORIES, length, batch_size, seed, alone=True)


def texts_of(rows):
    """The ids of each row without its padding, which must be at its end."""
    counts = (rows >= 0).sum(dim=1)
    for row, count in zip(rows, counts, strict=True):
        assert (row[count:] < 0).all()
    return [tuple(row[:count].tolist()) for row, count in zip(rows, counts, strict=True)]


ROWS = {tuple(STORIES.rows(torch.tensor([i]), len(UNLIKE[i]) + 1)[0].tolist()) for i in range(23)}


def test_a_row_that_is_alone_is_one_text_and_padding():
    draws = alone()
    for step in range(14):
        rows = draws(step)
        assert set(texts_of(rows)) <= ROWS
        assert (rows[:, -1] >= 0).any()  # no longer than its longest
        assert draws.tokens(step) == (rows[:, 1:] >= 0).sum()


def test_texts_that_are_too_long_for_a_row_are_cut():
    draws = alone(length=5)
    assert draws(0).shape == (3, 5) and draws.tokens(0) == 12 and (draws(0) >= 0).all()


def test_texts_that_are_alone_come_once_a_round_in_an_order_of_seed_and_step():
    rounds = [
        [text for s in range(r * 11, r * 11 + 11) for text in texts_of(alone(batch_size=2)(s))]
        for r in (0, 1)
    ]
    assert [len(set(one)) for one in rounds] == [22, 22] and rounds[0] != rounds[1]
    first, again, other = (alone(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first(9), again(9))
    assert [texts_of(first(s)) for s in range(7)] != [texts_of(other(s)) for s in range(7)]


def test_processes_together_draw_the_texts_of_one():
    draws = alone(batch_size=4)
    for step in range(11):
        both = [text for rank in (0, 1) for text in texts_of(draws(step, rank, 2))]
        assert sorted(both) == sorted(texts_of(draws(step)))


def test_texts_of_a_like_length_make_a_batch():
    lines = ["a" * (n % 64 + 1) + "\n" for n in range(0, 64 * 7, 7)]
    draws = data.Draws(data.texts(lines, CharTokenizer.train("a\n")), 1000, 4, alone=True)
    rows = [draws(step) for step in range(16)]
    assert sum((one < 0).float().mean().item() for one in rows) / 16 < 0.1
    widths = [one.shape[1] for one in rows]
    assert widths != sorted(widths) and widths != sorted(widths, reverse=True)


def test_fewer_texts_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="there are 23 texts and batch_size is 24: give more"):
        alone(batch_size=24)


def test_many_texts_have_the_ids_that_each_has_by_itself(monkeypatch):
    reader = BPETokenizer.train("".join(UNLIKE), 270)
    monkeypatch.setattr(data, "AT_ONCE", 5)
    for tokenizer in (reader, CharTokenizer.train("".join(UNLIKE))):
        texts, encoded = data.texts(UNLIKE, tokenizer), [tokenizer.encode(line) for line in UNLIKE]
        assert texts.ids.tolist() == tokenizer.encode("\n") + sum(encoded, [])
        assert texts.lengths(torch.arange(23)).tolist() == list(map(len, encoded))
        assert texts.ids.dtype == texts.starts.dtype == torch.int64


# Rows that are made while others are used


def test_rows_made_ahead_are_the_same_rows_and_come_from_another_thread():
    draws, threads = alone(), []

    def make(step):
        threads.append(threading.current_thread())
        return draws(step)

    for rows, expected in zip(data.ahead(make, range(3, 9)), map(draws, range(3, 9)), strict=True):
        assert torch.equal(rows, expected)
    assert len(set(threads)) == 1 and threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()
    assert list(data.ahead(make, range(0))) == []


def test_the_next_rows_are_made_before_they_are_asked_for_and_no_more():
    made = [threading.Event() for _ in range(4)]

    def make(step):
        made[step].set()
        return torch.tensor(step)

    rows = data.ahead(make, range(4))
    assert next(rows) == 0 and made[1].wait(10)
    assert not made[2].is_set()
    rows.close()  # who stops early leaves no thread behind
    assert not made[2].is_set()


def test_rows_that_cannot_be_made_raise_where_they_are_asked_for():
    def make(step):
        if step == 2:
            raise ValueError("no rows")
        return torch.tensor(step)

    rows = data.ahead(make, range(5))
    assert [next(rows), next(rows)] == [0, 1]
    with pytest.raises(ValueError, match="no rows"):
        next(rows)


def test_a_processor_gets_its_rows_as_they_are():
    draws = alone()
    for rows, step in zip(data.onto(torch.device("cpu"), draws, range(3)), range(3), strict=True):
        assert torch.equal(rows, draws(step))


class Pinned(torch.Tensor):
    """Rows that say what was asked of them."""

    def pin_memory(self):
        self.said.append(("pin", threading.current_thread() is threading.main_thread()))
        return self

    def to(self, device, non_blocking):
        self.said.append((device.type, non_blocking))
        return self


def test_a_gpu_gets_pinned_rows_of_a_thread_and_does_not_wait_for_the_copy():
    said = []

    def batch(step):
        rows = torch.tensor([step]).as_subclass(Pinned)
        rows.said = said
        return rows

    assert [int(rows) for rows in data.onto(torch.device("cuda"), batch, range(2))] == [0, 1]
    assert sorted(said) == [("cuda", True)] * 2 + [("pin", False)] * 2
