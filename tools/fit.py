"""Do responses fit? A blind reading of 100 contexts by two judges, and what it says.

  python tools/fit.py draw --data DIR --out sheets [--old MODEL]
      sheet.jsonl for the judges, key.json to be kept from them
  python tools/fit.py score --out sheets JUDGE1.jsonl JUDGE2.jsonl
      -> data/results/fit.json
  python tools/fit.py draw-choice --data DIR --out sheets
      the same for some settings of sample and rank, on contexts of the half for choosing
  python tools/fit.py score-choice --out sheets JUDGE1.jsonl JUDGE2.jsonl
      -> data/results/fit_choice.json
  python tools/fit.py draw-sample --out sheets
      sample.jsonl: the sample's validation dialogues, answered with seed 0
  python tools/fit.py score-sample --out sheets JUDGE1.jsonl JUDGE2.jsonl
      -> data/results/fit_sample.json

The contexts are drawn from the half of the validation split that no setting of sample and rank was
chosen on. Each is answered by the shipped model with top-k 3, by the same model with sample and
rank, by the person who was there and, if one is named, by an earlier model with top-k 3; the rows
are shuffled. A judge writes, for each row,
{"row": "F001", "fluent": 1, "fits": 1, "person": 1, "emotion": 1, "specific": 0},
by tools/fit.md, without knowing the system or the other judge's marks. A response is counted as
fitting if its first four marks are 1. The rule of choice was written before any mark was seen: of
the settings whose share of fitting responses is within .03 of the best, the one with the largest
share of responses that fit and are specific. The judges of data/results/fit*.json are machine
readers, and are called so wherever its figures stand.
"""
import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.causes.labels import agreement
from ecgen.data.bootstrap import bootstrap

RESULTS = ROOT/'data'/'results'
JUDGES = 'two machine readers, blind'
MARKS = ('fluent', 'fits', 'person', 'emotion', 'specific')
CONTRASTS = ('ranked', 'topk3'), ('ranked', 'old_topk3'), ('topk3', 'old_topk3')
FITTING = MARKS[:4]      # those that a response needs
SEED = 2026
CHOICE_SEED = 2027
NEAR = .03               # of the best share of fitting responses
CHOICES = dict(          # what each changes in sample and rank as it is
    now={},
    cooler=dict(temperature=.6),
    common=dict(temperature=.6, elsewhere=.25),
    feeling=dict(temperature=.6, emotion=.3),
    both=dict(temperature=.6, elsewhere=.25, emotion=.3),
    narrow=dict(k=3))


def write_result(name, res):
    "A file of data/results, shown too"
    text = json.dumps(res, indent=1)
    (RESULTS/f'{name}.json').write_text(text + '\n')
    print(text)


def answers(model, examples, decoder, seed=SEED):
    "Responses as people read them"
    from ecgen.data.dialogues import detokenize
    from ecgen.evaluation.evaluation import respond_all
    return [detokenize(words) for words in respond_all(model, examples, decoder, seed=seed)]


def answers_of_people(data, examples):
    "What the person said who was there"
    from ecgen.data.readers import load_split
    texts = {d.id: d.utterances for d in load_split('valid', data)}
    return [texts[example.id][example.turn].strip() for example in examples]


def answers_before(data, n, old, examples):
    "Of an earlier model, which has words of its own, to the same contexts"
    from decoders import turns_of
    from ecgen.model.decoding import Decoder
    from ecgen.model.model import EmpatheticModel
    model = EmpatheticModel.from_pretrained(old)
    before, _ = turns_of(data, model.vocab, False, n, SEED)
    places = [(example.id, example.turn) for example in examples]
    if [(example.id, example.turn) for example in before] != places:
        sys.exit(f'{old} was drawn other contexts')
    return answers(model, before, Decoder())


def name_of(k): return f'F{k:03}'


def write_sheet(path, rows, said, info):
    "What a judge reads: contexts and responses"
    lines = []
    for k, (name, i) in enumerate(rows, 1):
        context = [turn.strip() for turn in info[i]['context']]
        line = dict(row=name_of(k), context=context, response=said[name][i])
        lines.append(json.dumps(line, ensure_ascii=False) + '\n')
    path.write_text(''.join(lines), encoding='utf-8')


def write_key(path, rows, n, model):
    "Which system answered which context in each row"
    key = {name_of(k): dict(system=name, context=i) for k, (name, i) in enumerate(rows, 1)}
    path.write_text(json.dumps(dict(rows=key, n=n, seed=SEED, model=model.card.get('name'))))


