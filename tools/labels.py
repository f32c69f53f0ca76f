"""Keep what detectors of emotion causes measured and marked:
`python tools/labels.py --reccon RUN --adapted RUN [--pair RUN] [--words RUN] [--spans RUN]`.

RUN is a folder that `ecgen detector` wrote. Their figures go to data/results/detector_*.json;
data/labels/README.md says what the labels beside it are (`ecgen annotate --no-text` wrote those)
and how good. No text of any corpus is kept.
"""
import argparse
import gzip
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABELS, RESULTS = ROOT/'data'/'labels', ROOT/'data'/'results'

CARD = """# Cause labels of EmpatheticDialogues

<!-- Written by tools/labels.py. -->

Which utterances hold the cause of the speaker's emotion, for every dialogue of the training and \
the validation split, as
`conv_id`, 0-based indices and the probability of each utterance up to the last speaker turn. \
There is no text in these files:
join them with your own copy of the corpus (`ecgen download ed`, then \
`ecgen train --causes adapted`). `sample_*` are the labels of
the sample dialogues that come with this package.

| folder | how it was made | F1 | kappa | exact set |
|---|---|---|---|---|
{rows}

The figures are agreement with the labels that the authors of the paper published for the \
validation split, on the {n} dialogues
whose id has an odd SHA-1; the thresholds of `reccon` were chosen on, and `adapted` was trained \
on, the even ones. So **cause figures of any model
trained on `adapted` may be given on the odd dialogues only**. The authors' labels came from a \
detector too: agreement with them
says how near these labels are to theirs, not how right they are. On the causes that were chosen \
by reading for this package's sample,
two plain rules agree better than either of these sets (notebook annotation). The labels are those \
of whole dialogues: a prefix of one
may be labelled because of what was said later.

`spans` is another kind: labels of *words*, made anew for every speaker turn from what was said up \
to then, so nothing in them comes from a
later turn. A word has a hexadecimal digit, 0 for improbable, f for certain: the probability that \
its utterance is a cause, times the
probability that it lies in the span of that cause. `ecgen train --causes spans` learns the words, \
`--causes adapted-prefix` the utterances of the same
file. Its detector learnt the words of causes from RECCON's annotators and, like `adapted`, \
utterances from the even dialogues too; its row says how its
*utterances* agree when it reads the whole dialogue, its words are measured in spans. \
It was made with
`ecgen detector --form words` and `ecgen annotate --words --no-text`.

`emotions` has no causes: it is what a teacher says of the *emotions* of the training split, \
for a smaller model to learn from
(`ecgen train --set distill=SHARE`; the preset `default`, and so the shipped model, does). \
The teacher is the sentence encoder all-MiniLM-L6-v2 (Apache-2.0), \
fine-tuned on the emotions of the training
split; on validation {accuracy:.1%} of its emotions are right. It has 64 hexadecimal digits for \
the context of each listener turn (`contexts`)
and for what the speaker wrote before the dialogue (`situation`): 32 signed 8-bit integers, \
the logits of the emotions in the order of
`ecgen info --emotions`, in sixteenths. Since the teacher learnt from these very dialogues, \
it is right about more of them than about new ones.
`tools/teacher.py` wrote the file.

Detector of `reccon` and `adapted`: {detector}. Made with `ecgen detector` and \
`ecgen annotate --networks 1 --no-text`; the notebooks detector and
annotation tell how, and what three networks reach.
Licence of the labels: CC BY-NC 4.0, as the corpus that they belong to.
"""
HOW = dict(
    reccon="trained on RECCON; from the authors' labels only its four thresholds, by distance",
    adapted="the same, then trained on the authors' labels of the even dialogues",
    spans="words: trained on RECCON's spans, then on the authors' labels of the even dialogues too")
PLACE = 'place table: what most labels are at each place, learnt on the even dialogues'
RUNS = 'reccon', 'adapted', 'pair', 'words', 'spans'


def teacher_accuracy():
    "Of the teacher on validation, after its last epoch"
    lines = (RESULTS/'emotion_teacher.jsonl').read_text(encoding='utf-8').splitlines()
    return json.loads(lines[-1])['emotion_accuracy']


def read(path): return json.loads(Path(path).read_text(encoding='utf-8'))


def provenance(run):
    "What is needed to make a detector again"
    card = read(Path(run)/'detector.json')
    wanted = ('config', 'targets', 'data', 'start', 'seeds', 'thresholds', 'words', 'labelled')
    facts = {k: card[k] for k in wanted if k in card}
    versions = {name: version(name) for name in ('torch', 'transformers', 'numpy')}
    versions['python'] = platform.python_version()
    return facts | dict(versions=versions, hardware=f'{os.cpu_count()} CPU cores')


def keep(name, what):
    "Write a file of data/results"
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(what, indent=1) + '\n'
    (RESULTS/f'{name}.json').write_text(text, encoding='utf-8')
    print(f'data/results/{name}.json')


def keep_run(name, run):
    "What a detector measured, and how it was made"
    keep(f'detector_{name}', read(Path(run)/'results.json') | dict(made=provenance(run)))


def kept_detectors():
    "What was measured of the detectors that made labels"
    files = {name: RESULTS/f'detector_{name}.json' for name in HOW}
    return {name: read(file) for name, file in files.items() if file.exists()}


def row(folder, how, figures):
    "A line of the card's table"
    numbers = ' | '.join(f'{figures[k]:.3f}' for k in ('f1', 'kappa', 'exact'))
    return f'| {folder} | {how} | {numbers} |'


def rows(found):
    "The card's table: detectors, then what needs none"
    first = next(iter(found.values()))
    rules = first['agreement']['rules']
    place = found['reccon']['agreement']['place']
    made = [row(name, HOW[name], res['agreement']['1']) for name, res in found.items()]
    plain = [row('(no file)', f'rule: {name}', figures) for name, figures in rules.items()]
    return [*made, row('(no file)', PLACE, place), *plain]


def card_text(found):
    "What the labels are, and how good"
    first = next(iter(found.values()))
    config = first['made']['config']
    detector = (f'one network on {config["encoder"]}, {config["form"]} form, '
                'and one model of place and length')
    return CARD.format(
        rows='\n'.join(rows(found)),
        n=f'{first["agreement"]["1"]["dialogues"]:,}',
        detector=detector,
        accuracy=teacher_accuracy())


def tell(file):
    "How much a file of labels holds"
    dialogues = len(gzip.decompress(file.read_bytes()).splitlines())
    size = file.stat().st_size / 1e6
    print(file.relative_to(ROOT), f'{dialogues:,} dialogues, {size:.2f} MB')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    for name in RUNS:
        parser.add_argument(f'--{name}', metavar='RUN', help='folder that `ecgen detector` wrote')
    for name, run in vars(parser.parse_args()).items():
        if run: keep_run(name, run)
    found = kept_detectors()
    LABELS.mkdir(exist_ok=True)
    (LABELS/'README.md').write_text(card_text(found), encoding='utf-8')
    for file in sorted(LABELS.glob('*/*.jsonl.gz')): tell(file)


if __name__ == '__main__': main()
