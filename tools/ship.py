"""Make the model of a finished run the one that is shipped.

  python tools/ship.py runs/default --data DIR [--causes FILE] [--hardware TEXT]

writes data/model/ (compact weights and README.md, the model card) and data/results/ (figures of the
compact weights on the validation split with both decoders, the metrics of every epoch, and the
losses, 20 steps to a line), all taken from the run or measured here. The card also shows
data/results/manipulation_default.json, which `ecgen manipulation-check` wrote; one of other weights
is refused.
"""
import argparse
import json
import platform
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.dialogues import listener_turns
from ecgen.data.files import write_json
from ecgen.data.readers import load_split
from ecgen.evaluation.evaluation import evaluate, weights_hash
from ecgen.evaluation.manipulation import manipulation_table
from ecgen.model.model import EmpatheticModel
from ecgen.model.presets import PRESETS
from ecgen.training.trainer import TrainingConfig

MODEL, RESULTS = ROOT/'data'/'model', ROOT/'data'/'results'
DECODERS = 'topk', 'greedy'
CARD = """# Model card: {name}

The default model of ecgen: emotion reasoner and response generator with soft gated attention \
(Gao et al., Findings of EMNLP
2021), {parameters:.1f} million parameters. It is a research model. It is not a counsellor \
and must not be used as one.

**Licence.** The weights were trained on EmpatheticDialogues (CC BY-NC 4.0): \
non-commercial use only.

| made from | |
|---|---|
| data | EmpatheticDialogues, training split: {dialogues[0]:,} dialogues, \
{examples:,} listener turns |
| cause labels | `{causes}`: {causes_note} |
| word vectors | `{vectors}`, start of both word tables{vectors_note} |
| preset, seed | `{preset}`, {seed} |
| begun with | nothing but the word vectors |
{situations}{teacher}{kept}\
| epochs | {ran} of {planned} planned epochs of joint training were run; \
epoch {epoch} has the lowest validation loss and is the one shipped |
| hardware, time | {hardware}; {time}, {precision} |
| command | `{command}` |
| form | {megabytes:.1f} MB: word tables as 8-bit integers with a scale a row, \
the rest in float16 |

Validation split, {n:,} listener turns, measured on the compact weights \
(`data/results/default_valid_*.json`; the test split was
never read). Perplexity is per word of a vocabulary of {vocab:,} with {unk:.1%} unknown words.

| | top-k, k = 3 | greedy |
|---|---|---|
{rows}

{cause_text}

{gates_text}
"""
GATES = """## Do its gates matter?

What people really said on the {split}ation split ({examples:,} responses, {words:,} words), \
read by this model with other gates in
place of its own. With all gates open its loss changes by {opened:+.4f} nats per word. \
Behind each difference stands its 95 %
interval over dialogues; where it holds 0, no difference was found.
`oracle` takes its gates from the labels `{causes}`. \
From `data/results/manipulation_default.json`, which
`ecgen manipulation-check --data DATA --json FILE` wrote.

{table}"""
NOTES = dict(
    spans="""\
those of `data/labels/spans`, probabilities of words, each as seen from the turn before a \
response, by a detector that learnt words from RECCON and utterances also from the authors' labels \
of half of the validation split; cause figures are therefore those of the other half""",
    adapted="""\
those of `data/labels/adapted`, its probabilities, by a detector that learnt from RECCON and from \
the authors' labels of half of the validation split; cause figures are therefore those of the \
other half. Labels belong to whole dialogues, so the label of a prefix can depend on how the \
dialogue went on""",
    rule="""\
the rule "last speaker utterance and the speaker turn before it" of the whole dialogue, not a \
trained detector; so the label of a prefix can depend on how the dialogue went on""")
VECTORS = {'minilm.300d.txt.gz': """\
: words encoded by the sentence encoder all-MiniLM-L6-v2 (Apache-2.0) and reduced to 300 numbers. \
They carry pre-trained knowledge and are not the paper's GloVe vectors; `ecgen vectors` makes such \
a file"""}
SITUATIONS = """\
| more texts | the situations of the training split, with their emotions, \
while the reasoner was trained alone |
"""
TEACHER = """\
| teacher | {distill:.0%} of the emotion loss is the distance to what a fine-tuned sentence \
encoder says of each training text (`data/labels/emotions`), at the temperature \
{distill_temperature:g} (Hinton et al., 2015); an addition of ours |
"""
KEPT = """\
| weights | after each epoch the weights and their running mean (decay {decay}) were validated; \
the {kept} of the epoch below {verb} better and shipped |
"""
CAUSES = """\
Cause figures: word level, against the paper's authors' released validation labels, {words:,} \
words{half}. The last two rows are what a reader reaches who sees only whose turn a word is in and \
how near the end."""
ODD_HALF = ' of the dialogues whose id has an odd hash'
SPANS = """\
 Those labels are of whole utterances. Within the causal utterances of RECCON's test split, the \
word AUC against the spans that people marked is {within:.3f} [{low:.3f}, {high:.3f}] \
(`data/results/reasoner_words.json`); place in the turn alone reaches {place:.3f} \
(`data/results/detector_words.json`)."""
WORDS = 'shipped (words, spans)'      # its key in reasoner_words.json
ROWS = dict(
    emotion_accuracy='emotion accuracy (32 classes)',
    perplexity='perplexity',
    bleu4='BLEU-4',
    dist1='Dist-1',
    dist2='Dist-2',
    cause_auc='cause AUC',
    cause_precision='cause precision at p > .5',
    cause_recall='cause recall',
    cause_f1='cause F1',
    cause_f1_all_ones='F1 of marking every word',
    cause_auc_position='cause AUC of position alone',
    cause_f1_position='F1 of marking the last two speaker turns')