def draw(data, out, n, old):
    "Sheet and key"
    from decoders import turns_of
    from ecgen.model.decoding import Decoder
    from ecgen.model.model import EmpatheticModel
    from ecgen.model.ranking import RANKED
    model = EmpatheticModel.from_pretrained()
    examples, info = turns_of(data, model.vocab, False, n, SEED)
    said = dict(people=answers_of_people(data, examples))
    for name, decoder in dict(topk3=Decoder(), ranked=RANKED).items():
        said[name] = answers(model, examples, decoder)
    if old: said['old_topk3'] = answers_before(data, n, old, examples)
    rows = [(name, i) for i in range(n) for name in said]
    random.Random(SEED).shuffle(rows)
    out.mkdir(parents=True, exist_ok=True)
    write_sheet(out/'sheet.jsonl', rows, said, info)
    write_key(out/'key.json', rows, n, model)


def read_marks(path):
    "A judge's lines by their rows"
    lines = Path(path).read_text().splitlines()
    return {line['row']: line for line in map(json.loads, lines)}


def read_all_marks(files, rows):
    "The lines of all judges, if each has judged each row"
    rows, marks = set(rows), [read_marks(file) for file in files]
    for file, judge in zip(files, marks):
        if set(judge) != rows: sys.exit(f'{file} has not one line for each of the {len(rows)} rows')
    return marks


def is_fitting(line): return all(line[mark] for mark in FITTING)


def rows_of(key, system):
    "The names of a system's rows, in the order of their contexts"
    rows = key['rows'].items()
    place = {v['context']: row for row, v in rows if v['system'] == system}
    return [place[i] for i in range(key['n'])]


def zeros_and_ones(judge, rows, mark): return [int(judge[row][mark]) for row in rows]


def table_of(rows, marks):
    "For each mark, and for `fit`: (judges, contexts) of 0 and 1; `rows` are a system's"
    table = {}
    for mark in MARKS:
        table[mark] = np.array([zeros_and_ones(judge, rows, mark) for judge in marks])
    table['fit'] = np.prod([table[mark] for mark in FITTING], axis=0)
    return table


def interval(x):
    "95 % of a mean over contexts"
    ends = bootstrap(lambda i: x[i].mean(), [1] * len(x), 2000)
    return [round(end, 4) for end in ends]


def figures(table):
    "What is told of one system"
    fit = table['fit'].mean(0)
    return dict(
        fit=float(fit.mean()),
        interval=interval(fit),
        by_judge=table['fit'].mean(1).tolist(),
        marks={mark: float(table[mark].mean()) for mark in MARKS})


def difference(fit, other):
    "How much more often one system fits than another in the same contexts"
    more = fit - other
    return dict(difference=float(more.mean()), interval=interval(more))


def judged_by(j, tables):
    "All responses as one judge sees them: does each fit?"
    return np.concatenate([table['fit'][j] for table in tables.values()])


def score(out, files):
    "What two judges' marks say of each system"
    key = json.loads((out/'key.json').read_text())
    marks = read_all_marks(files, key['rows'])
    systems = sorted({v['system'] for v in key['rows'].values()})
    tables = {system: table_of(rows_of(key, system), marks) for system in systems}
    one, two = (judged_by(j, tables) for j in (0, 1))
    res = dict(judges=JUDGES, contexts=key['n'], seed=key['seed'], model=key['model'])
    res['kappa_fit'] = float(agreement(one, two)['kappa'])
    res['systems'] = {system: figures(table) for system, table in tables.items()}
    fit = {system: table['fit'].mean(0) for system, table in tables.items()}
    for first, other in CONTRASTS:
        if other not in fit: continue
        res[f'{first}_minus_{other}'] = difference(fit[first], fit[other])
    write_result('fit', res)


def answers_of_choices(data, n):
    "Model, what the judges are told of the contexts, and the answers of each setting"
    from decoders import turns_of
    from ecgen.model.model import EmpatheticModel
    from ecgen.model.ranking import RankedDecoder
    model = EmpatheticModel.from_pretrained()
    examples, info = turns_of(data, model.vocab, True, n, CHOICE_SEED)
    said = {}
    for name, changes in CHOICES.items():
        said[name] = answers(model, examples, RankedDecoder(**changes), CHOICE_SEED)
    return model, info, said


