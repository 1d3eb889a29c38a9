"""python -m tinygpt: train, sample, evaluate, export, and the one line that a mistake gets."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

import storyland
from tinygpt.__main__ import main
from tinygpt.config import TrainConfig
from tinygpt.model import GPTConfig

TINY = "--preset smoke --steps 4 --every 2 --valid-texts 2 --device cpu".split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    text = storyland.text(1, 20_000)
    (folder / "stories.txt").write_text(text, encoding="utf-8", newline="\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGPT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        assert main(["train", *TINY, "--corpus", "stories.txt", "--out", "run"]) == 0
        for name, content in (("other", '{"architectures": []}'), ("bare", "{}")):
            (folder / name).mkdir()
            (folder / name / "config.json").write_text(content)
        yield folder


def test_sample_goes_on_with_the_prompt_and_repeats_itself_by_seed(place, capsys):
    said = []
    for seed in ("1", "1", "2"):
        command = ["sample", "--run", "run", "--prompt", "Once", "--tokens", "20", "--seed", seed]
        assert main(command) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2] and said[0].startswith("Once")


def test_evaluate_prints_bits_a_character_of_each_part_and_of_both(place, capsys):
    bits, chars = {}, {}
    for part in ("valid", "test", "valid+test"):
        assert main(["evaluate", "--run", "run", "--part", part]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        bits[part] = float(first.split()[3])
        chars[part] = int(first.partition("(")[2].split()[0].replace(",", ""))
    assert chars["valid+test"] == chars["valid"] + chars["test"]
    together = sum(bits[part] * chars[part] for part in ("valid", "test")) / chars["valid+test"]
    assert bits["valid+test"] == pytest.approx(together, abs=1e-4)


def test_evaluate_gives_the_floor_where_it_is_known_and_reads_records(capsys):
    assert main(["evaluate", "--run", "one-block"]) == 0
    bits, _, floor = capsys.readouterr().out.splitlines()
    assert bits.split()[3] == "0.2042" and floor.split()[1] == "0.1312"


def test_export_makes_a_folder_that_transformers_reads(place):
    assert main(["export", "--run", "run", "--to", "hf"]) == 0
    assert (place / "hf" / "model.safetensors").exists()


def test_resume_needs_no_more_than_the_folder(place, capsys):
    command = ["train", *TINY, "--corpus", "stories.txt", "--out", "again", "--d-model", "16"]
    assert main(command) == 0
    assert main(["train", "--out", "again", "--resume"]) == 0
    assert "parameters" in capsys.readouterr().out


def test_a_text_that_has_changed_is_not_gone_on_with(place, capsys):
    text = (place / "stories.txt").read_text(encoding="utf-8")
    mine, run = place / "mine.txt", place / "changed"
    begin = ["train", *TINY, "--corpus", "mine.txt", "--out", "changed"]
    for other in (text.translate(str.maketrans("ab", "ba")), text.replace("b", "é"), text[:-2000]):
        mine.write_text(text, encoding="utf-8", newline="\n")
        assert main(begin) == 0
        kept = {path.name: path.read_bytes() for path in run.iterdir()}
        mine.write_text(other, encoding="utf-8", newline="\n")
        capsys.readouterr()
        assert main(["train", "--out", "changed", "--resume"]) == 2
        assert "changed was trained on a text that has changed since" in capsys.readouterr().err
        assert main(["evaluate", "--run", "changed"]) == 2
        assert "changed was trained on a text that has changed since" in capsys.readouterr().err
        assert kept == {path.name: path.read_bytes() for path in run.iterdir()}
        shutil.rmtree(run)


NEW = ["--out", "new", "--corpus", "stories.txt"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["paint"], "There is no command 'paint': choose plan, train, sample, chat, serve"),
        (["train", "--preset", "big"], "There is no preset 'big': choose smoke, story-laptop"),
        (["train", "--preset"], "argument --preset: expected one argument"),
        (["train", *TINY, "--out", "run"], "run holds a run already: go on with it by --resume"),
        (["train", *TINY, *NEW, "--corpus", "poems"], "There is no corpus 'poems': choose story"),
        (["train", *TINY, *NEW, "--corpus", "no.txt"], "no.txt does not exist: check the path"),
        (["train", *TINY, *NEW, "--steps", "few"], "--steps: invalid int value: 'few'"),
        (["train", *TINY, *NEW, "--steps", "0"], "steps is 0: give a whole number, 1 or more."),
        (["train", *TINY, *NEW, "--d-model", "33"], "num_heads is 2 and d_model 33: the heads"),
        (["train", *TINY, *NEW, "--optimiser", "sgd"], "invalid choice: 'sgd'"),
        (["train", *TINY, *NEW, "--stepz", "3"], "--stepz"),
        (["train", *TINY, *NEW, "--weight-decay", "inf"], "weight_decay is inf: give a number"),
        (["train", *TINY, *NEW, "--device", "tpu9"], "no device 'tpu9' here: choose cpu"),
        (["train", *TINY, *NEW, "--device", "cuda:99"], "no device 'cuda:99' here: choose cpu"),
        (["train", *TINY, *NEW, "--shard"], "here is one process: start them by torchrun"),
        (["train", *TINY, *NEW, "--out", "stories.txt"], "stories.txt/tokenizer.json cannot be wr"),
        (["train", *TINY, *NEW, "--out", "other"], "config.json has 'architectures', which a run"),
        (["train", *TINY, *NEW, "--out", "bare"], "config.json says nothing of a model"),
        (["export", "--run", "run", "--to", "run"], "run holds something already: give a folder"),
        (["export", "--run", "run", "--to", "stories.txt"], "stories.txt holds something already"),
        (["sample", "--run", "run", "--device", "cuda:99"], "no device 'cuda:99' here: choose cpu"),
        (["sample"], "--run"),
        (["sample", "--run", "nothing"], "There is no run in 'nothing', and no recorded one"),
        (["sample", "--run", "run", "--prompt", "é"], "The character 'é' at position 1 is not"),
        (["sample", "--run", "run", "--temperature", "-1"], "temperature is -1.0: give a number"),
    ],
    ids=lambda value: " ".join(value[-3:]) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_and_status_2(place, capsys, command, message):
    assert main(command) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (place / "new").exists()


def test_every_field_has_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert not end.value.code
    words = " ".join(capsys.readouterr().out.split())
    for described in (
        "--out PATH the folder of the run",
        "--learning-rate FLOAT AdamW's (default: 0.005)",
        "story-laptop",
    ):
        assert described in words
    for name in [field.name for kind in (TrainConfig, GPTConfig) for field in fields(kind)]:
        if name != "model":
            flag = name.replace("_", "-")
            found = re.search(rf"--{flag}(?:, --no-{flag}| \S+) (.*?)\(default: ", words)
            assert found and len(found[1]) > 5 and "--" not in found[1], name


def test_the_module_runs(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tinygpt"]
    done = subprocess.run(
        [*command, "--help"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "python -m tinygpt train --preset" in done.stdout
