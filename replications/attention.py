"""Part 2's headlines: attention and what is built of it, each as a function of a fresh seed."""

import math
import random
from collections.abc import Iterator
from functools import cache
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import storyland
from replications import headline
from tinygpt import data, records, train
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer

# 2-attention/self-attention ----------------------------------------------------------------------


class _OneHead(nn.Module):
    """The page's model: one head over embeddings of tokens and places, and an output head."""

    def __init__(self, vocab_size: int, context: int, d: int):
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocab_size, d), nn.Embedding(context, d)
        self.q, self.k, self.v = (nn.Linear(d, d, bias=False) for _ in "qkv")
        self.head = nn.Linear(d, vocab_size)
        for table in self.embedding, self.position:
            nn.init.normal_(table.weight, std=0.1)
        for matrix in self.q, self.k, self.v:
            nn.init.normal_(matrix.weight, std=d**-0.5)
        for zero in self.head.parameters():
            nn.init.zeros_(zero)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, vocab_size)
        x = self.embedding(ids) + self.position.weight[: ids.shape[1]]
        out = F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), is_causal=True)
        return self.head(x + out)

    def weights(self, ids: Tensor) -> Tensor:  # (T,) -> (T, T)
        x = self.embedding(ids) + self.position.weight[: len(ids)]
        return _causal_weights(self.q(x), self.k(x))


@cache
def _one_head(seed: int) -> _OneHead:
    """Trained as on the page, on a million fresh characters."""
    lines = data.texts(storyland.text(seed, 1_000_000).splitlines(keepends=True), _tokenizer())
    torch.manual_seed(seed)
    model = _OneHead(_tokenizer().vocab_size, 256, 128)
    train.fit(model, lines, context=224, steps=1800, batch_size=4, learning_rate=0.02, seed=seed)
    return model


@headline(
    page="2-attention/self-attention",
    claim="One attention head that may look at the whole story spends most of its weight on the "
    "last 16 tokens.",
    effect="share of the weight within 16 tokens, at places 64 to 127",
    above=0.6,
)
def one_head_makes_itself_a_window(seed: int) -> float:
    """A head trained anew; its weights in a hundred fresh stories."""
    model, shares = _one_head(seed), []
    for story in islice(storyland.stories(seed + 100_000), 100):
        ids = torch.tensor(_tokenizer().encode("\n" + story.text))[:128]
        with torch.no_grad():
            weights = model.weights(ids)
        shares += [weights[t, t - 15 : t + 1].sum().item() for t in range(64, len(ids))]
    return sum(shares) / len(shares)


@headline(
    page="2-attention/self-attention",
    claim="One attention head pays more for the rest of a made-up name that stands a few lines "
    "above than it would cost to draw such a name anew.",
    effect="bits for all pieces but the first of a made-up name said before",
    above=14.0,
)
def one_head_cannot_go_on_with_a_name(seed: int) -> float:
    """A head trained anew; what it pays in a hundred fresh stories with a stranger."""
    model, bits = _one_head(seed), []
    for parts, name in _strangers(seed + 100_000, 100):
        ids, mentions = _told(parts, [name] * (len(parts) - 1))
        with torch.no_grad():
            log_p = model(ids[None])[0].log_softmax(1)
        for places in mentions[1:]:
            due = torch.tensor(places[1:])
            bits.append(-log_p[due - 1, ids[due]].sum().item() / math.log(2))
    return sum(bits) / len(bits)


# 2-attention/heads-and-positions -----------------------------------------------------------------


@cache
def _tokenizer(vocab_size: int = 1536) -> BPETokenizer:
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=vocab_size)


def _causal_weights(q: Tensor, k: Tensor) -> Tensor:  # (..., T, d_head) both -> (..., T, T)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -math.inf).softmax(-1)


@torch.no_grad()
def _attention(model: GPT, ids: Tensor) -> tuple[Tensor, Tensor]:
    """ids (B, T) -> weights (B, layers, heads, T, T), probabilities (B, T, vocab_size)."""
    caught = []

    def catch(attention, inputs):
        q, k, _ = attention._heads(attention.qkv(inputs[0]), *[attention.num_heads] * 3)
        caught.append(_causal_weights(q, k))

    hooks = [block.attention.register_forward_pre_hook(catch) for block in model.blocks]
    probs = model(ids).softmax(-1)
    for hook in hooks:
        hook.remove()
    return torch.stack(caught, dim=1), probs