def draw_choice(data, out, n):
    "Sheet and key; an answer that several settings give is judged once"
    from ecgen.evaluation.evaluation import weights_hash
    model, info, said = answers_of_choices(data, n)
    first = {}          # an answer in its context -> the first setting that gives it
    for i in range(n):
        for name in said: first.setdefault((i, said[name][i]), (name, i))
    rows = list(first.values())
    random.Random(CHOICE_SEED).shuffle(rows)
    out.mkdir(parents=True, exist_ok=True)
    write_sheet(out/'sheet.jsonl', rows, said, info)
    row_of = {(i, said[name][i]): name_of(k) for k, (name, i) in enumerate(rows, 1)}
    key = {name: [row_of[i, x] for i, x in enumerate(each)] for name, each in said.items()}
    about = dict(rows=key, n=n, seed=CHOICE_SEED, weights=weights_hash(model))
    (out/'key.json').write_text(json.dumps(about))


def figures_of_choice(rows, marks):
    "What is told of one setting"
    table = table_of(rows, marks)
    both = table['fit'] * table['specific']
    return figures(table) | dict(fit_and_specific=float(both.mean()))


def score_choice(out, files):
    "What two judges' marks say of each setting, and which one is chosen"
    key = json.loads((out/'key.json').read_text())
    every = sorted(set().union(*key['rows'].values()))
    marks = read_all_marks(files, every)
    found = {name: figures_of_choice(rows, marks) for name, rows in key['rows'].items()}
    best = max(x['fit'] for x in found.values())
    near = [name for name, x in found.items() if x['fit'] >= best - NEAR]
    one, two = table_of(every, marks)['fit']
    write_result('fit_choice', dict(
        judges=JUDGES,
        half='for choosing',
        contexts=key['n'],
        seed=key['seed'],
        weights=key['weights'],
        responses=len(every),
        kappa_fit=float(agreement(one, two)['kappa']),
        near=NEAR,
        settings={name: dict(changes=CHOICES[name]) | x for name, x in found.items()},
        chosen=max(near, key=lambda name: found[name]['fit_and_specific'])))


def sample_dialogues():
    "The validation dialogues that come with the package, up to the speaker's last turn"
    from ecgen import load_split
    from ecgen.data.files import shipped
    dialogues = load_split('valid', shipped('sample'))
    return [(d.id, list(d.utterances[:d.last_speaker_turn + 1])) for d in dialogues]


def sample_name(i): return f'S{i:02}'


def draw_sample(out):
    "The sheet of the sample"
    from ecgen import EmpatheticModel
    model = EmpatheticModel.from_pretrained()
    lines = []
    for i, (_, turns) in enumerate(sample_dialogues()):
        response = model.respond(turns, seed=0).response
        line = dict(row=sample_name(i), context=turns, response=response)
        lines.append(json.dumps(line) + '\n')
    (out/'sample.jsonl').write_text(''.join(lines), encoding='utf-8')


def score_sample(out, files):
    """The first dialogue whose response both judges call fitting, and the first whose response
    neither does"""
    from ecgen import EmpatheticModel
    from ecgen.evaluation.evaluation import weights_hash
    ids = [name for name, _ in sample_dialogues()]
    marks = read_all_marks(files, map(sample_name, range(len(ids))))
    fitting, others = [], []
    for i, name in enumerate(ids):
        fits = [is_fitting(judge[sample_name(i)]) for judge in marks]
        if all(fits): fitting.append(name)
        if not any(fits): others.append(name)
    write_result('fit_sample', dict(
        judges=JUDGES,
        dialogues=len(ids),
        decoder='ranked',
        seed=0,
        weights=weights_hash(EmpatheticModel.from_pretrained()),
        both=len(fitting),
        neither=len(others),
        first_that_fits=next(iter(fitting), None),
        first_that_does_not=next(iter(others), None)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=(
        'draw', 'score', 'draw-choice', 'score-choice', 'draw-sample', 'score-sample'))
    parser.add_argument('marks', nargs='*')
    parser.add_argument('--data', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--old', type=Path, help='an earlier model, to compare with')
    parser.add_argument('--n', type=int, default=100)
    args = parser.parse_intermixed_args()
    if args.what == 'draw': draw(args.data, args.out, args.n, args.old)
    elif args.what == 'score': score(args.out, args.marks)
    elif args.what == 'draw-choice': draw_choice(args.data, args.out, args.n)
    elif args.what == 'score-choice': score_choice(args.out, args.marks)
    elif args.what == 'draw-sample': draw_sample(args.out)
    else: score_sample(args.out, args.marks)