DIGITS = dict(perplexity=1, bleu4=2)      # all others have three


def read_json(path): return json.loads(path.read_text())


def read_lines(path):
    "The objects of a file that has one on each line"
    return [json.loads(line) for line in path.read_text().splitlines()]


def table_row(key, results):
    "A figure of each result"
    digits = DIGITS.get(key, 3)
    cells = [f'{result[key]:.{digits}f}' for result in results]
    return ' | '.join([f'| {ROWS[key]}', *cells]) + ' |'


def table(results):
    "Rows of figures, one column a result"
    return '\n'.join(table_row(key, results) for key in ROWS if key in results[0])


def usual_value(preset, key):
    "What a preset says of a setting such as `reasoner.layers`"
    part, name = key.split('.')[0], key.split('.')[-1]
    return preset.get(part, {}).get(name)


def own_settings(card):
    "The settings in which a run differs from its preset"
    preset = PRESETS[card['preset']]
    usual = asdict(TrainingConfig(**preset['training']))
    training = {k: v for k, v in card['training'].items() if k in usual and v != usual[k]}
    changes = card.get('model', {})
    model = {k: v for k, v in changes.items() if usual_value(preset, k) != v}
    return training | model


def command(card):
    "How the run was started, as far as its card tells"
    parts = [f'--preset {card["preset"]}', '--data DATA', f'--vectors {card["vectors"]}']
    if card['causes'] != 'rule': parts.append(f'--causes {card["causes"]}')
    parts += [f'--set {k}={v}' for k, v in own_settings(card).items()]
    return ' '.join(['ecgen train', *parts])


def mean(rows, key): return round(sum(row[key] for row in rows) / len(rows), 4)


def mean_of_steps(stage, rows):
    "One line for several steps of a stage"
    losses = [key for key in rows[0] if key not in ('stage', 'epoch', 'step')]
    return dict(stage=stage, steps=len(rows)) | {key: mean(rows, key) for key in losses}


def thin(lines, n=20):
    "Means of n steps each, stage by stage"
    res = []
    for stage in dict.fromkeys(line['stage'] for line in lines):
        rows = [line for line in lines if line['stage'] == stage]
        res += [mean_of_steps(stage, rows[i:i + n]) for i in range(0, len(rows), n)]
    return res


def save_compact(model, data, hardware):
    "The weights that are shipped"
    examples = listener_turns(load_split('train', data))
    model.card |= dict(
        name='ecgen-default', license='CC-BY-NC-4.0', hardware=hardware, examples=examples)
    model.save_pretrained(MODEL, compact=True)


def keep_training(run):
    "Metrics of every epoch, and the losses"
    shutil.copy(run/'metrics.jsonl', RESULTS/'default_training.jsonl')
    losses = thin(read_lines(run/'losses.jsonl'))
    text = ''.join(json.dumps(line) + '\n' for line in losses)
    (RESULTS/'default_losses.jsonl').write_text(text)


def keep_figures(data, causes, hardware):
    "What the compact weights reach on the validation split"
    model = EmpatheticModel.from_pretrained(MODEL)
    for decoder in DECODERS:
        figures = evaluate(model, data, 'valid', causes, decoder=decoder)
        write_json(RESULTS/f'default_valid_{decoder}.json', figures | dict(hardware=hardware))


def ship(run, data, causes, hardware):
    "Weights, figures and the metrics of every epoch"
    model = EmpatheticModel.from_pretrained(run)
    RESULTS.mkdir(exist_ok=True)
    save_compact(model, data, hardware)
    keep_training(run)
    keep_figures(data, causes, hardware)