def _strangers(seed: int, number: int) -> Iterator[tuple[list[str], str]]:
    """Stories with a made-up name: the text between its mentions, and the name."""
    known = set(storyland.split(corpus("storyland", size="1MB").train))
    for story in storyland.stories(seed):
        new = {
            w for w, role in zip(story.words, story.roles, strict=True) if role and w not in known
        }
        if new and number:
            (name,) = new
            yield story.text.split(name), name
            number -= 1
        elif not number:
            return


def _told(parts: list[str], names: list[str]) -> tuple[Tensor, list[list[int]]]:
    """The story with these names, up to the last of them: ids (T,), and where the pieces of each
    mention stand."""
    line, spans = "\n" + parts[0], []
    for name, part in zip(names, parts[1:], strict=False):
        spans.append((len(line), len(line) + len(name)))
        line += name + part
    line = line[: spans[-1][1]]
    ends = _tokenizer().ends(line)
    places = [[j for j, end in enumerate(ends) if start < end <= stop] for start, stop in spans]
    return torch.tensor(_tokenizer().encode(line)), places


def _cut(name: str) -> list[str]:
    tokenizer = _tokenizer()
    pieces = (tokenizer.decode([i]).strip() for i in tokenizer.encode(" " + name))
    return [piece for piece in pieces if piece]


def _with_another_name(seed: int, number: int) -> Iterator[tuple[Tensor, list, Tensor, Tensor]]:
    """For each story with a stranger, up to the third mention of the name: the ids as it was
    written and with another name at the first two, (2, T); the places of the mentions' pieces;
    the pieces of the name and those of the other, which is cut at the same letters and shares
    none."""
    names = [item.name for item in storyland.grammar().lists["traveller"].items]
    rng = random.Random(seed)
    for parts, name in _strangers(seed, number):
        pieces = _cut(name)
        for other in rng.sample(names, 500):
            cut = _cut(other)
            if list(map(len, cut)) == list(map(len, pieces)) and not set(cut) & set(pieces):
                ids, places = _told(parts, [name] * 3)
                changed, moved = _told(parts, [other, other, name])
                if places == moved and len({len(one) for one in places}) == 1:
                    yield torch.stack([ids, changed]), places, ids[places[2]], changed[places[0]]
                    break


@headline(
    page="2-attention/heads-and-positions",
    claim="The head that looks at the next piece of a made-up name does not match the name: with "
    "another name in its place it keeps at least four fifths of that weight.",
    effect="weight on the due piece of another name, as a share of the weight on the name's own",
    above=0.8,
)
def a_head_reads_whatever_name_stands_there(seed: int) -> float:
    """Layer 3, head 1 of the recorded GPT, at all pieces but the last of a third mention, in 100
    fresh stories."""
    model, found = records.load("gpt")[0], []
    for ids, (first, second, here), *_ in _with_another_name(seed, 100):
        weights = _attention(model, ids)[0][:, 2, 0]  # (2, T, T)
        for k, t in enumerate(here[:-1]):
            found.append(weights[:, t, [first[k + 1], second[k + 1]]].sum(1))
    own, other = torch.stack(found).mean(0).tolist()
    return other / own


@headline(
    page="2-attention/heads-and-positions",
    claim="Where a story gave its stranger another name before, the GPT goes on with that name "
    "rather than with the one that was begun.",
    effect="probability of the other name's piece minus that of the name's own",
    above=0.2,
)
def the_gpt_goes_on_with_the_other_name(seed: int) -> float:
    """The recorded GPT at all pieces but the last of a third mention, in 100 fresh stories."""
    model, found = records.load("gpt")[0], []
    for ids, (*_, here), own, other in _with_another_name(seed, 100):
        with torch.no_grad():
            probs = model(ids[1:])[0].softmax(-1)  # (T, vocab_size)
        before = torch.tensor(here[:-1])
        found += (probs[before, other[1:]] - probs[before, own[1:]]).tolist()
    return sum(found) / len(found)


@headline(
    page="2-attention/heads-and-positions",
    claim="No head of the recorded GPT looks for what followed the same token before: on repeated "
    "random tokens each stays below twice its equal share.",
    effect="the strongest head's weight on what followed last time, in equal shares",
    below=2.0,
)
def no_head_of_the_gpt_is_an_induction_head(seed: int) -> float:
    """64 rows of 50 random tokens, each said twice."""
    model, length = records.load("gpt")[0], 50
    torch.manual_seed(seed)
    ids = torch.randint(model.config.vocab_size, (64, length)).repeat(1, 2)
    weights = _attention(model, ids)[0].mean(0)  # (layers, heads, T, T)
    t = torch.arange(length, 2 * length - 1)
    share = (1 / (t + 1)).mean()
    return (weights[:, :, t, t - length + 1].mean(2).max() / share).item()


