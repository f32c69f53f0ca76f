"""Make the model of a finished run the one that is shipped.

  python tools/ship.py runs/default --data DIR [--causes FILE] [--hardware TEXT]

writes data/model/ (compact weights and README.md, the model card) and data/results/ (figures of the compact weights on the
validation split with both decoders, the metrics of every epoch, and the losses, 20 steps to a line), all taken from the run or measured here.
The card also shows data/results/manipulation_default.json, which `ecgen manipulation-check` wrote; one of other weights is refused.
"""
import argparse, json, platform, shutil, sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.dialogues import listener_turns
from ecgen.data.files import write_json
from ecgen.data.readers import load_split
from ecgen.evaluation.evaluation import evaluate
from ecgen.model.model import EmpatheticModel
from ecgen.training.trainer import TrainingConfig

CARD = """# Model card: {name}

The default model of ecgen: emotion reasoner and response generator with soft gated attention (Gao et al., Findings of EMNLP
2021), {parameters:.1f} million parameters. It is a research model. It is not a counsellor and must not be used as one.

**Licence.** The weights were trained on EmpatheticDialogues (CC BY-NC 4.0): non-commercial use only.

| made from | |
|---|---|
| data | EmpatheticDialogues, training split: {dialogues[0]:,} dialogues, {examples:,} listener turns |
| cause labels | `{causes}`: {causes_note} |
| word vectors | `{vectors}`, start of both word tables{vectors_note} |
| preset, seed | `{preset}`, {seed} |
| begun with | nothing but the word vectors |
{situations}{teacher}{kept}| epochs | {ran} of {planned} planned epochs of joint training were run; epoch {epoch} has the lowest validation loss and is the one shipped |
| hardware, time | {hardware}; {time}, {precision} |
| command | `{command}` |
| form | {megabytes:.1f} MB: word tables as 8-bit integers with a scale a row, the rest in float16 |

Validation split, {n:,} listener turns, measured on the compact weights (`data/results/default_valid_*.json`; the test split was
never read). Perplexity is per word of a vocabulary of {vocab:,} with {unk:.1%} unknown words.

| | top-k, k = 3 | greedy |
|---|---|---|
{rows}

{cause_text}

{gates_text}
"""
GATES = """## Do its gates matter?

What people really said on the {split}ation split ({examples:,} responses, {words:,} words), read by this model with other gates in
place of its own. With all gates open its loss changes by {opened:+.4f} nats per word. Behind each difference stands its 95 %
interval over dialogues; where it holds 0, no difference was found.
`oracle` takes its gates from the labels `{causes}`. From `data/results/manipulation_default.json`, which
`ecgen manipulation-check --data DATA --json FILE` wrote.

{table}"""
NOTES = dict(spans='those of `data/labels/spans`, probabilities of words, each as seen from the turn before a response, by a detector that learnt words from RECCON and utterances also from the authors\' labels of half of the validation split; cause figures are therefore those of the other half',
             adapted='those of `data/labels/adapted`, its probabilities, by a detector that learnt from RECCON and from the authors\' labels of half of the validation split; cause figures are therefore those of the other half. Labels belong to whole dialogues, so the label of a prefix can depend on how the dialogue went on',
             rule='the rule "last speaker utterance and the speaker turn before it" of the whole dialogue, not a trained detector; so the label of a prefix can depend on how the dialogue went on')
VECTORS = {'minilm.300d.txt.gz': ': words encoded by the sentence encoder all-MiniLM-L6-v2 (Apache-2.0) and reduced to 300 numbers. They carry '
           'pre-trained knowledge and are not the paper\'s GloVe vectors; `ecgen vectors` makes such a file'}
SITUATIONS = '| more texts | the situations of the training split, with their emotions, while the reasoner was trained alone |\n'
TEACHER = ('| teacher | {distill:.0%} of the emotion loss is the distance to what a fine-tuned sentence encoder says of each training text '
           '(`data/labels/emotions`), at the temperature {distill_temperature:g} (Hinton et al., 2015); an addition of ours |\n')
