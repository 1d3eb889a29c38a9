"""A model that looks at a picture and says what is there: for the record of "Beyond text"."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice, product
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from storyland.grammar import NUMBERS
from storyland.tasks import scenes
from storyland.tasks.scenes import ANIMALS, COLOURS, COUNTS, FACTS, PLACES, SIZE, Scene
from tinygpt import checkpoint, optim, records
from tinygpt.model import GPT, preset
from tools.records.translation import Tokens

WIDTH, HEADS, LAYERS = 64, 4, 2
PATCHES, SEEDS = (4, 8), range(3)  # pixels, each way; the first is the page's
TRAIN, STEPS, BATCH, RATE = 20_000, 1600, 64, 0.03  # scenes of seed 1; Muon's rate
LOUDEST = 0.4  # noise while training: drawn evenly from 0 to this
NOISES = (0.0, 0.1, 0.2, 0.3, 0.4)
NOISE = 0.2  # where nothing else is said
TEST, TEST_SEED = 500, 3
LONGEST = 24  # tokens of a caption
FILE = "captioner.safetensors"  # of the record: the first seed of the first size

VALUES = {
    "animal": list(ANIMALS),
    "colour": list(COLOURS),
    "place": list(PLACES),
    "count": [NUMBERS[count] for count in COUNTS],
    "balls": list(COLOURS),
}


@cache
def tokens() -> Tokens:
    """Every caption's."""
    return Tokens(scenes._read())


def code(facts: dict[str, str] | None) -> str:
    """Five digits for the five facts: the place of each among VALUES; dashes for no caption."""
    if facts is None:
        return "-" * len(FACTS)
    return "".join(str(VALUES[fact].index(facts[fact])) for fact in FACTS)


