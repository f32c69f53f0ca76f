"""Keep what detectors of emotion causes measured and marked: `python tools/labels.py --reccon RUN --adapted RUN [--pair RUN] [--words RUN] [--spans RUN]`.

RUN is a folder that `ecgen detector` wrote. Their figures go to data/results/detector_*.json; data/labels/README.md says what the
labels beside it are (`ecgen annotate --no-text` wrote those) and how good. No text of any corpus is kept.
"""
import argparse, gzip, json, os, platform
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABELS, RESULTS = ROOT/'data'/'labels', ROOT/'data'/'results'

CARD = """# Cause labels of EmpatheticDialogues

<!-- Written by tools/labels.py. -->

Which utterances hold the cause of the speaker's emotion, for every dialogue of the training and the validation split, as
`conv_id`, 0-based indices and the probability of each utterance up to the last speaker turn. There is no text in these files:
join them with your own copy of the corpus (`ecgen download ed`, then `ecgen train --causes adapted`). `sample_*` are the labels of
the sample dialogues that come with this package.

| folder | how it was made | F1 | kappa | exact set |
|---|---|---|---|---|
{rows}

The figures are agreement with the labels that the authors of the paper published for the validation split, on the {n} dialogues
whose id has an odd SHA-1; the thresholds of `reccon` were chosen on, and `adapted` was trained on, the even ones. So **cause figures of any model
trained on `adapted` may be given on the odd dialogues only**. The authors' labels came from a detector too: agreement with them
says how near these labels are to theirs, not how right they are. On the causes that were chosen by reading for this package's sample,
two plain rules agree better than either of these sets (notebook annotation). The labels are those of whole dialogues: a prefix of one
may be labelled because of what was said later.

`spans` is another kind: labels of *words*, made anew for every speaker turn from what was said up to then, so nothing in them comes from a
later turn. A word has a hexadecimal digit, 0 for improbable, f for certain: the probability that its utterance is a cause, times the
probability that it lies in the span of that cause. `ecgen train --causes spans` learns the words, `--causes adapted-prefix` the utterances of the same
file. Its detector learnt the words of causes from RECCON's annotators and, like `adapted`, utterances from the even dialogues too; its row says how its
*utterances* agree when it reads the whole dialogue, its words are measured in spans. It was made with
`ecgen detector --form words` and `ecgen annotate --words --no-text`.

`emotions` has no causes: it is what a teacher says of the *emotions* of the training split, for a smaller model to learn from
(`ecgen train --set distill=SHARE`). The teacher is the sentence encoder all-MiniLM-L6-v2 (Apache-2.0), fine-tuned on the emotions of the training
split; on validation {accuracy:.1%} of its emotions are right. It has 64 hexadecimal digits for the context of each listener turn (`contexts`)
and for what the speaker wrote before the dialogue (`situation`): 32 signed 8-bit integers, the logits of the emotions in the order of
`ecgen info --emotions`, in sixteenths. Since the teacher learnt from these very dialogues, it is right about more of them than about new ones.
`tools/teacher.py` wrote the file.

Detector of `reccon` and `adapted`: {detector}. Made with `ecgen detector` and `ecgen annotate --networks 1 --no-text`; the notebooks detector and
annotation tell how, and what three networks reach.
Licence of the labels: CC BY-NC 4.0, as the corpus that they belong to.
"""
HOW = dict(reccon='trained on RECCON; from the authors\' labels only its four thresholds, by distance', adapted='the same, then trained on the authors\' labels of the even dialogues',
           spans='words: trained on RECCON\'s spans, then on the authors\' labels of the even dialogues too')


def teacher_accuracy():
    "Of the teacher on validation, after its last epoch"
    lines = (RESULTS/'emotion_teacher.jsonl').read_text(encoding='utf-8').splitlines()
    return json.loads(lines[-1])['emotion_accuracy']


def read(path): return json.loads(Path(path).read_text(encoding='utf-8'))


def provenance(run):
    "What is needed to make a detector again"
    card = read(Path(run)/'detector.json')
    versions = {p: version(p) for p in ('torch', 'transformers', 'numpy')} | dict(python=platform.python_version())
    return {k: card[k] for k in ('config', 'targets', 'data', 'start', 'seeds', 'thresholds', 'words', 'labelled') if k in card} | dict(versions=versions, hardware=f'{os.cpu_count()} CPU cores')


def keep(name, what):
    RESULTS.mkdir(exist_ok=True)
    (RESULTS/f'{name}.json').write_text(json.dumps(what, indent=1) + '\n', encoding='utf-8')
    print(f'data/results/{name}.json')


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name in ('reccon', 'adapted', 'pair', 'words', 'spans'): a.add_argument(f'--{name}', metavar='RUN', help='folder that `ecgen detector` wrote')
    runs = {k: v for k, v in vars(a.parse_args()).items() if v}
    for name, run in runs.items(): keep(f'detector_{name}', read(Path(run)/'results.json') | dict(made=provenance(run)))
    found = {n: read(RESULTS/f'detector_{n}.json') for n in HOW if (RESULTS/f'detector_{n}.json').exists()}
    rows = [f'| {n} | {HOW[n]} | {r["agreement"]["1"]["f1"]:.3f} | {r["agreement"]["1"]["kappa"]:.3f} | {r["agreement"]["1"]["exact"]:.3f} |' for n, r in found.items()]
    rules = next(iter(found.values()))['agreement']['rules']
    rows += [f'| (no file) | place table: what most labels are at each place, learnt on the even dialogues | {found["reccon"]["agreement"]["place"]["f1"]:.3f} | {found["reccon"]["agreement"]["place"]["kappa"]:.3f} | {found["reccon"]["agreement"]["place"]["exact"]:.3f} |']
    rows += [f'| (no file) | rule: {n} | {r["f1"]:.3f} | {r["kappa"]:.3f} | {r["exact"]:.3f} |' for n, r in rules.items()]
    some = next(iter(found.values()))
    detector = f'one network on {some["made"]["config"]["encoder"]}, {some["made"]["config"]["form"]} form, and one model of place and length'
    LABELS.mkdir(exist_ok=True)
    (LABELS/'README.md').write_text(CARD.format(rows='\n'.join(rows), n=f'{some["agreement"]["1"]["dialogues"]:,}', detector=detector, accuracy=teacher_accuracy()), encoding='utf-8')
    for f in sorted(LABELS.glob('*/*.jsonl.gz')): print(f.relative_to(ROOT), f'{len(gzip.decompress(f.read_bytes()).splitlines()):,} dialogues, {f.stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__': main()
