"""What the bound on the slope of closed gates does: data/results/hard_gates.json.

    python tools/hard_gates.py --data DATA

The shipped model is trained for one more epoch on 10,000 examples: with soft gates, with hard
gates, and with hard gates whose slope has no bound (as it was until the runs of `night`). Each
begins with the same weights and sees the same batches. About ten minutes on two cores.
"""
import argparse
import json
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch

from ecgen.data.batches import make_examples
from ecgen.data.dialogues import keep_words
from ecgen.data.files import shipped, write_json
from ecgen.data.readers import load_split
from ecgen.evaluation.evaluation import hardware, versions
from ecgen.evaluation.experiments import subset
from ecgen.model.attention import scores
from ecgen.model.model import EmpatheticModel
from ecgen.training.prepared import with_source
from ecgen.training.runs import fit
from ecgen.training.trainer import TrainingConfig

OUT = Path(__file__).resolve().parent.parent/'data/results/hard_gates.json'
CONFIG = TrainingConfig(pretrain_epochs=0, epochs=1, max_tokens_per_batch=1536, lr=3e-4,
                        joint_reasoner_lr=5e-5, warmup=40, decay=True, cause_loss='soft')


def unbounded(q, k, gates):
    "`gated_weights` without the bound"
    s = scores(q, k)
    if gates.hard is None or not gates.needs_grad:
        return (s + gates.log[:, None, None]).softmax(-1).to(q.dtype)
    g = gates.hard[:, None, None]
    top = s.detach().masked_fill(g.detach() == 0, -torch.inf).amax(-1, keepdim=True)
    e = g * (s - top).clamp(max=20).exp()
    return (e / e.sum(-1, keepdim=True)).to(q.dtype)


def read_lines(path):
    "A file of JSON lines"
    return [json.loads(line) for line in path.read_text().splitlines()]


def trained(gate, train, valid):
    "The last line of a training's log: losses on validation, mean length of the gradient"
    model = EmpatheticModel.from_pretrained()
    model.cfg.gate = gate
    with tempfile.TemporaryDirectory() as tmp:
        fit(model, train, valid, CONFIG, Path(tmp)/'run')
        line, = read_lines(Path(tmp)/'run'/'metrics.jsonl')
        steps = sorted(x['gradient'] for x in read_lines(Path(tmp)/'run'/'losses.jsonl'))
    kept = 'words', 'perplexity', 'emotion_accuracy', 'train_words', 'train_gradient'
    res = {k: line[k] for k in kept}
    return res | dict(median_gradient=steps[len(steps) // 2], largest_gradient=steps[-1])


def examples(data, split, model):
    "The examples of a split, with labels of words"
    dialogues = load_split(split, data)
    keep_words(dialogues)
    return make_examples(with_source(dialogues, 'spans', split, Path(data)), model.vocab)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', required=True, help='folder with EmpatheticDialogues')
    args = parser.parse_args()
    model = EmpatheticModel.from_pretrained()
    train = subset(examples(args.data, 'train', model), 10_000)
    valid = examples(args.data, 'valid', model)
    res = dict(soft=trained('soft', train, valid), hard=trained('hard', train, valid))
    with patch('ecgen.model.gated_attention.gated_weights', unbounded):
        res['hard, no bound'] = trained('hard', train, valid)
    about = dict(model='default', split='valid', train_examples=len(train),
                 valid_examples=len(valid), seed=CONFIG.seed, hardware=hardware(),
                 versions=versions())
    write_json(OUT, about | dict(gates=res))
    for name, r in res.items(): print(name, r)


if __name__ == '__main__': main()
