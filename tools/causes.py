"""How well are causes found, and how well could they be? `python tools/causes.py --data DATA --detector RUN --model MODEL --runs NAME=RUN ...`.

The authors' labels belong to whole dialogues, and a reasoner sees only what was said so far. So beside the reasoner this measures a
detector that read the whole dialogue, and the same detector reading only the prefix. Dialogues with an odd hash, word by word, by
the number of turns in the prefix. Writes data/results/cause_ceiling.json, and what runs with `--judge` noted of each epoch to
data/results/cause_epochs.json.
"""
import argparse, json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgen.causes.detector import dialogue_target, load_detector
from ecgen.causes.labels import for_choosing, with_causes
from ecgen.data.batches import SEP, make_examples
from ecgen.data.dialogues import data_dir
from ecgen.data.readers import load_split
from ecgen.model.model import EmpatheticModel
from ecgen.training.callbacks import cause_auc, model_scores, position_baseline

ROOT = Path(__file__).resolve().parent.parent


def spread(example, values):
    "A number for each utterance -> one for each token of `src`"
    ends = np.array(example.src) == SEP
    return np.asarray(values)[ends.cumsum() - ends]


def keep_runs(runs):
    "What runs noted of each epoch, with the settings in which they differ"
    res = {}
    for name, folder in runs.items():
        run, lines = (json.loads((Path(folder)/'run.json').read_text()), [json.loads(x) for x in (Path(folder)/'metrics.jsonl').read_text().splitlines()])
        keep = 'stage', 'epoch', 'judged_auc', 'judged_interval', 'cause_auc', 'emotion_accuracy'
        res[name] = dict(model=run.get('model', {}), preset=run['preset'], causes=run['causes'], vectors=run['vectors'], seed=run['training']['seed'], epochs=[{k: x[k] for k in keep} for x in lines])
        priors = json.loads((Path(folder)/'priors.json').read_text())
    (ROOT/'data/results/cause_epochs.json').write_text(json.dumps(dict(split='valid, odd half', priors=priors, runs=res), indent=1) + '\n')
    for name, r in res.items(): print(name, [round(e['judged_auc'], 3) for e in r['epochs']])


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('data', 'detector', 'model'): a.add_argument(f'--{name}', required=name != 'model')
    a.add_argument('--runs', nargs='*', default=[], metavar='NAME=RUN')
    a = a.parse_args()
    if a.runs: keep_runs(dict(r.split('=', 1) for r in a.runs))
    data = data_dir(a.data)
    ds = [d for d in with_causes(load_split('valid', data), data/'recec/valid_with_cause.json') if not for_choosing(d.id)]
    model, detector = EmpatheticModel.from_pretrained(a.model), load_detector(a.detector, 1)
    examples, by_id = make_examples(ds, model.vocab), {d.id: d for d in ds}
    whole = dict(zip(by_id, detector.logits([dialogue_target(d) for d in ds])))
    first = [dialogue_target(replace(by_id[e.id], utterances=by_id[e.id].utterances[:e.turn], causes=None)) for e in examples]
    pad = lambda z, n: np.concatenate([z, np.full(max(n - len(z), 0), -9.)])[:n]
    scores = {'detector, whole dialogue': [spread(e, pad(whole[e.id], e.turn)) for e in examples],
              'detector, prefix': [spread(e, z) for e, z in zip(examples, detector.logits(first))],
              'reasoner': model_scores(model, examples), 'place alone': [position_baseline(e) for e in examples]}
    res = {}
    for turns in (None, 1, 3, 5):
        rows = [i for i, e in enumerate(examples) if turns in (None, e.turn)]
        res['all' if turns is None else str(turns)] = dict(examples=len(rows)) | {k: cause_auc([s[i] for i in rows], [examples[i] for i in rows]) for k, s in scores.items()}
    out = dict(split='valid, odd half', model=model.card.get('name'), causes=model.card.get('causes'), detector=detector.config.encoder, by_turns=res)
    (ROOT/'data/results/cause_ceiling.json').write_text(json.dumps(out, indent=1) + '\n')
    for n, r in res.items(): print(n, r['examples'], {k: round(v['auc'], 3) for k, v in r.items() if k != 'examples'})


if __name__ == '__main__': main()
