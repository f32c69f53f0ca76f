"""Do responses fit? A blind reading of 100 contexts by two judges, and what it says.

  python tools/fit.py draw --data DIR --out sheets [--old MODEL]     sheet.jsonl for the judges, key.json to be kept from them
  python tools/fit.py score --out sheets JUDGE1.jsonl JUDGE2.jsonl     -> data/results/fit.json
  python tools/fit.py draw-sample --out sheets           sample.jsonl: the sample's validation dialogues, answered with seed 0
  python tools/fit.py score-sample --out sheets JUDGE1.jsonl JUDGE2.jsonl   -> data/results/fit_sample.json

The contexts are drawn from the half of the validation split that no setting of sample and rank was chosen on. Each is answered by the
shipped model with top-k 3, by the same model with sample and rank, by the person who was there and, if one is named, by an earlier model
with top-k 3; the rows are shuffled. A judge writes,
for each row, {"row": "F001", "fluent": 1, "fits": 1, "person": 1, "emotion": 1, "specific": 0}, by tools/fit.md, without knowing the system
or the other judge's marks. A response is counted as fitting if its first four marks are 1. The judges of data/results/fit.json are
machine readers, and are called so wherever its figures stand.
"""
import argparse, json, random, sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.bootstrap import bootstrap
from ecgen.causes.labels import agreement

MARKS = ('fluent', 'fits', 'person', 'emotion', 'specific')
SEED = 2026


def draw(data, out, n, old):
    "Sheet and key"
    from decoders import turns_of
    from ecgen.data.dialogues import detokenize
    from ecgen.data.readers import load_split
    from ecgen.model.decoding import Decoder
    from ecgen.evaluation.evaluation import respond_all
    from ecgen.model.model import EmpatheticModel
    from ecgen.model.ranking import RANKED
    model = EmpatheticModel.from_pretrained()
    examples, info = turns_of(data, model.vocab, False, n, SEED)
    texts = {d.id: d.utterances for d in load_split('valid', data)}
    said = dict(people=[texts[e.id][e.turn].strip() for e in examples])
    for name, decoder in dict(topk3=Decoder(), ranked=RANKED).items():
        said[name] = [detokenize(w) for w in respond_all(model, examples, decoder, seed=SEED)]
    if old:      # an earlier model has words of its own
        model_before = EmpatheticModel.from_pretrained(old)
        before, _ = turns_of(data, model_before.vocab, False, n, SEED)
        if [(e.id, e.turn) for e in before] != [(e.id, e.turn) for e in examples]: sys.exit(f'{old} was drawn other contexts')
        said['old_topk3'] = [detokenize(w) for w in respond_all(model_before, before, Decoder(), seed=SEED)]
    rows = [(name, i) for i in range(n) for name in said]
    random.Random(SEED).shuffle(rows)
    out.mkdir(parents=True, exist_ok=True)
    sheet = [dict(row=f'F{k:03}', context=[t.strip() for t in info[i]['context']], response=said[name][i])
             for k, (name, i) in enumerate(rows, 1)]
    (out/'sheet.jsonl').write_text(''.join(json.dumps(r, ensure_ascii=False) + '\n' for r in sheet), encoding='utf-8')
    key = {f'F{k:03}': dict(system=name, context=i) for k, (name, i) in enumerate(rows, 1)}
    (out/'key.json').write_text(json.dumps(dict(rows=key, n=n, seed=SEED, model=model.card.get('name'))))


def score(out, files):
    key = json.loads((out/'key.json').read_text())
    marks = [{r['row']: r for r in map(json.loads, Path(f).read_text().splitlines())} for f in files]
    for f, m in zip(files, marks):
        if set(m) != set(key['rows']): sys.exit(f'{f} has not one line for each of the {len(key["rows"])} rows')
    n, systems = key['n'], sorted({v['system'] for v in key['rows'].values()})
    place = {s: {v['context']: row for row, v in key['rows'].items() if v['system'] == s} for s in systems}
    table = {}      # system -> (judges, contexts) of 0 and 1
    for s in systems:
        rows = [place[s][i] for i in range(n)]
        table[s] = {k: np.array([[int(m[r][k]) for r in rows] for m in marks]) for k in MARKS}
        table[s]['fit'] = np.prod([table[s][k] for k in MARKS[:4]], axis=0)
    def interval(x): return [round(end, 4) for end in bootstrap(lambda i: x[i].mean(), [1] * n, 2000)]
    fit = {s: t['fit'].mean(0) for s, t in table.items()}
    a, b = (np.concatenate([table[s]['fit'][j] for s in systems]) for j in (0, 1))
    res = dict(judges='two machine readers, blind', contexts=n, seed=key['seed'], model=key['model'], kappa_fit=float(agreement(a, b)['kappa']),
               systems={s: dict(fit=float(x.mean()), interval=interval(x), by_judge=table[s]['fit'].mean(1).tolist(),
                                marks={k: float(table[s][k].mean()) for k in MARKS}) for s, x in fit.items()},
               **{f'ranked_minus_{s}': dict(difference=float((fit['ranked'] - fit[s]).mean()), interval=interval(fit['ranked'] - fit[s]))
                  for s in ('topk3', 'old_topk3') if s in fit})
    (ROOT/'data/results/fit.json').write_text(json.dumps(res, indent=1) + '\n')
    print(json.dumps(res, indent=1))


def sample_dialogues():
    "The validation dialogues that come with the package, up to the speaker's last turn"
    from ecgen import load_split
    from ecgen.data.files import shipped
    return [(d.id, list(d.utterances[:d.last_speaker_turn + 1])) for d in load_split('valid', shipped('sample'))]


def draw_sample(out):
    from ecgen import EmpatheticModel
    model = EmpatheticModel.from_pretrained()
    rows = [dict(row=f'S{i:02}', context=turns, response=model.respond(turns, seed=0).response) for i, (_, turns) in enumerate(sample_dialogues())]
    (out/'sample.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows), encoding='utf-8')


def score_sample(out, files):
    "The first dialogue whose response both judges call fitting, and the first whose response neither does"
    from ecgen import EmpatheticModel
    from ecgen.evaluation.evaluation import weights_hash
    ids = [name for name, _ in sample_dialogues()]
    marks = [{r['row']: r for r in map(json.loads, Path(f).read_text().splitlines())} for f in files]
    fits = [[all(m[f'S{i:02}'][k] for k in MARKS[:4]) for m in marks] for i in range(len(ids))]
    res = dict(judges='two machine readers, blind', dialogues=len(ids), decoder='ranked', seed=0, weights=weights_hash(EmpatheticModel.from_pretrained()),
               both=sum(map(all, fits)), neither=sum(not any(f) for f in fits),
               first_that_fits=next((d for d, f in zip(ids, fits) if all(f)), None),
               first_that_does_not=next((d for d, f in zip(ids, fits) if not any(f)), None))
    (ROOT/'data/results/fit_sample.json').write_text(json.dumps(res, indent=1) + '\n')
    print(json.dumps(res, indent=1))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('draw', 'score', 'draw-sample', 'score-sample'))
    parser.add_argument('marks', nargs='*')
    parser.add_argument('--data', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--old', type=Path, help='an earlier model, to compare with')
    parser.add_argument('--n', type=int, default=100)
    args = parser.parse_intermixed_args()
    if args.what == 'draw': draw(args.data, args.out, args.n, args.old)
    elif args.what == 'score': score(args.out, args.marks)
    elif args.what == 'draw-sample': draw_sample(args.out)
    else: score_sample(args.out, args.marks)