def _read_longer(positions: str, seed: int, embedding_std: float = 0.125) -> list[float]:
    """Bits a token at places 32 to 63 and 224 to 255, of a small model that learned from pieces of
    64 tokens."""
    text, tokenizer = corpus("storyland", size="1MB").train, _tokenizer(512)
    ids = torch.tensor(tokenizer.encode(text))
    pieces = data.Texts(ids, torch.arange(len(ids)), len(text))
    fresh = torch.tensor(tokenizer.encode(storyland.text(seed, 60_000)))
    rows = fresh[: len(fresh) // 256 * 256].view(-1, 256)
    torch.manual_seed(seed)
    model = GPT(
        preset(
            "gpt2",
            vocab_size=512,
            context=256,
            num_layers=2,
            num_heads=2,
            d_model=64,
            positions=positions,
            embedding_std=embedding_std,
        )
    )
    train.fit(model, pieces, context=64, steps=400, batch_size=32, learning_rate=0.01, seed=seed)
    with torch.no_grad():
        nats = F.cross_entropy(model(rows[:, :-1]).mT, rows[:, 1:], reduction="none").mean(0)
    return [nats[part].mean().item() / math.log(2) for part in (slice(32, 64), slice(224, 255))]


@headline(
    page="2-attention/heads-and-positions",
    claim="A model with rotary positions that was trained on pieces of 64 tokens pays more for "
    "each token at the end of 256.",
    effect="bits a token, places 224 to 255 minus places 32 to 63",
    above=0.5,
)
def rotary_positions_do_not_read_on(seed: int) -> float:
    """A small model trained anew."""
    near, far = _read_longer("rotary", seed)
    return far - near


@headline(
    page="2-attention/heads-and-positions",
    claim="Sinusoidal positions need words as large as themselves: with small first word vectors "
    "the same model learns less in the same steps.",
    effect="bits a token, word vectors of 0.02 minus word vectors of 1/√d",
    above=0.3,
)
def words_must_be_as_loud_as_their_places(seed: int) -> float:
    """Two small models trained anew, read at places 32 to 63."""
    return _read_longer("sinusoidal", seed, 0.02)[0] - _read_longer("sinusoidal", seed)[0]


# 2-attention/gpt ---------------------------------------------------------------------------------


@headline(
    page="2-attention/gpt",
    claim="A word that was said about 40 words before costs the GPT less than it costs one block.",
    effect="bits a character of the word, one block minus GPT",
    above=0.1,
)
def gpt_remembers_further(seed: int) -> float:
    """The recorded weights of both on 150 fresh stories."""
    tokenizer, stories = _tokenizer(), list(islice(storyland.stories(seed), 150))
    texts = data.texts([story.text for story in stories], tokenizer)
    ends = [tokenizer.ends(story.text) for story in stories]
    bits = {}
    for name in ("one-block", "gpt"):
        log_probs = [nats.tolist() for nats in train.log_probs(records.load(name)[0], texts)]
        bits[name] = storyland.bits_by_distance(stories, ends, log_probs)[40]
    return bits["one-block"] - bits["gpt"]


@headline(
    page="2-attention/gpt",
    claim="Of the stories that the GPT writes, more are possible for 60 words than of those that "
    "one block writes.",
    effect="share of 400 stories, GPT minus one block",
    above=0.0,
)
def more_of_what_the_gpt_writes_lasts_sixty_words(seed: int) -> float:
    """The recorded weights of both; what they write is drawn with the seed."""
    tokenizer, oracle, share = _tokenizer(), storyland.Oracle(), {}
    newline = tokenizer.encode("\n")[0]
    for name in ("one-block", "gpt"):
        draw = torch.Generator().manual_seed(seed)
        start = torch.full((400, 1), newline)
        written = generate(records.load(name)[0], start, 110, generator=draw, stop=newline)
        texts = [tokenizer.decode(ids).split("\n")[0] + "\n" for ids in written.tolist()]
        left = [oracle.leaves_at(storyland.split(text)[:60]) for text in texts]
        share[name] = left.count(None) / len(left)
    return share["gpt"] - share["one-block"]


@headline(
    page="2-attention/gpt",
    claim="Where a person is named again, most of what the GPT gives to names goes to names that "
    "the story has never said.",
    effect="share on names said before",
    below=0.5,
)
def gpt_takes_names_out_of_the_air(seed: int) -> float:
    """The recorded GPT on 100 fresh stories; every place where a name comes again counts once."""
    tokenizer, gpt, shares = _tokenizer(), records.load("gpt")[0], []
    everybody = [item.name for item in storyland.grammar().lists["name"].items]
    names = torch.tensor([tokenizer.encode(" " + name)[0] for name in everybody])
    for story in islice(storyland.stories(seed), 100):
        ids = torch.tensor(tokenizer.encode("\n" + story.text))[:224]
        with torch.no_grad():
            prob = gpt(ids[None])[0, :-1].softmax(-1)[:, names]  # (T, names)
        is_name = ids[:, None] == names  # (T + 1, names)
        said = is_name.cumsum(0)[:-1] > 0
        again = (is_name[1:] & said).any(1)
        shares += ((prob * said).sum(1) / prob.sum(1))[again].tolist()
    return sum(shares) / len(shares)


# 2-attention/encoder-decoder ---------------------------------------------------------------------

BEGINNING = 24  # words of each story that the page reads


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
    (group,) = optimiser.param_groups
    group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimiser.step()


def _bert(ids: Tensor, vocab_size: int, seed: int) -> GPT:
    """The page's BERT, trained as there on beginnings (N, 24); the last id is [MASK]."""
    torch.manual_seed(seed)
    config = preset(
        "bert", vocab_size=vocab_size, context=BEGINNING, num_layers=1, num_heads=4, d_model=64
    )
    model, mask = GPT(config), vocab_size - 1
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95))
    for step in range(1000):
        batch = ids[torch.randint(len(ids), (96,))]
        chosen, die = torch.rand(batch.shape) < 0.15, torch.rand(batch.shape)
        seen = torch.where(chosen & (die < 0.8), mask, batch)
        seen = torch.where(chosen & (die >= 0.9), torch.randint(mask, batch.shape), seen)
        loss = F.cross_entropy(model.head(model.hidden(seen)[chosen]), batch[chosen])
        _descend(optimiser, loss, 0.01 * min((step + 1) / 100, 1 - step / 1000))
    return model.eval()


