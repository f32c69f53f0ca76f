"""How well are causes found, and how well could they be?
`python tools/causes.py --data DATA --detector RUN --model MODEL --runs NAME=RUN ...`.

The authors' labels belong to whole dialogues, and a reasoner sees only what was said so far. So
beside the reasoner this measures a detector that read the whole dialogue, and the same detector
reading only the prefix. Dialogues with an odd hash, word by word, by the number of turns in the
prefix. Writes data/results/cause_ceiling.json, and what runs with `--judge` noted of each epoch to
data/results/cause_epochs.json.
"""
import argparse
import json
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
RESULTS = ROOT/'data'/'results'
HALF = 'valid, odd half'
NOTED = 'stage', 'epoch', 'judged_auc', 'judged_interval', 'cause_auc', 'emotion_accuracy'


def spread(example, values):
    "A number for each utterance -> one for each token of `src`"
    ends = np.array(example.src) == SEP
    return np.asarray(values)[ends.cumsum() - ends]


def padded(values, n):
    "n numbers: utterances that the detector did not read are improbable"
    missing = max(n - len(values), 0)
    return np.concatenate([values, np.full(missing, -9.)])[:n]


def epoch_of(line):
    "What is kept of the metrics of an epoch"
    return {key: line[key] for key in NOTED}


def noted(folder):
    "What a run noted of each epoch, with its settings"
    run = json.loads((folder/'run.json').read_text())
    lines = (folder/'metrics.jsonl').read_text().splitlines()
    return dict(
        model=run.get('model', {}),
        preset=run['preset'],
        causes=run['causes'],
        vectors=run['vectors'],
        seed=run['training']['seed'],
        epochs=[epoch_of(json.loads(line)) for line in lines])


def keep_runs(runs):
    "What runs noted of each epoch, with the settings in which they differ"
    res = {}
    for name, folder in runs.items():
        res[name] = noted(Path(folder))
        priors = json.loads((Path(folder)/'priors.json').read_text())
    text = json.dumps(dict(split=HALF, priors=priors, runs=res), indent=1) + '\n'
    (RESULTS/'cause_epochs.json').write_text(text)
    for name, run in res.items(): print(name, [round(e['judged_auc'], 3) for e in run['epochs']])


def prefix_target(example, dialogue):
    "What a detector reads that sees only what was said so far"
    said = dialogue.utterances[:example.turn]
    return dialogue_target(replace(dialogue, utterances=said, causes=None))


def detector_scores(detector, dialogues, examples):
    "Of each word, by the whole dialogue and by its prefix"
    by_id = {d.id: d for d in dialogues}
    found = detector.logits([dialogue_target(d) for d in dialogues])
    whole = dict(zip(by_id, found))
    prefix = detector.logits([prefix_target(e, by_id[e.id]) for e in examples])
    return {
        'detector, whole dialogue': [spread(e, padded(whole[e.id], e.turn)) for e in examples],
        'detector, prefix': [spread(e, values) for e, values in zip(examples, prefix)]}


def aucs(examples, scores, turns):
    "AUC of each source of scores over the prefixes of so many turns; None = all"
    rows = [i for i, e in enumerate(examples) if turns in (None, e.turn)]
    gold = [examples[i] for i in rows]
    res = dict(examples=len(rows))
    for name, values in scores.items(): res[name] = cause_auc([values[i] for i in rows], gold)
    return res


def odd_half(data):
    "Dialogues of validation with the authors' labels"
    labelled = with_causes(load_split('valid', data), data/'recec/valid_with_cause.json')
    return [d for d in labelled if not for_choosing(d.id)]


def ceiling(model, detector, data):
    "AUC of each source of scores, by the number of turns"
    dialogues = odd_half(data)
    examples = make_examples(dialogues, model.vocab)
    scores = detector_scores(detector, dialogues, examples)
    scores['reasoner'] = model_scores(model, examples)
    scores['place alone'] = [position_baseline(e) for e in examples]
    lengths = {'all': None, '1': 1, '3': 3, '5': 5}
    return {name: aucs(examples, scores, turns) for name, turns in lengths.items()}


def tell(name, row):
    "A line of the results"
    found = {k: round(v['auc'], 3) for k, v in row.items() if k != 'examples'}
    print(name, row['examples'], found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', required=True)
    parser.add_argument('--detector', required=True)
    parser.add_argument('--model')
    parser.add_argument('--runs', nargs='*', default=[], metavar='NAME=RUN')
    args = parser.parse_args()
    if args.runs: keep_runs(dict(run.split('=', 1) for run in args.runs))
    data = data_dir(args.data)
    model = EmpatheticModel.from_pretrained(args.model)
    detector = load_detector(args.detector, 1)
    res = ceiling(model, detector, data)
    out = dict(
        split=HALF,
        model=model.card.get('name'),
        causes=model.card.get('causes'),
        detector=detector.config.encoder,
        by_turns=res)
    (RESULTS/'cause_ceiling.json').write_text(json.dumps(out, indent=1) + '\n')
    for name, row in res.items(): tell(name, row)


if __name__ == '__main__': main()
