"""Try settings of the reasoner quickly: `python tools/tries.py --data PREPARED [KEY=VALUE ...]`, one try a call.

PREPARED is a folder of `ecgen prepare` with --judge and with labels that have probabilities. The reasoner alone is trained, with
a half cosine of the rate, and measured on validation after each epoch, as it is and (`average`) as the running mean of its
weights. Each epoch becomes a line of data/results/reasoner_tries.jsonl. What was liked best there is then trained in full by
`ecgen train`.

    python tools/tries.py --data PREPARED layers=3 --save three.safetensors
    python tools/tries.py --data PREPARED --mean a.safetensors b.safetensors     # the mean of saved tries' weights

`order` is the seed of the order of the examples; with the same `seed` two tries begin with the same weights, so that a mean of
what they become has a meaning. `distill` is the teacher's share of the emotion loss, at the temperature `heat`; PREPARED has what
the teacher said. In a line of the results `teacher` says who it was; without one `distill` meant nothing, whatever its value.
"""
import argparse
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.batches import CLS, PAD, SEP, UNK, BatchSampler, collate
from ecgen.model.presets import preset
from ecgen.model.reasoner import reasoner_loss
from ecgen.training.callbacks import cause_auc, model_scores
from ecgen.training.prepared import load_prepared
from ecgen.training.runs import prepare_model, same_kind_of_labels
from ecgen.training.trainer import TrainingConfig, validate

USUAL = dict(epochs=4, layers=2, dropout=.25, lr=4e-4, words_lr=1., word_dropout=0., smoothing=.1,
             soft=True, average=.999, vectors='', seed=1024, order=0, situations=True, distill=0.,
             heat=2.)


def drop_words(batch, share):
    "Make some words of the contexts unknown"
    special = (batch.src == PAD) | (batch.src == CLS) | (batch.src == SEP)
    hit = (torch.rand(batch.src.shape) < share) & ~special
    return replace(batch, src=torch.where(hit, UNK, batch.src))


def measure(model, data):
    "Accuracy and loss of emotions, AUC of causes"
    v = validate(model, data.valid, 'reasoner')
    auc = cause_auc(model_scores(model, data.gold_causes), data.gold_causes, 0)['auc']
    return dict(emotion_accuracy=v['emotion_accuracy'], emotion=v['emotion'], judged_auc=auc)


def untrained(data, c):
    "The model of the preset `default` with the settings of a try"
    training = preset('default')['training'] | dict(seed=c['seed'])
    changes = {'reasoner.layers': c['layers'], 'reasoner.dropout': c['dropout']}
    return prepare_model(data, 'default', TrainingConfig(**training), **changes)


def texts(data, c):
    "Examples to learn from"
    same_kind_of_labels(data)
    examples = data.train + (data.situations if c['situations'] else [])
    if c['distill'] and any(e.teacher is None for e in examples):
        sys.exit('These data were prepared without a teacher: prepare them again, or leave distill out.')
    return examples


def loss_of(r, batch, c):
    "Eq. 4; with a teacher, part of the emotion's loss is the distance to what it says"
    kind = 'soft' if c['soft'] else 'nll'
    return reasoner_loss(r(batch.src), batch, c['smoothing'], kind, c['distill'], c['heat']).total


def run(data, c, out, save=None):
    "One try"
    model = untrained(data, c)
    examples, r = texts(data, c), model.reasoner
    most = preset('default')['training']['max_tokens_per_batch']
    sampler = BatchSampler(examples, most, c['order'] or c['seed'])
    rest = [p for n, p in r.named_parameters() if n != 'words.weight']
    groups = [dict(params=rest, base=c['lr']),
              dict(params=[r.words.weight], base=c['lr'] * c['words_lr'])]
    adam = torch.optim.Adam(groups, betas=(.9, .997), eps=1e-9, fused=True)
    mean = AveragedModel(r, multi_avg_fn=get_ema_multi_avg_fn(c['average']))
    step, total = 0, len(sampler.batches()) * c['epochs']
    for epoch in range(1, c['epochs'] + 1):
        begin = time.time()
        for rows in sampler.batches():
            r.train()
            batch = collate([examples[i] for i in rows])
            if c['word_dropout']: batch = drop_words(batch, c['word_dropout'])
            rise, fall = min((step + 1) / 200, 1), (1 + math.cos(math.pi * step / total)) / 2
            for g in adam.param_groups: g['lr'] = g['base'] * rise * fall
            loss = loss_of(r, batch, c)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(r.parameters(), 1.)
            adam.step()
            mean.update_parameters(r)
            step += 1
        sampler.epoch += 1
        line = c | dict(epoch=epoch, seconds=round(time.time() - begin), **measure(model, data))
        model.reasoner = mean.module
        line |= {f'mean_{k}': v for k, v in measure(model, data).items()}
        model.reasoner = r
        write(line, out, c)
    if save: save_file({k: v.contiguous() for k, v in mean.module.state_dict().items()}, save)


def average(data, c, files, out):
    "The mean of the weights of several tries"
    model, states = untrained(data, c), [load_file(f) for f in files]
    model.reasoner.load_state_dict({k: sum(s[k] for s in states) / len(states) for k in states[0]})
    write(c | dict(mean_of=len(files)) | measure(model.eval(), data), out, c)


def write(line, out, c):
    "A line of the results, and on the screen what is new in it"
    line['teacher'] = 'emotions' if line['distill'] else ''      # of data/labels; of a mean, what its tries had is for the caller to say
    line = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
    with open(out, 'a') as f: f.write(json.dumps(line) + '\n')
    print({k: v for k, v in line.items() if k not in c}, flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', type=Path, default=ROOT/'data/results/reasoner_tries.jsonl')
    parser.add_argument('--save', type=Path, help='write the mean weights of the last epoch')
    parser.add_argument('--mean', nargs='+', type=Path, help='files of --save to take the mean of')
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE',
                        help=', '.join(f'{k}={v}' for k, v in USUAL.items()))
    a = parser.parse_args()
    given = dict(s.split('=', 1) for s in a.settings)
    if given.keys() - USUAL.keys(): sys.exit(f'unknown: {", ".join(given.keys() - USUAL.keys())}')
    data = load_prepared(a.data)
    if not data.gold_causes: sys.exit(f'{a.data} has no labels to judge by: prepare it with --judge')
    values = {k: type(USUAL[k])(json.loads(v)) for k, v in given.items()}
    c = USUAL | values | dict(vectors=data.facts['vectors'], causes=data.facts['causes'])
    if a.mean: average(data, c, a.mean, a.out)
    else: run(data, c, a.out, a.save)