@headline(
    page="2-attention/encoder-decoder",
    claim="A small BERT that sees both sides of a hidden word pays less for it than the exact "
    "probability given the left side alone.",
    effect="bits a word, the exact left side minus BERT",
    above=0.0,
)
def bert_pays_less_than_the_exact_left_side(seed: int) -> float:
    """Trained on ten million fresh characters; all places of 500 other fresh beginnings."""
    lines = storyland.text(seed, 10_000_000).splitlines()
    texts = [storyland.split(line[:320])[:BEGINNING] for line in lines]
    fresh = [story.words[:BEGINNING] for story in islice(storyland.stories(seed + 1000), 500)]
    words = sorted({word for text in texts + fresh for word in text})
    index = {word: i for i, word in enumerate(words)}
    train_ids, ids = (
        torch.tensor([[index[w] for w in t] for t in part]) for part in (texts, fresh)
    )
    model = _bert(train_ids, len(words) + 1, seed)
    oracle = storyland.Oracle()
    left = -sum(math.fsum(oracle.word_log_probs(text)) for text in fresh) / ids.numel()
    paid = 0.0
    for place in range(BEGINNING):
        seen = ids.clone()
        seen[:, place] = len(words)
        with torch.no_grad():
            logits = model.head(model.hidden(seen)[:, place])
        paid += F.cross_entropy(logits, ids[:, place]).item() / BEGINNING
    return (left - paid) / math.log(2)


@headline(
    page="2-attention/encoder-decoder",
    claim="With only its target masked, nn.Transformer learns to name random digits: it reads "
    "them in the encoder.",
    effect="nats a digit below their entropy, ln 10",
    above=1.0,
)
def the_future_comes_in_by_the_encoder(seed: int) -> float:
    """One block reads and one writes, trained for 150 steps on digits that nobody can guess."""
    torch.manual_seed(seed)
    embedding, position, head = nn.Embedding(10, 32), nn.Embedding(64, 32), nn.Linear(32, 10)
    network = nn.Transformer(32, 4, 1, 1, batch_first=True)
    whole = nn.ModuleList([embedding, position, head, network])
    optimiser, mask = torch.optim.AdamW(whole.parameters()), torch.ones(8, 8).triu(1).bool()
    losses = []
    for _ in range(150):
        digits = torch.randint(10, (16, 9))
        x = embedding(digits[:, :-1]) + position.weight[:8]
        logits = head(network(x, x, tgt_mask=mask))
        loss = F.cross_entropy(logits.flatten(0, 1), digits[:, 1:].flatten())
        _descend(optimiser, loss, 3e-3)
        losses.append(loss.item())
    return math.log(10) - sum(losses[-10:]) / 10