class Captioner(nn.Module):
    """Patches through an encoder, and a decoder that looks at what became of them.

    The encoder is that of Dosovitskiy and others, "An Image is Worth 16x16 Words", ICLR 2021: each
    patch's numbers through one matrix, a learned place added, then blocks in which all look at all.
    """

    def __init__(self, patch: int):
        super().__init__()
        size = tokens().vocab_size
        make = partial(preset, "modern", vocab_size=size, num_layers=LAYERS, num_heads=HEADS,
                       d_model=WIDTH)  # fmt: skip
        self.patch = patch
        self.project = nn.Linear(3 * patch**2, WIDTH)
        self.encoder = GPT(make(causal=False, positions="learned", context=(SIZE // patch) ** 2))
        self.decoder = GPT(make(cross_attention=True, context=LONGEST + 1))
        self.encoder.embedding = self.decoder.embedding  # not used: it reads no tokens
        self.encoder.head = self.decoder.head

    def look(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 16, 16, 3) -> what stands for each patch (B, patches, d)."""
        x = self.project(patches(pictures, self.patch)) + self.encoder.position.weight
        for block in self.encoder.blocks:
            x = block(x, {})
        return self.encoder.norm(x)

    def nats(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """-ln P of each token of captions (B, T), -1 where there is none, in one row."""
        logits = self.decoder(captions[:, :-1].clamp(min=0), memory=self.look(pictures))
        return F.cross_entropy(
            logits.flatten(0, 1), captions[:, 1:].flatten(), ignore_index=-1, reduction="none"
        )

    @torch.no_grad()
    def say(self, pictures: Tensor) -> list[str]:
        """The most probable caption of each, token for token."""
        (newline,) = tokens().encode("\n")
        memory = self.look(pictures)
        ids = torch.full((len(pictures), 1), newline)
        for _ in range(LONGEST):
            logits = self.decoder(ids, memory=memory, last_only=True)
            ids = torch.cat([ids, logits.argmax(-1)], dim=1)
            if (ids[:, 1:] == newline).any(dim=1).all():
                break
        return [tokens().decode(row[1:]).partition("\n")[0] for row in ids.tolist()]


def patches(pictures: Tensor, patch: int) -> Tensor:
    """(B, 16, 16, 3) -> (B, patches, 3 patch²), row by row of patches."""
    side = pictures.shape[1] // patch
    cut = pictures.unflatten(2, (side, patch)).unflatten(1, (side, patch))
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)


def encoded(captions: Sequence[str]) -> Tensor:
    """(B, T), -1 behind a caption's end."""
    rows = [torch.tensor(tokens().encode(f"\n{text}\n")) for text in captions]
    return pad_sequence(rows, batch_first=True, padding_value=-1)


def pictures(some: Sequence[Scene], noise: float, seed: int) -> Tensor:
    """(B, 16, 16, 3), float32: each scene with noise of its own."""
    clean = np.stack([scene.pixels for scene in some])
    noisy = clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)
    return torch.tensor(noisy, dtype=torch.float32)


def train(patch: int, seed: int, steps: int = STEPS, rate: float = RATE, count: int = TRAIN,
          scene_seed: int = 1) -> Captioner:
    """A new one, from `count` scenes, whose noise is new each time."""
    some = list(islice(scenes.examples(scene_seed), count))
    clean = torch.tensor(np.stack([one.picture for one in some]), dtype=torch.float32)
    captions = encoded([one.output for one in some])
    torch.manual_seed(seed)
    model = Captioner(patch)
    optimisers = optim.make(model, learning_rate=rate / 6, matrix_learning_rate=rate,
                            embedding_learning_rate=rate * 2 / 3)  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for step in tqdm(range(steps), leave=False, mininterval=10):
        optim.scale(optimisers, optim.schedule(step, steps))
        which = torch.randint(count, (BATCH,), generator=generator)
        loud = LOUDEST * torch.rand(BATCH, 1, 1, 1, generator=generator)
        seen = clean[which]
        seen = seen + loud * torch.randn(seen.shape, generator=generator)
        said = captions[which]
        said = said[:, : int((said >= 0).sum(1).max())]
        loss = model.nats(seen, said).sum() / (said[:, 1:] >= 0).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    return model.eval()


def said(model: Captioner, seen: Tensor) -> str:
    """What is claimed of each picture, as `code` writes it, with spaces between."""
    texts = [text for part in seen.split(250) for text in model.say(part)]
    return " ".join(code(scenes.facts(text)) for text in texts)


def fresh(seed: int, count: int) -> list[Scene]:
    """The scenes of a seed."""
    return [one.scene for one in islice(scenes.examples(seed), count)]


def right(codes: str, some: Sequence[Scene]) -> np.ndarray:
    """(scenes, 5), bool: which facts are."""
    return np.array([
        [one == other for one, other in zip(claimed, code(scene.facts), strict=True)]
        for claimed, scene in zip(codes.split(), some, strict=True)
    ])  # fmt: skip


def load(path: Path = records.FOLDER / "beyond-text" / FILE,
         patch: int = PATCHES[0]) -> Captioner:  # fmt: skip
    """A stored model; as it stands, that of the record."""
    model = Captioner(patch)
    model.load_state_dict({name: held.float() for name, held in load_file(path).items()})
    return model.eval()


def store(path: Path, model: Captioner) -> None:
    """In 16 bits; a float16 is then what the model computes with."""
    held = {name: tensor.half().contiguous().clone() for name, tensor in model.state_dict().items()}
    checkpoint.atomically(path, lambda part: save_file(held, part))


def kept(folder: Path, patch: int, seed: int) -> Captioner:
    """The model as it is stored there, trained first where it is not."""
    path = folder / f"captioner-{patch}-{seed}.safetensors"
    if not path.exists():
        store(path, train(patch, seed))
    return load(path, patch)


# The larger patches get four rates, the smaller ones a single try.
TRIED = [(PATCHES[1], rate, STEPS) for rate in (RATE / 4, RATE / 2, RATE, RATE * 2)]
VALID_SEED = 2


def tried(patch: int, rate: float, steps: int) -> dict:
    """Seed 0 at a learning rate: how many captions of other scenes are right."""
    model, some = train(patch, 0, steps, rate), fresh(VALID_SEED, TEST)
    codes = said(model, pictures(some, NOISE, VALID_SEED))
    return {"patch": patch, "rate": rate, "steps": steps,
            "exact": float(right(codes, some).all(1).mean())}  # fmt: skip


# What is measured


def by_noise(model: Captioner) -> dict[str, str]:
    """What is claimed of the fresh scenes, by noise."""
    some = fresh(TEST_SEED, TEST)
    return {str(noise): said(model, pictures(some, noise, TEST_SEED)) for noise in NOISES}


def controls(model: Captioner) -> dict[str, str]:
    """The same where the model looks at something else than the picture."""
    some = fresh(TEST_SEED, TEST)
    seen = pictures(some, NOISE, TEST_SEED)
    blank = torch.tensor(scenes.PAPER) + seen - pictures(some, 0.0, TEST_SEED)
    side, random = model.patch, np.random.default_rng(TEST_SEED)
    cut = patches(seen, side)
    order = torch.tensor(np.stack([random.permutation(cut.shape[1]) for _ in some]))
    mixed = cut.gather(1, order[..., None].expand_as(cut))
    return {
        "another picture": said(model, seen.roll(1, 0)),
        "blank": said(model, blank.float()),
        "patches in another order": said(model, together(mixed, side)),
    }


def together(cut: Tensor, patch: int) -> Tensor:
    """What `patches` cut."""
    side = SIZE // patch
    cut = cut.unflatten(1, (side, side)).unflatten(3, (patch, patch, 3))
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


MOVES = list(product(range(5), repeat=2))  # rows down, columns to the right
MOVED, MOVED_SEED = 120, 4  # scenes that allow all of them


def movable(seed: int, count: int) -> list[Scene]:
    """Scenes whose fixture can be moved by each of MOVES, with nothing in the way."""
    found = (one.scene for one in scenes.examples(seed))
    return list(islice((one for one in found if all(one.moved(*by) for by in MOVES)), count))


def moved(model: Captioner, seed: int = MOVED_SEED, count: int = MOVED) -> list[str]:
    """What is claimed after each of MOVES; the noise stays where it is."""
    some = movable(seed, count)
    return [said(model, pictures([one.moved(*by) for one in some], NOISE, seed)) for by in MOVES]


def cuts(scene: Scene, patch: int) -> int:
    """In how many patches the animal lies: 1, 2 or 4, where a patch is as large as it or larger."""
    return math.prod((at + scenes.GLYPH - 1) // patch - at // patch + 1 for at in scene.at)


ARRANGED = {"apart": scenes.apart, "side by side": scenes.touching, "covering": scenes.covering}
ARRANGED_COUNT, ARRANGED_SEED = 400, 5


def arranged(seed: int, count: int) -> dict[str, list[Scene]]:
    """Scenes with two balls or more, and the same with the balls elsewhere."""
    rng, found = Random(f"arranged {seed}"), {name: [] for name in ARRANGED}
    some = (one.scene for one in scenes.examples(seed) if len(one.scene.where) > 1)
    for scene in islice(some, count):
        for name, may in ARRANGED.items():
            found[name].append(scene.rearranged(rng, may))
    return found


def by_arrangement(model: Captioner, seed: int = ARRANGED_SEED) -> dict[str, str]:
    found = arranged(seed, ARRANGED_COUNT)
    return {name: said(model, pictures(some, NOISE, seed)) for name, some in found.items()}


PAINTED, PAINTED_SEED = 500, 6


def painted(seed: int, count: int) -> dict[str, list[Scene]]:
    """The same scenes with the animal in its usual colour, and in another."""
    rng, some = Random(f"painted {seed}"), fresh(seed, count)
    usual = [replace(one, colour=scenes.USUALLY[one.animal]) for one in some]
    others = [[c for c in COLOURS if c != one.colour] for one in usual]
    unusual = [replace(one, colour=of[int(rng.random() * len(of))])
               for one, of in zip(usual, others, strict=True)]  # fmt: skip
    return {"usual": usual, "another": unusual}


def by_colour(model: Captioner, seed: int = PAINTED_SEED) -> dict[str, dict[str, str]]:
    return {
        name: {str(noise): said(model, pictures(some, noise, seed)) for noise in NOISES[1:]}
        for name, some in painted(seed, PAINTED).items()
    }


def best_colour(some: Sequence[Scene], seen: Tensor, noise: float, knows: bool) -> list[str]:
    """The likeliest colour of each animal for a reader who is told all else, and who knows how
    usual each is, or takes all to be as usual."""
    found = []
    for scene, picture in zip(some, seen.numpy(), strict=True):
        row, column = scene.at
        filled = scenes._mask(ANIMALS[scene.animal], "X")
        pixels = picture[row : row + scenes.GLYPH, column : column + scenes.GLYPH][filled]
        nats = {}
        for name, colour in COLOURS.items():
            nats[name] = -((pixels - colour) ** 2).sum() / 2 / noise**2
            if knows:
                usual = name == scenes.USUALLY[scene.animal]
                nats[name] += math.log(scenes.USUAL if usual else (100 - scenes.USUAL) / 5)
        found.append(max(nats, key=nats.get))
    return found


def forms(model: Captioner, seed: int = TEST_SEED, count: int = 200) -> dict:
    """What the model pays for right captions of clean scenes, mean nats: of each form, in FORMS'
    order. The truth pays -ln of the form's probability."""
    some = fresh(seed, count)
    seen = pictures(some, 0.0, seed)
    texts = [list(scenes.captions(one.facts)) for one in some]
    with torch.no_grad():
        found = []
        for of_form in zip(*texts, strict=True):
            captions = encoded(of_form)
            found.append(model.nats(seen, captions).sum().item() / count)
    return {"nats": [round(x, 3) for x in found]}


MEASURES: dict[str, Callable[[Captioner], object]] = {
    "by noise": by_noise, "controls": controls, "moved": moved, "arranged": by_arrangement,
    "painted": by_colour, "forms": forms,
}  # fmt: skip
