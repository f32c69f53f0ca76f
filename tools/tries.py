"""Try settings of the reasoner quickly:
`python tools/tries.py --data PREPARED [KEY=VALUE ...]`, one try a call.

PREPARED is a folder of `ecgen prepare` with --judge and with labels that have probabilities. The
reasoner alone is trained, with a half cosine of the rate, and measured on validation after each
epoch, as it is and (`average`) as the running mean of its weights. Each epoch becomes a line of
data/results/reasoner_tries.jsonl. What was liked best there is then trained in full by
`ecgen train`.

    python tools/tries.py --data PREPARED layers=3 --save three.safetensors
    python tools/tries.py --data PREPARED --mean a.safetensors b.safetensors
                                                   # the mean of saved tries' weights

`order` is the seed of the order of the examples; with the same `seed` two tries begin with the same
weights, so that a mean of what they become has a meaning. `distill` is the teacher's share of the
emotion loss, at the temperature `heat`; PREPARED has what the teacher said. In a line of the
results `teacher` says who it was; without one `distill` meant nothing, whatever its value.
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
    res = validate(model, data.valid, 'reasoner')
    auc = cause_auc(model_scores(model, data.gold_causes), data.gold_causes, 0)['auc']
    return dict(
        emotion_accuracy=res['emotion_accuracy'], emotion=res['emotion'], judged_auc=auc)


def untrained(data, settings):
    "The model of the preset `default` with the settings of a try"
    training = preset('default')['training'] | dict(seed=settings['seed'])
    changes = {
        'reasoner.layers': settings['layers'],
        'reasoner.dropout': settings['dropout']}
    return prepare_model(data, 'default', TrainingConfig(**training), **changes)


def texts(data, settings):
    "Examples to learn from"
    same_kind_of_labels(data)
    examples = data.train + (data.situations if settings['situations'] else [])
    if settings['distill'] and any(e.teacher is None for e in examples):
        sys.exit('These data were prepared without a teacher: '
                 'prepare them again, or leave distill out.')
    return examples


def loss_of(reasoner, batch, settings):
    "Eq. 4; with a teacher, part of the emotion's loss is the distance to what it says"
    kind = 'soft' if settings['soft'] else 'nll'
    smoothing, distill, heat = (settings[k] for k in ('smoothing', 'distill', 'heat'))
    return reasoner_loss(reasoner(batch.src), batch, smoothing, kind, distill, heat).total


def optimizer_of(reasoner, settings):
    "Adam, with a rate of its own for the word table"
    rate = settings['lr']
    rest = [p for name, p in reasoner.named_parameters() if name != 'words.weight']
    groups = [
        dict(params=rest, base=rate),
        dict(params=[reasoner.words.weight], base=rate * settings['words_lr'])]
    return torch.optim.Adam(groups, betas=(.9, .997), eps=1e-9, fused=True)


def set_rate(optimizer, step, total):
    "A short rise, then a half cosine"
    rise = min((step + 1) / 200, 1)
    fall = (1 + math.cos(math.pi * step / total)) / 2
    for group in optimizer.param_groups: group['lr'] = group['base'] * rise * fall


def train_step(reasoner, optimizer, batch, settings):
    "Learn from a batch"
    reasoner.train()
    if settings['word_dropout']: batch = drop_words(batch, settings['word_dropout'])
    loss = loss_of(reasoner, batch, settings)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(reasoner.parameters(), 1.)
    optimizer.step()


def measure_both(model, mean, data):
    "Of the reasoner as it is, and of the running mean of its weights"
    res = measure(model, data)
    reasoner = model.reasoner
    model.reasoner = mean
    res |= {f'mean_{k}': v for k, v in measure(model, data).items()}
    model.reasoner = reasoner
    return res


def save_weights(reasoner, path):
    "For `--mean`"
    save_file({k: v.contiguous() for k, v in reasoner.state_dict().items()}, path)


def run(data, settings, out, save=None):
    "One try"
    model = untrained(data, settings)
    examples = texts(data, settings)
    reasoner = model.reasoner
    most = preset('default')['training']['max_tokens_per_batch']
    sampler = BatchSampler(examples, most, settings['order'] or settings['seed'])
    optimizer = optimizer_of(reasoner, settings)
    mean = AveragedModel(reasoner, multi_avg_fn=get_ema_multi_avg_fn(settings['average']))
    step, total = 0, len(sampler.batches()) * settings['epochs']
    for epoch in range(1, settings['epochs'] + 1):
        begin = time.time()
        for rows in sampler.batches():
            set_rate(optimizer, step, total)
            train_step(reasoner, optimizer, collate([examples[i] for i in rows]), settings)
            mean.update_parameters(reasoner)
            step += 1
        sampler.epoch += 1
        line = settings | dict(epoch=epoch, seconds=round(time.time() - begin))
        line |= measure_both(model, mean.module, data)
        write(line, out, settings)
    if save: save_weights(mean.module, save)


def mean_of(states):
    "The mean of each parameter"
    def mean(name): return sum(state[name] for state in states) / len(states)
    return {name: mean(name) for name in states[0]}


def average(data, settings, files, out):
    "The mean of the weights of several tries"
    model = untrained(data, settings)
    states = [load_file(file) for file in files]
    model.reasoner.load_state_dict(mean_of(states))
    write(settings | dict(mean_of=len(files)) | measure(model.eval(), data), out, settings)


def write(line, out, settings):
    "A line of the results, and on the screen what is new in it"
    # of data/labels; of a mean, what its tries had is for the caller to say
    line['teacher'] = 'emotions' if line['distill'] else ''
    line = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
    with open(out, 'a') as file: file.write(json.dumps(line) + '\n')
    print({k: v for k, v in line.items() if k not in settings}, flush=True)


def read_settings(texts):
    "KEY=VALUE texts, over what is usual"
    given = dict(text.split('=', 1) for text in texts)
    unknown = given.keys() - USUAL.keys()
    if unknown: sys.exit(f'unknown: {", ".join(unknown)}')
    return USUAL | {k: type(USUAL[k])(json.loads(v)) for k, v in given.items()}


def arguments():
    "What the command line says"
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', type=Path, default=ROOT/'data/results/reasoner_tries.jsonl')
    parser.add_argument('--save', type=Path, help='write the mean weights of the last epoch')
    parser.add_argument('--mean', nargs='+', type=Path,
                        help='files of --save to take the mean of')
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE',
                        help=', '.join(f'{k}={v}' for k, v in USUAL.items()))
    return parser.parse_args()


def main():
    args = arguments()
    settings = read_settings(args.settings)
    data = load_prepared(args.data)
    if not data.gold_causes:
        sys.exit(f'{args.data} has no labels to judge by: prepare it with --judge')
    settings |= dict(vectors=data.facts['vectors'], causes=data.facts['causes'])
    if args.mean: average(data, settings, args.mean, args.out)
    else: run(data, settings, args.out, args.save)


if __name__ == '__main__': main()
