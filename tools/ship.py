"""Make the model of a finished run the one that is shipped.

  python tools/ship.py runs/default --data DIR [--causes FILE] [--hardware TEXT]

writes data/model/ (compact weights and README.md, the model card) and data/results/ (figures of the compact weights on the
validation split with both decoders, and the metrics of every epoch), all taken from the run or measured here.
"""
import argparse, json, platform, shutil, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.corpus import listener_turns, load_split
from ecgen.evaluation import evaluate
from ecgen.model import EmpatheticModel, write_json

CARD = """# Model card: {name}

The default model of ecgen: emotion reasoner and response generator with soft gated attention (Gao et al., Findings of EMNLP
2021), {parameters:.1f} million parameters. It is a research model. It is not a counsellor and must not be used as one.

**Licence.** The weights were trained on EmpatheticDialogues (CC BY-NC 4.0): non-commercial use only.

| made from | |
|---|---|
| data | EmpatheticDialogues, training split: {dialogues[0]:,} dialogues, {examples:,} listener turns |
| cause labels | `{causes}`: {causes_note} |
| word vectors | `{vectors}` (start of both word tables) |
| preset, seed | `{preset}`, {seed}; epoch {epoch} of joint training has the lowest validation loss |
| hardware, time | {hardware}; {hours:.1f} hours of training, {precision} |
| form | {megabytes:.1f} MB: word tables as 8-bit integers with a scale a row, the rest in float16 |

Validation split, {n:,} listener turns, measured on the compact weights (`data/results/default_valid_*.json`; the test split was
never read). Perplexity is per word of a vocabulary of {vocab:,} with {unk:.1%} unknown words.

| | top-k, k = 3 | greedy |
|---|---|---|
{rows}

{cause_text}
"""
NOTES = dict(rule='the rule "last speaker utterance and the speaker turn before it", not a trained detector')
ROWS = dict(emotion_accuracy='emotion accuracy (32 classes)', perplexity='perplexity', bleu4='BLEU-4', dist1='Dist-1', dist2='Dist-2',
            cause_auc='cause AUC', cause_precision='cause precision at p > .5', cause_recall='cause recall', cause_f1='cause F1',
            cause_f1_all_ones='F1 of marking every word')


def table(results):
    "Rows of figures, one column a result"
    digits = dict(perplexity=1, bleu4=2)
    return '\n'.join(f'| {text} | ' + ' | '.join(f'{r[k]:.{digits.get(k, 3)}f}' for r in results) + ' |' for k, text in ROWS.items() if k in results[0])


def ship(run, data, causes, hardware):
    "Everything that the documentation at the top says"
    model, out, res = EmpatheticModel.from_pretrained(run), ROOT/'data'/'model', ROOT/'data'/'results'
    res.mkdir(exist_ok=True)
    model.card |= dict(name='ecgen-default', hardware=hardware)
    model.save_pretrained(out, compact=True)
    shutil.copy(run/'metrics.jsonl', res/'default_training.jsonl')
    model, size = EmpatheticModel.from_pretrained(out), sum(f.stat().st_size for f in out.iterdir() if f.suffix != '.md')
    results = [evaluate(model, data, 'valid', causes, decoder=d) | dict(hardware=hardware) for d in ('topk', 'greedy')]
    for r in results: write_json(res/f'default_valid_{r["decoder"]}.json', r)
    card, r = model.card, results[0]
    cause_text = f'Cause figures: word level, against the paper\'s authors\' released validation labels, {r["cause_words"]:,} words.' if causes else ''
    (out/'README.md').write_text(CARD.format(
        **{k: card[k] for k in ('name', 'dialogues', 'causes', 'vectors', 'preset', 'epoch')}, seed=card['training']['seed'],
        examples=listener_turns(load_split('train', data)), precision=card['training']['precision'], causes_note=NOTES.get(card['causes'], 'a label file'), hardware=hardware, hours=card['train_seconds'] / 3600,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6, megabytes=size / 1e6, n=r['examples'], vocab=len(model.vocab),
        unk=r['unk_share'], rows=table(results), cause_text=cause_text).strip() + '\n', encoding='utf-8')
    print((out/'README.md').read_text(encoding='utf-8'))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--causes', type=Path)
    parser.add_argument('--hardware', default=f'{platform.machine()} CPU')
    args = parser.parse_args()
    ship(args.run, args.data, args.causes, args.hardware)
