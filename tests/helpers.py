"""What several of the system tests use"""
import json

import torch

from ecgen.data.batches import Vocab
from ecgen.model.model import EmpatheticModel, ModelConfig


def read_lines(path):
    "The lines of a file of JSON lines"
    return [json.loads(line) for line in path.read_text().splitlines()]


def same_weights(a, b):
    "Do two models have the same weights, to the bit?"
    a, b = a.state_dict(), b.state_dict()
    return all(torch.equal(v, b[k]) for k, v in a.items())


def little():
    "A small untrained model"
    torch.manual_seed(0)
    words = Vocab(['i', 'am', 'so', 'sad', '.'])
    return EmpatheticModel(ModelConfig.from_preset('tiny'), words, dict(name='little')).eval()
