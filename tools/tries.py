"""Try settings of the reasoner quickly: `python tools/tries.py --data PREPARED [KEY=VALUE ...]`, one try a call.

PREPARED is a folder of `ecgen prepare` with --judge and with labels that have probabilities. The reasoner alone is trained, with a
half cosine of the rate, and measured on validation after each epoch, as it is and (`average`) as the running mean of its weights.
Each epoch becomes a line of data/results/reasoner_tries.jsonl. What was liked best there is then trained in full by `ecgen train`.
"""
import argparse, json, math, sys, time
from dataclasses import replace
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.batches import CLS, PAD, SEP, UNK, BatchSampler, collate
from ecgen.model.presets import preset
from ecgen.model.reasoner import reasoner_loss
from ecgen.training.callbacks import cause_auc, model_scores
from ecgen.training.prepared import load_prepared
from ecgen.training.runs import prepare_model
from ecgen.training.trainer import TrainingConfig, validate

USUAL = dict(epochs=4, layers=1, dropout=.2, lr=4e-4, words_lr=1., word_dropout=0., smoothing=.1, soft=True, average=.999, vectors='', seed=1024)


def drop_words(batch, share):
    "Make some words of the contexts unknown"
    hit = (torch.rand(batch.src.shape) < share) & (batch.src != PAD) & (batch.src != CLS) & (batch.src != SEP)
    return replace(batch, src=torch.where(hit, UNK, batch.src))


def measure(model, data):
    "Accuracy and loss of emotions, AUC of causes"
    v = validate(model, data.valid, 'reasoner')
    return dict(emotion_accuracy=v['emotion_accuracy'], emotion=v['emotion'], judged_auc=cause_auc(model_scores(model, data.gold_causes), data.gold_causes, 0)['auc'])


def run(data, c, out):
    "One try"
    cfg = TrainingConfig(**preset('default')['training'] | dict(seed=c['seed']))
    model = prepare_model(data, 'default', cfg, **{'reasoner.layers': c['layers'], 'reasoner.dropout': c['dropout']})
    r, sampler = model.reasoner, BatchSampler(data.train, cfg.max_tokens_per_batch, c['seed'])
    groups = [dict(params=[p for n, p in r.named_parameters() if n != 'words.weight'], base=c['lr']), dict(params=[r.words.weight], base=c['lr'] * c['words_lr'])]
    adam, mean = torch.optim.Adam(groups, betas=(.9, .997), eps=1e-9, fused=True), AveragedModel(r, multi_avg_fn=get_ema_multi_avg_fn(c['average']))
    step, total = 0, len(sampler.batches()) * c['epochs']
    for epoch in range(1, c['epochs'] + 1):
        begin = time.time()
        for rows in sampler.batches():
            r.train()
            batch = collate([data.train[i] for i in rows])
            if c['word_dropout']: batch = drop_words(batch, c['word_dropout'])
            for g in adam.param_groups: g['lr'] = g['base'] * min((step + 1) / 200, 1) * (1 + math.cos(math.pi * step / total)) / 2
            loss = reasoner_loss(r(batch.src), batch, c['smoothing'], 'soft' if c['soft'] else 'nll').total
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
        with open(out, 'a') as f: f.write(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}) + '\n')
        print({k: round(v, 4) for k, v in line.items() if k not in c}, flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', type=Path, default=ROOT/'data/results/reasoner_tries.jsonl')
    parser.add_argument('settings', nargs='*', metavar='KEY=VALUE', help=', '.join(f'{k}={v}' for k, v in USUAL.items()))
    a = parser.parse_args()
    given = dict(s.split('=', 1) for s in a.settings)
    if given.keys() - USUAL.keys(): sys.exit(f'unknown: {", ".join(given.keys() - USUAL.keys())}')
    data = load_prepared(a.data)
    if not data.gold_causes: sys.exit(f'{a.data} has no labels to judge by: prepare it with --judge')
    run(data, USUAL | {k: type(USUAL[k])(json.loads(v)) for k, v in given.items() if k != 'vectors'} | dict(vectors=data.facts['vectors']), a.out)
