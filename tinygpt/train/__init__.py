"""Training by maximum likelihood, and the measure of what came of it.

`learn` is the loop. `fit` trains a model in one call; `train` makes a whole run of it, with a
folder that holds checkpoints and a record:

    runs/first/config.json        the TrainConfig
    runs/first/tokenizer.json
    runs/first/last.safetensors   weights, what the optimisers remember, the step and the curve
    runs/first/best.safetensors   weights where the validation text was predicted best
    runs/first/record.json        what ran, on what, with which result

`tune` goes on from a trained model on pairs of texts, and `say` gives what it says to inputs.
"""

from tinygpt.config import PRESETS, TrainConfig, TrainError, configure
from tinygpt.train.loop import Masked, NextToken, fit, learn, predicted
from tinygpt.train.measure import bits_per_char, log_probs, masked_bits
from tinygpt.train.result import BEST, LAST, load, machine, measured, sample, samples
from tinygpt.train.run import train
from tinygpt.train.text import Prepared, prepare
from tinygpt.train.tune import Pairs, Said, nats_said, say, tune

__all__ = [
    "BEST",
    "LAST",
    "Masked",
    "NextToken",
    "PRESETS",
    "Pairs",
    "Prepared",
    "Said",
    "TrainConfig",
    "TrainError",
    "bits_per_char",
    "configure",
    "fit",
    "learn",
    "load",
    "log_probs",
    "machine",
    "masked_bits",
    "measured",
    "nats_said",
    "predicted",
    "prepare",
    "sample",
    "samples",
    "say",
    "train",
    "tune",
]