WORDS = 'shipped (words, spans)'      # its key in reasoner_words.json
ROWS = dict(emotion_accuracy='emotion accuracy (32 classes)', perplexity='perplexity', bleu4='BLEU-4', dist1='Dist-1', dist2='Dist-2',
            cause_auc='cause AUC', cause_precision='cause precision at p > .5', cause_recall='cause recall', cause_f1='cause F1',
            cause_f1_all_ones='F1 of marking every word',
            cause_auc_position='cause AUC of position alone', cause_f1_position='F1 of marking the last two speaker turns')


def table(results):
    "Rows of figures, one column a result"
    digits = dict(perplexity=1, bleu4=2)
    return '\n'.join(f'| {text} | ' + ' | '.join(f'{r[k]:.{digits.get(k, 3)}f}' for r in results) + ' |' for k, text in ROWS.items() if k in results[0])


def command(card):
    "How the run was started, as far as its card tells"
    from ecgen.model.presets import PRESETS
    usual = PRESETS[card['preset']]['training']
    fresh = asdict(TrainingConfig(**usual))
    own = {k: v for k, v in card['training'].items() if k in fresh and v != fresh[k]} | {k: v for k, v in card.get('model', {}).items() if PRESETS[card['preset']].get(k.split('.')[0], {}).get(k.split('.')[-1]) != v}
    parts = [f'--preset {card["preset"]}', '--data DATA', f'--vectors {card["vectors"]}'] + [f'--causes {card["causes"]}'] * (card['causes'] != 'rule')
    return ' '.join(['ecgen train', *parts, *(f'--set {k}={v}' for k, v in own.items())])


def thin(lines, n=20):
    "Means of n steps each, stage by stage"
    res = []
    for stage in dict.fromkeys(x['stage'] for x in lines):
        rows = [x for x in lines if x['stage'] == stage]
        for i in range(0, len(rows), n):
            part = rows[i:i + n]
            res.append(dict(stage=stage, steps=len(part)) | {k: round(sum(x[k] for x in part) / len(part), 4) for k in part[0] if k not in ('stage', 'epoch', 'step')})
    return res


def ship(run, data, causes, hardware):
    "Weights, figures and the metrics of every epoch"
    model, out, res = EmpatheticModel.from_pretrained(run), ROOT/'data'/'model', ROOT/'data'/'results'
    res.mkdir(exist_ok=True)
    model.card |= dict(name='ecgen-default', license='CC-BY-NC-4.0', hardware=hardware, examples=listener_turns(load_split('train', data)))
    model.save_pretrained(out, compact=True)
    shutil.copy(run/'metrics.jsonl', res/'default_training.jsonl')
    (res/'default_losses.jsonl').write_text(''.join(json.dumps(x) + '\n' for x in thin([json.loads(x) for x in (run/'losses.jsonl').read_text().splitlines()])))
    model = EmpatheticModel.from_pretrained(out)
    for decoder in ('topk', 'greedy'):
        write_json(res/f'default_valid_{decoder}.json', evaluate(model, data, 'valid', causes, decoder=decoder) | dict(hardware=hardware))


def own_labels(card):
    "What the cause AUC of training was measured against: a note for config.json, whose figure stays as training wrote it"
    return (f'cause_auc: against labels of ours ({card["causes"]}), both halves; '
            "against the authors', unlearnt half: data/results/default_valid_*.json")


def hours(res):
    "How long training took, in words"
    seconds = json.loads((res/'default_training.jsonl').read_text().splitlines()[-1])['seconds']
    return f'{seconds / 3600:.1f} hours of training'


def kept(card):
    "A row of the card about the running mean of the weights; empty without one"
    if 'kept' not in card: return ''
    return (f'| weights | after each epoch the weights and their running mean (decay {card["training"]["average"]}) were validated; '
            f'the {card["kept"]} of the epoch below {"were" if card["kept"] == "weights" else "was"} better and shipped |\n')


