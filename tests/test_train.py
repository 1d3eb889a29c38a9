"""Texts as rows of ids, training on them, what a trained model scores, and runs with a folder."""

import contextlib
import json
import math
import signal
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import storyland
from tinygpt import checkpoint, corpora, data, optim, parallel, train
from tinygpt.model import GPT, GPTConfig, ModelError, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer
from tinygpt.train import TrainConfig, TrainError

LINES = ["a cat sat\n", "a dog\n", "a cat sat on a dog\n"]
READER = CharTokenizer.train("".join(LINES))
TEXTS = data.texts(LINES, READER)


def model(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": READER.vocab_size, "context": 32, "num_layers": 1, "d_model": 16}
    return GPT(preset("gpt2", **sizes | changes))


def text(ids):
    return READER.decode(ids.tolist())


def test_the_ids_are_the_texts_behind_one_newline():
    assert text(TEXTS.ids) == "\n" + "".join(LINES)
    assert len(TEXTS) == 3
    assert TEXTS.num_chars == sum(map(len, LINES))


def test_a_row_begins_with_the_newline_before_its_text_and_runs_on():
    rows = TEXTS.rows(torch.tensor([1, 0]), 12)
    assert [text(row) for row in rows] == ["\na dog\na cat", "\na cat sat\na"]


def test_the_last_text_runs_on_into_the_first():
    (row,) = TEXTS.rows(torch.tensor([2]), 26)
    assert text(row) == "\n" + LINES[2] + "\n" + LINES[0][:5]


def test_a_text_without_its_newline_is_refused_by_number():
    with pytest.raises(ValueError, match="text 1 ends in 'g': a text must end in a newline"):
        data.texts(["a cat\n", "a dog"], READER)


def test_log_probs_are_those_of_each_text_read_alone():
    untrained = model()
    found = train.log_probs(untrained, TEXTS)
    for line, nats in zip(LINES, found, strict=True):
        ids = torch.tensor([READER.encode("\n" + line)])
        alone = -F.cross_entropy(untrained(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        torch.testing.assert_close(nats, alone, rtol=0, atol=1e-5)


def test_bits_per_char_divides_by_characters_and_not_by_tokens():
    reader = BPETokenizer.train("".join(LINES), 262)
    texts = data.texts(LINES, reader)
    assert len(texts.ids) - 1 < texts.num_chars
    untrained = model(vocab_size=reader.vocab_size)
    nats = -sum(one.sum().item() for one in train.log_probs(untrained, texts))
    expected = nats / math.log(2) / texts.num_chars
    assert train.bits_per_char(untrained, texts) == pytest.approx(expected)


def test_training_learns_the_texts_by_heart():
    trained = model()
    before = train.bits_per_char(trained, TEXTS)
    settings = {"context": 20, "steps": 150, "batch_size": 4, "learning_rate": 0.01}
    seen = []
    losses = train.fit(trained, TEXTS, **settings, watch=lambda *a: seen.append(a))
    assert seen == list(enumerate(losses))
    assert before > 3 and train.bits_per_char(trained, TEXTS) < 0.5
    assert not trained.training


def test_the_same_seed_trains_the_same_model():
    settings = {"context": 20, "steps": 5, "batch_size": 4, "learning_rate": 0.01}
    first, second, other = (
        train.fit(model(dropout=0.1), TEXTS, **settings, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_the_pieces_of_a_story_end_where_it_ends():
    story = storyland.held_out_stories()[0]
    reader = BPETokenizer.train(storyland.text(1, 50_000), 400)
    for tokenizer in (reader, CharTokenizer.train(storyland.text(1, 50_000) + story.text)):
        ends = tokenizer.ends(story.text)
        assert len(ends) == len(tokenizer.encode(story.text))
        assert ends == sorted(ends) and ends[-1] == len(story.text)


# The loop


def learned(a_model, optimisers, steps=6, **settings):
    draws = data.Draws(TEXTS, length=21, batch_size=6)
    loss_of = train.NextToken(a_model)
    return list(train.learn(loss_of, optimisers, draws, lambda _: 1.0, steps=steps, **settings))


def test_other_optimisers_and_schedules_take_the_place_of_those_of_fit():
    settings = {"context": 20, "steps": 20, "batch_size": 4, "learning_rate": 0.003}
    plain, same, other = model(), model(), model()
    losses = train.fit(plain, TEXTS, **settings)
    adamw = optim.make(same, "adamw", learning_rate=0.003)
    again = train.fit(
        same, TEXTS, **settings, optimisers=adamw, schedule=lambda s: optim.schedule(s, 20)
    )
    muon = train.fit(other, TEXTS, **settings, optimisers=optim.make(other, "muon"))
    assert losses == again and muon[-1] < losses[-1]


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_a_batch_in_pieces_is_the_batch_at_once(micro_batch):
    whole, pieces = model().double(), model().double()
    rates = {"learning_rate": 0.01}
    at_once = learned(whole, optim.make(whole, "adamw", **rates))
    added = learned(pieces, optim.make(pieces, "adamw", **rates), micro_batch=micro_batch)
    for (_, loss, norm), (_, other, length) in zip(at_once, added, strict=True):
        assert (loss.item(), norm.item()) == pytest.approx((other.item(), length.item()), rel=1e-9)
    for p, q in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)


@pytest.mark.parametrize("copy_head", [False, True], ids=["plain", "copy_head"])
def test_padding_is_not_predicted_and_each_token_counts_as_much(copy_head):
    trained = GPT(replace(model().config, copy_head=copy_head)).double()
    rows = data.Draws(TEXTS, length=33, batch_size=3, alone=True)(0)
    assert (rows < 0).any()
    nats = []
    for row in rows:
        row = row[row >= 0]
        nats += F.cross_entropy(trained(row[None, :-1])[0], row[1:], reduction="none").tolist()
    assert train.NextToken(trained)(rows).item() == pytest.approx(sum(nats) / len(nats), rel=1e-9)


def test_a_padded_batch_in_pieces_is_the_batch_at_once():
    rows = data.Draws(TEXTS, length=33, batch_size=3, alone=True)
    ends = []
    for micro_batch in (None, 1, 2):
        trained = model().double()
        optimisers = optim.make(trained, "adamw", learning_rate=0.01)
        steps = train.learn(
            train.NextToken(trained),
            optimisers,
            rows,
            lambda _: 1.0,
            steps=4,
            micro_batch=micro_batch,
        )
        ends.append([x.item() for step in steps for x in step[1:]])
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert ends[0] == pytest.approx(ends[2], rel=1e-9)


@pytest.mark.parametrize("clip", [0.1, 100.0])
def test_a_gradient_longer_than_clip_is_shortened_to_it(clip):
    trained = model()
    before = [p.detach().clone() for p in trained.parameters()]
    sgd = torch.optim.SGD(trained.parameters(), lr=1.0)
    sgd.param_groups[0]["initial_lr"] = 1.0
    ((_, _, norm),) = learned(trained, [sgd], steps=1, clip=clip)
    moved = math.hypot(
        *((p - q).norm().item() for p, q in zip(trained.parameters(), before, strict=True))
    )
    assert 0.1 < norm < 100
    assert moved == pytest.approx(min(clip, norm.item()), rel=1e-3)


def test_dropout_depends_on_the_step_and_not_on_where_the_run_began():
    first, second = model(dropout=0.2), model(dropout=0.2)
    whole = learned(first, optim.make(first, "adamw"), steps=6)
    optimisers = optim.make(second, "adamw")
    halves = learned(second, optimisers, steps=3)
    torch.rand(99)  # whatever happened between
    halves += learned(second, optimisers, start=3, steps=6)
    assert [loss.item() for _, loss, _ in whole] == [loss.item() for _, loss, _ in halves]


@pytest.mark.parametrize("name", train.PRESETS)
def test_a_step_makes_every_tensor_on_the_device_of_its_model(name, monkeypatch):
    """On a device of which the CPU's tensors know nothing: what a GPU would refuse, it refuses."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # knows none
    config = train.configure(name)
    sizes = {"vocab_size": READER.vocab_size, "context": 16, "num_layers": 2, "d_model": 32}
    tried = GPT(replace(config.model, num_heads=2, **sizes)).to("meta")
    optimisers = optim.make(tried, config.optimiser)
    rows = data.Draws(TEXTS, length=17, batch_size=3, alone=config.rows == "lines")
    settings = {"steps": 1, "place": parallel.Place(torch.device("meta")), "micro_batch": 2}
    ((_, loss, norm),) = train.learn(
        train.NextToken(tried), optimisers, rows, lambda _: 1.0, **settings
    )
    assert loss.device.type == norm.device.type == "meta"
    remembered = [value for one in optimisers for of in one.state.values() for value in of.values()]
    assert {value.device.type for value in remembered if value.ndim} == {"meta"}


def test_a_named_device_is_taken_where_a_faster_one_is_found(monkeypatch):
    faster = torch.device("meta")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: faster)
    assert parallel.find_device() == faster
    assert parallel.find_device("cpu") == torch.device("cpu")


def test_the_page_that_compares_runs_bit_for_bit_names_their_device():
    """By hand on the processor, and by the package on a GPU, they would not be equal."""
    page = Path(__file__).parent.parent / "chapters" / "3-training" / "train-a-gpt.ipynb"
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    runs = [source for source in sources if '"smoke"' in source]
    assert len(runs) == 2
    assert all('device="cpu"' in run or '"--device", "cpu"' in run for run in runs)


# A run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a text to learn from, and a cache of its own."""
    folder = tmp_path_factory.mktemp("place")
    text = storyland.text(1, 20_000)
    (folder / "stories.txt").write_text(text, encoding="utf-8", newline="\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGPT_CACHE", str(folder / "cache"))
        yield folder


def small(place, out, **changes):
    settings = {"corpus": str(place / "stories.txt"), "steps": 30, "every": 10, "device": "cpu"}
    config = train.configure("smoke", out=out, **settings | changes)
    return replace(config, model=replace(config.model, dropout=0.1, d_model=16))


def tensors(folder, name="last"):
    return checkpoint.load(folder / f"{name}.safetensors")


def same(folder, other):
    ours, theirs = tensors(folder)[0], tensors(other)[0]
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def whole(place):
    """A run that nothing interrupted."""
    train.train(small(place, place / "whole"))
    return place / "whole"


def test_a_run_leaves_its_checkpoints_and_its_record(place, whole):
    record = checkpoint.read_json(whole / "record.json")
    assert [point["step"] for point in record["curve"]] == [10, 20, 30]
    assert record["curve"][-1]["valid_bits"] < record["curve"][0]["valid_bits"]
    assert record["training"]["steps"] == 30 and len(record["samples"]) == 3
    trained, tokenizer, config, about = train.load(whole)
    texts = train.prepare(config)
    bits = train.bits_per_char(trained, texts.test)
    assert record["figures"]["bits_per_char"] == pytest.approx(bits, abs=1e-4)
    assert config == small(place, whole) and about["step"] == 30
    text = (place / "stories.txt").read_text(encoding="utf-8")
    assert tokenizer.decode(texts.train.ids[:50].tolist()) == text[:50]


KILLED = """
import os, signal, sys
from pathlib import Path
from tinygpt import data
from tinygpt.train import TrainConfig, train
folder, step = Path(sys.argv[1]), int(sys.argv[2])
draw = data.Draws.__call__
def killed(self, now, *where):
    if now == step:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, now, *where)
data.Draws.__call__ = killed
train(TrainConfig.read(folder / "config.json"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("step", [7, 23])  # before the first checkpoint, after the second
def test_a_run_killed_and_resumed_ends_in_the_same_weights(place, whole, step):
    killed = small(place, place / f"killed-{step}", resume=True)
    checkpoint.write_json(killed.out / "config.json", killed.described())
    done = subprocess.run([sys.executable, "-c", KILLED, killed.out, str(step)], check=False)
    assert done.returncode == -signal.SIGKILL
    if step > 10:
        assert tensors(killed.out)[1]["step"] == step // 10 * 10
    train.train(killed)
    assert same(killed.out, whole)
    curves = [tensors(folder)[1]["curve"] for folder in (killed.out, whole)]
    assert curves[0] == curves[1]


def test_ctrl_c_saves_says_how_to_go_on_and_is_then_itself_again(place, whole):
    config = small(place, place / "stopped", every=7)
    before = signal.getsignal(signal.SIGINT)

    def press(point, model):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="Stopped and saved at step 8: .* --resume goes on"):
        train.train(config, watch=press)
    assert signal.getsignal(signal.SIGINT) == before
    assert tensors(config.out)[1]["step"] == 8
    train.train(replace(config, resume=True))
    assert same(config.out, whole)


def test_a_folder_with_a_run_in_it_is_left_alone(place, whole):
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir()}
    refused(small(place, whole), "whole holds a run already: go on with it by --resume, or give an")
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 31}, "whole was begun with steps 30, not 31: give the same, or another --out"),
        ({"seed": 1}, "begun with seed 0, not 1"),
        ({"model": GPTConfig(vocab_size=7)}, "begun with vocab_size 100, not 7"),
    ],
    ids=str,
)
def test_a_run_goes_on_with_its_own_numbers_only(place, whole, change, message):
    refused(replace(small(place, whole, resume=True), **change), message)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(place, monkeypatch):
    forward, calls = train.NextToken.forward, []

    def broken(self, rows):
        calls.append(len(rows))
        return forward(self, rows) * (math.nan if len(calls) == 17 else 1.0)

    monkeypatch.setattr(train.NextToken, "forward", broken)
    config = small(place, place / "nan")
    refused(config, "not finite at step 17; .*last.safetensors holds an earlier step. Start anew")
    stored, about = tensors(config.out)
    assert about["step"] == 10
    assert all(value.isfinite().all() for value in stored.values())


def test_weights_that_predict_nothing_are_not_saved(place, monkeypatch):
    """The loss of the step was finite; the step itself went astray."""
    config, bits = small(place, place / "astray"), []

    def measured(*_):
        bits.append(math.nan if len(bits) == 1 else 2.0)
        return bits[-1]

    monkeypatch.setattr(train.run, "bits_per_char", measured)
    refused(config, "on the validation text is not finite at step 20; .*last.safetensors holds an")
    assert tensors(config.out)[1]["step"] == 10
    again = small(place, place / "astray again")
    monkeypatch.setattr(train.run, "bits_per_char", lambda *_: math.nan)
    refused(again, "not finite at step 10; nothing was saved. Start anew, with lower")
    monkeypatch.undo()
    train.train(again)  # and the folder is free


@pytest.mark.parametrize(
    ("micro_batch", "message"),
    [
        (None, "cpu has too little memory for 8 rows at once: halve that by --micro-batch 4"),
        (3, "for 3 rows at once: halve that by --micro-batch 1"),
        (1, "for one row: take a smaller model or context"),
    ],
)
def test_too_little_memory_says_which_number_to_halve(place, monkeypatch, micro_batch, message):
    cuda = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    linux = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: ..."
    for error in (cuda, RuntimeError(linux), MemoryError()):
        for where in (train.NextToken, GPT):

            def full(self, *_, error=error, **__):
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(where, "forward", full)
                refused(small(place, place / "full", micro_batch=micro_batch), message)


def test_other_errors_are_not_taken_for_too_little_memory(place, monkeypatch):
    def broken(self, rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(train.NextToken, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        train.train(small(place, place / "broken"))


def test_too_little_memory_after_a_checkpoint_says_how_to_go_on(place, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(train.run, "_record", full)
    for dropout, but in ((0.0, r"\."), (0.1, " but the places that dropout draws")):
        config = small(place, place / f"late-{dropout}")
        config = replace(config, model=replace(config.model, dropout=dropout))
        resumed = "halve that by --micro-batch 4 --resume, which changes nothing else"
        refused(config, resumed + but)


def test_tensorboard_is_told_when_it_is_there(place, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, step))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    stub = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    config = small(place, place / "events", tensorboard=True, steps=10)
    train.train(config)
    assert told[0] == config.out and ("loss", 10) in told
    assert ("valid bits a character", 10) in told
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    refused(replace(config, out=place / "none"), "TensorBoard is not installed: pip install")


def test_texts_longer_than_the_context_are_refused(place):
    message = "The valid part of .*stories.txt: no text has 64 tokens or fewer: raise the context"
    refused(small(place, place / "long", rows="texts"), message)
    assert not (place / "long").exists()


def test_held_out_stories_that_do_not_fit_are_refused_before_the_training(tmp_path):
    """The floor is that of all of them, so none may be left out."""
    config = train.configure("story-laptop", size="50kB", out=tmp_path / "run")
    config = replace(config, model=replace(config.model, vocab_size=400))
    message = r"the floor is of all texts, and \d+ of them do not fit into 224 tokens: raise the"
    with pytest.raises(TrainError, match=message):
        train.text._tokenize(config, tmp_path / "tokens")


def test_a_longer_storyland_has_the_tokenizer_of_a_shorter(monkeypatch, tmp_path):
    monkeypatch.setattr(train.text, "TOKENIZER_TEXT", 20_000)
    monkeypatch.setattr(train.text, "PER_TOKEN", 1)
    config = train.configure("smoke", tokenizer="bpe")
    config = replace(config, model=replace(config.model, vocab_size=300))
    stored = []
    for size in ("20kB", "40kB"):
        train.text._tokenize(replace(config, size=size), tmp_path / size)
        stored.append((tmp_path / size / "tokenizer.json").read_text(encoding="utf-8"))
    assert stored[0] == stored[1]


def test_a_larger_vocabulary_is_learned_from_more_text(monkeypatch, tmp_path):
    """gpt2-small's 50,257 tokens: from all of TinyStories, and not from its first 1 MB."""
    monkeypatch.setattr(train.text, "TOKENIZER_TEXT", 20_000)
    config = train.configure("smoke", tokenizer="bpe", size="200kB")
    sizes = []
    for per_token in (1, 100):
        monkeypatch.setattr(train.text, "PER_TOKEN", per_token)
        asked = replace(config, model=replace(config.model, vocab_size=2_000))
        train.text._tokenize(asked, tmp_path / str(per_token))
        sizes.append(BPETokenizer.load(tmp_path / str(per_token) / "tokenizer.json").vocab_size)
    assert sizes[0] < sizes[1] == 2_000
    gpt2 = train.configure("gpt2-small")
    assert gpt2.model.vocab_size == 50_257
    monkeypatch.undo()
    assert train.text._read(gpt2) > corpora.DOWNLOADS["tinystories"].size


def test_fewer_tokens_than_asked_for_are_told_and_the_model_has_as_many(place, capsys):
    config = small(place, place / "few", tokenizer="bpe", steps=1, every=1)
    config = replace(config, model=replace(config.model, vocab_size=5_000))
    record = train.train(config)
    found = record["model"]["vocab_size"]
    assert 257 < found < 5_000
    told = f"stories.txt has {found:,} tokens to learn, not 5,000: the model has as many"
    assert told in capsys.readouterr().err


# An encoder


def encoder(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "context": 40, "num_layers": 1, "d_model": 16, "num_heads": 2}
    return GPT(preset("bert", **sizes | changes))


def test_an_encoder_is_asked_for_15_of_100_tokens_and_of_ten_shown_the_mask_for_eight():
    seen, bert = [], encoder()
    bert.hidden = lambda ids, keep: seen.append(ids) or torch.zeros(*ids.shape, 16)
    ids = torch.randint(59, (400, 40), generator=torch.Generator().manual_seed(0))
    ids[:, 30:] = -1
    _, targets = train.loop.guesses(bert, ids, torch.Generator().manual_seed(1))
    (shown,), there = seen, ids >= 0
    assert len(targets) / there.sum() == pytest.approx(0.15, abs=0.01)
    assert ((shown == 59) & there).sum() / len(targets) == pytest.approx(0.8, abs=0.03)
    other = (shown != ids) & (shown != 59) & there
    assert other.sum() / len(targets) == pytest.approx(0.1 * 58 / 59, abs=0.02)
    assert (shown[~there] < 59).all()  # padding is never asked for


def test_padding_changes_nothing_an_encoder_pays():
    bert = encoder().eval()
    short = torch.randint(59, (3, 21), generator=torch.Generator().manual_seed(0))
    long = torch.cat([short, torch.full((3, 12), -1)], dim=1)
    asked = torch.ones(3, 20, dtype=torch.bool)
    states = bert.hidden(short[:, 1:])
    padded = bert.hidden(long[:, 1:].clamp(min=0), keep=long[:, 1:] >= 0)
    torch.testing.assert_close(padded[:, :20][asked], states[asked])


def test_a_guess_at_random_costs_the_logarithm_of_the_vocabulary():
    texts = data.texts(LINES * 20, READER)
    bert = encoder(vocab_size=READER.vocab_size + 1)
    for parameter in bert.parameters():
        torch.nn.init.zeros_(parameter)
    bits, _ = train.masked_bits(bert, texts)
    assert bits == pytest.approx(math.log2(READER.vocab_size + 1))


def test_an_encoder_is_trained_saved_gone_on_with_and_recorded(place):
    sizes = {"vocab_size": 600, "context": 512, "num_layers": 1, "num_heads": 2, "d_model": 32}
    run = {"tokenizer": "bpe", "rows": "lines", "steps": 30, "every": 10, "valid_texts": 20}
    for tied in (True, False):
        whole = small(place, place / f"bert-{tied}", **run)
        whole = replace(whole, model=preset("bert", tied=tied, dropout=0.1, **sizes))
        record = train.train(whole)
        first, *_, last = (point["valid_bits"] for point in record["curve"])
        assert last < first
        assert 0 <= record["figures"]["found"] <= 1 and "____" in record["samples"][0]["shown"]
        trained, _, config, _ = train.load(whole.out)
        bits, found = train.masked_bits(trained, train.prepare(config).test)
        told = record["figures"]
        assert (told["bits_per_hidden_token"], told["found"]) == (round(bits, 4), round(found, 4))
        half = replace(whole, out=place / f"bert-half-{tied}")

        def stop(point, model):
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            train.train(half, watch=stop)
        train.train(replace(half, resume=True))
        assert same(half.out, whole.out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0: give a whole number, 1 or more"),
        ({"micro_batch": 0}, "micro_batch is 0: give a whole number"),
        ({"seed": -1}, "seed is -1: give a number, 0 or more"),
        ({"momentum": 1.0}, "momentum is 1.0: give a number below 1"),
        ({"learning_rate": math.nan}, "learning_rate is nan: give a number, more than 0"),
        ({"decay": 0.0}, "decay is 0.0: give a part of the steps, 0 to 1"),
        ({"model": preset("gpt2", vocab_size=9, cross_attention=True)}, "trains one model alone"),
        ({"model": preset("bert", vocab_size=9)}, "fill gaps in whole texts: give tokenizer bpe"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_named_in_one_line(change, message):
    with pytest.raises(TrainError, match=message):
        TrainConfig(**change)


def test_an_unknown_preset_is_answered_with_the_known_ones():
    with pytest.raises(TrainError, match="no preset 'big': choose smoke, story-laptop, story-base"):
        train.configure("big")


@pytest.mark.parametrize("name", train.PRESETS)
def test_each_preset_is_a_configuration_of_a_model(name):
    config = train.configure(name)
    with torch.device("meta"):
        assert GPT(config.model).num_parameters() > 0


def refused(config, message):
    with pytest.raises((TrainError, ModelError), match=message) as error:
        train.train(config)
    assert "\n" not in str(error.value)