def own_labels(card):
    """What the cause AUC of training was measured against: a note for config.json, whose figure
    stays as training wrote it"""
    return (f'cause_auc: against labels of ours ({card["causes"]}), both halves; '
            "against the authors', unlearnt half: data/results/default_valid_*.json")


def hours(lines): return f'{lines[-1]["seconds"] / 3600:.1f} hours of training'


def kept(card):
    "A row of the card about the running mean of the weights; empty without one"
    if 'kept' not in card: return ''
    verb = 'were' if card['kept'] == 'weights' else 'was'
    return KEPT.format(decay=card['training']['average'], kept=card['kept'], verb=verb)


def teacher(card):
    "A row of the card about distillation; empty without a teacher"
    return TEACHER.format(**card['training']) if card.get('teacher_sha') else ''


def precision(card):
    "The kind of number that training computed with"
    chosen = card['training']['precision']
    return 'float32' if chosen == 'auto' and card['device'] == 'cpu' else chosen


def gates_text(model):
    "The manipulation check, as a section of the card; '' without one"
    path = RESULTS/'manipulation_default.json'
    if not path.exists(): return ''
    check = read_json(path)
    if check['weights'] != weights_hash(model):
        sys.exit(f'{path} is of other weights: run `ecgen manipulation-check` again.')
    facts = {k: check[k] for k in ('split', 'examples', 'words', 'causes')}
    opened = check['gates']['open']['difference']
    return GATES.format(**facts, opened=opened, table=manipulation_table(check))


def spans_text():
    "How well words are told from others of the same utterance; '' where it was not measured"
    path = RESULTS/'reasoner_words.json'
    if not path.exists(): return ''
    found = read_json(path).get(WORDS, {}).get('spans', {})
    if not found: return ''
    low, high = found['interval']
    place = read_json(RESULTS/'detector_words.json')['words']['test']['position in the turn']
    return SPANS.format(
        within=found['auc_within'], low=low, high=high, place=place['auc_within'])


def cause_text(result):
    "What the cause figures are figures of; '' without any"
    if 'cause_words' not in result: return ''
    half = ODD_HALF if result.get('cause_dialogues') == 'odd half' else ''
    return CAUSES.format(words=result['cause_words'], half=half) + spans_text()


def origin(card):
    "Fields of the card: what the model was made from"
    names = ('name', 'dialogues', 'examples', 'causes', 'vectors', 'preset', 'epoch', 'hardware')
    fields = {k: card[k] for k in names}
    settings = card['training']
    return fields | dict(
        seed=settings['seed'],
        planned=settings['epochs'],
        situations=SITUATIONS * settings.get('situations', False),
        teacher=teacher(card),
        kept=kept(card),
        command=command(card),
        precision=precision(card),
        causes_note=NOTES.get(card['causes'], 'a label file'),
        vectors_note=VECTORS.get(card['vectors'], ''))


def training():
    "Fields of the card: how long the model was trained"
    lines = read_lines(RESULTS/'default_training.jsonl')
    return dict(ran=sum(line['stage'] == 'joint' for line in lines), time=hours(lines))


def sizes(model):
    "Fields of the card: how large the model is, and its vocabulary"
    bytes_on_disk = sum(f.stat().st_size for f in MODEL.iterdir() if f.suffix != '.md')
    numbers = sum(p.numel() for p in model.parameters())
    return dict(parameters=numbers / 1e6, megabytes=bytes_on_disk / 1e6, vocab=len(model.vocab))


def figures():
    "Fields of the card: what was measured on the validation split"
    results = [read_json(RESULTS/f'default_valid_{decoder}.json') for decoder in DECODERS]
    first = results[0]
    return dict(n=first['examples'], unk=first['unk_share'], rows=table(results),
                cause_text=cause_text(first))


def card_text():
    "The model card, from what `ship` has written"
    model = EmpatheticModel.from_pretrained(MODEL)
    fields = origin(model.card) | training() | sizes(model) | figures()
    return CARD.format(**fields, gates_text=gates_text(model)).strip() + '\n'


def write_card():
    "README.md of the model, and the note in its config.json"
    values = json.loads((MODEL/'config.json').read_text(encoding='utf-8'))
    values['card']['validation_note'] = own_labels(values['card'])
    write_json(MODEL/'config.json', values)
    (MODEL/'README.md').write_text(card_text(), encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'run', type=Path, nargs='?', help='leave it out to write only the card anew')
    parser.add_argument('--data', type=Path)
    parser.add_argument('--causes', type=Path)
    parser.add_argument('--hardware', default=f'{platform.machine()} CPU')
    args = parser.parse_args()
    if args.run: ship(args.run, args.data, args.causes, args.hardware)
    write_card()