def teacher(card):
    "A row of the card about distillation; empty without a teacher"
    return TEACHER.format(**card['training']) if card.get('teacher_sha') else ''


def gates_text(res, model):
    "The manipulation check, as a section of the card; '' without one"
    from ecgen.evaluation.evaluation import weights_hash
    from ecgen.evaluation.manipulation import manipulation_table
    path = res/'manipulation_default.json'
    if not path.exists(): return ''
    check = json.loads(path.read_text())
    if check['weights'] != weights_hash(model): sys.exit(f'{path} is of other weights: run `ecgen manipulation-check` again.')
    return GATES.format(**{k: check[k] for k in ('split', 'examples', 'words', 'causes')},
                        opened=check['gates']['open']['difference'], table=manipulation_table(check))


def card_text():
    "The model card, from what `ship` has written"
    out, res = ROOT/'data'/'model', ROOT/'data'/'results'
    model, size = EmpatheticModel.from_pretrained(out), sum(f.stat().st_size for f in out.iterdir() if f.suffix != '.md')
    results = [json.loads((res/f'default_valid_{d}.json').read_text()) for d in ('topk', 'greedy')]
    lines = [json.loads(line) for line in (res/'default_training.jsonl').read_text().splitlines()]
    ran = sum(line['stage'] == 'joint' for line in lines)
    card, settings, r = model.card, model.card['training'], results[0]
    words = res/'reasoner_words.json'
    within = json.loads(words.read_text()).get(WORDS, {}).get('spans', {}) if words.exists() else {}
    causes = f'Cause figures: word level, against the paper\'s authors\' released validation labels, {r["cause_words"]:,} words{" of the dialogues whose id has an odd hash" if r.get("cause_dialogues") == "odd half" else ""}. The last two rows are what a reader reaches who sees only whose turn a word is in and how near the end.' if 'cause_words' in r else ''
    if causes and within:
        low, high = within['interval']
        place = json.loads((res/'detector_words.json').read_text())['words']['test']['position in the turn']['auc_within']
        causes += (f' Those labels are of whole utterances. Within the causal utterances of RECCON\'s test split, the word AUC against the spans that '
                   f'people marked is {within["auc_within"]:.3f} [{low:.3f}, {high:.3f}] (`data/results/reasoner_words.json`); place in the turn alone '
                   f'reaches {place:.3f} (`data/results/detector_words.json`).')
    return CARD.format(
        **{k: card[k] for k in ('name', 'dialogues', 'examples', 'causes', 'vectors', 'preset', 'epoch', 'hardware')}, seed=settings['seed'],
        planned=settings['epochs'], ran=ran, kept=kept(card), command=command(card), teacher=teacher(card), situations=SITUATIONS * settings.get('situations', False),
        precision='float32' if settings['precision'] == 'auto' and card['device'] == 'cpu' else settings['precision'],
        causes_note=NOTES.get(card['causes'], 'a label file'),
        time=hours(res), gates_text=gates_text(res, model), vectors_note=VECTORS.get(card['vectors'], ''), parameters=sum(p.numel() for p in model.parameters()) / 1e6, megabytes=size / 1e6,
        n=r['examples'], vocab=len(model.vocab), unk=r['unk_share'], rows=table(results), cause_text=causes).strip() + '\n'


def write_card():
    "README.md of the model, and the note in its config.json"
    out = ROOT/'data'/'model'
    values = json.loads((out/'config.json').read_text(encoding='utf-8'))
    values['card']['validation_note'] = own_labels(values['card'])
    write_json(out/'config.json', values)
    (out/'README.md').write_text(card_text(), encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, nargs='?', help='leave it out to write only the card anew')
    parser.add_argument('--data', type=Path)
    parser.add_argument('--causes', type=Path)
    parser.add_argument('--hardware', default=f'{platform.machine()} CPU')
    args = parser.parse_args()
    if args.run: ship(args.run, args.data, args.causes, args.hardware)
    write_card()
