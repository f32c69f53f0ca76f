"""Does a reasoner mark words or whole turns?
`python tools/words.py --data DATA --models NAME=MODEL ...`.

For each model, on the validation split of EmpatheticDialogues: the share of the variance of
p(cause) that lies within turns, the share of turns whose words all fall on one side of one half,
the share of contexts whose hard gates shut every word, and the word AUC against the labels of the
paper's authors (dialogues with an odd hash). On RECCON's test split, read as the reasoner reads:
how well it tells the words of a span from the other words of the same utterance. Writes
data/results/reasoner_words.json.
With `--labels` it measures how far the shipped labels of prefixes agree with those of the authors:
data/results/span_labels.json.
"""
import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.causes.detector import reccon_targets
from ecgen.causes.labels import auc, for_choosing, with_causes
from ecgen.causes.spans import Marked, each_auc, word_marks
from ecgen.data.batches import CLS, SEP, UNK, Example, encode_context, make_examples
from ecgen.data.bootstrap import bootstrap
from ecgen.data.dialogues import data_dir, keep_words, tokenize
from ecgen.data.files import shipped
from ecgen.data.readers import load_split, read_reccon
from ecgen.model.model import EmpatheticModel
from ecgen.training.callbacks import cause_auc, model_scores

RESULTS = ROOT/'data'/'results'
GOLD = Path('recec/valid_with_cause.json')      # the authors' labels, in the folder of the data


def by_turn(example, scores):
    "The scores of each turn's words, without [CLS] and [SEP]"
    ids = np.array(example.src)
    turn = np.cumsum(ids == SEP) - (ids == SEP)
    words = (ids != CLS) & (ids != SEP)
    return [scores[words & (turn == k)] for k in range(turn.max() + 1)]


def is_shut(scores): return (scores <= .5).all()


def is_on_one_side(scores): return (scores > .5).all() or is_shut(scores)


def spread(turns):
    "Variance within and between turns, and how many turns lie on one side of one half"
    turns = [scores for scores in turns if len(scores)]
    every = np.concatenate(turns)
    within = sum(((scores - scores.mean()) ** 2).sum() for scores in turns) / len(every)
    one_side = np.mean([is_on_one_side(scores) for scores in turns])
    return dict(
        variance_within=within / every.var(),
        sd_within=within ** .5,
        one_side=float(one_side),
        share_above_half=float((every > .5).mean()))


def encoded(target, model):
    "A target of RECCON as the reasoner reads it"
    words = [tokenize(text) for text in target.utterances]
    src, cause = encode_context(words, model.vocab, None, model.cfg.max_context)
    return Example(target.id, 1, 0, src, cause, [2])


def marked_scores(target, example, scores):
    "The scores of each utterance that has marks; without those of turns that were cut off"
    kept = by_turn(example, scores)
    kept = [np.zeros(0)] * (len(target.utterances) - len(kept)) + kept
    return [s for s, marks in zip(kept, word_marks(target)) if marks is not None]


def unknown_share(example): return np.mean(np.array(example.src) == UNK)


def within(values):
    "The mean over the utterances that are marked in part"
    return float(np.nanmean(values))


def span_figures(scores, marks, target):
    "AUC within utterances, its interval over the dialogues of RECCON, and AUC over all words"
    sizes = [n for n in np.bincount(target).tolist() if n]
    each = each_auc(scores, marks)
    return dict(
        auc_within=within(each),
        interval=bootstrap(lambda i: within(each[i]), sizes, 200),
        auc=auc(np.concatenate(scores), np.concatenate(marks)))


def picked(items, places): return [items[i] for i in places]


def on_spans(model, targets):
    """AUC of the words of spans against the other words of the same utterance, over RECCON's
    causal utterances"""
    marked, found = Marked.of(targets), []
    examples = [encoded(target, model) for target in targets]
    for target, example, scores in zip(targets, examples, model_scores(model, examples)):
        found += marked_scores(target, example, scores)
    whole = [i for i, words in enumerate(marked.marks) if len(found[i]) == len(words)]
    scores, marks, target = (picked(x, whole) for x in (found, marked.marks, marked.target))
    return span_figures(scores, marks, target) | dict(
        utterances=len(scores),
        left_out=len(marked.marks) - len(scores),
        unknown_words=float(np.mean([unknown_share(example) for example in examples])))


def odd_half(dialogues): return [d for d in dialogues if not for_choosing(d.id)]


def measure(model, data):
    "All figures of one model"
    valid = load_split('valid', data)
    examples = make_examples(valid, model.vocab, model.cfg.max_context)
    scores = model_scores(model, examples)
    contexts = [by_turn(example, values) for example, values in zip(examples, scores)]
    shut = np.mean([all(map(is_shut, turns)) for turns in contexts])
    labelled = odd_half(with_causes(valid, data/GOLD))
    judged = make_examples(labelled, model.vocab, model.cfg.max_context)
    targets = reccon_targets(read_reccon(data/'reccon'/'dailydialog_test.json'))
    return spread([turn for turns in contexts for turn in turns]) | dict(
        hard_gates_shut_all=float(shut),
        contexts=len(examples),
        authors_labels=cause_auc(model_scores(model, judged), judged),
        spans=on_spans(model, targets))


def judge_labels(data):
    "How far the shipped labels of prefixes agree with the authors' of whole dialogues, by words"
    model = EmpatheticModel.from_pretrained(None)
    valid = load_split('valid', data)
    keep_words(valid)

    def examples(path, **changes):
        dialogues = [replace(d, **changes) for d in odd_half(with_causes(valid, path))]
        return make_examples(dialogues, model.vocab, model.cfg.max_context)

    gold = examples(data/GOLD)
    ours = shipped('labels')/'spans'/'valid.jsonl.gz'
    res = dict(split='valid, odd half', labels='spans', examples=len(gold))
    for name, changes in (('utterances', dict(prefix_words=None)), ('words', {})):
        res[name] = cause_auc([e.soft for e in examples(ours, **changes)], gold)
    return res


def keep_labels(data):
    "Write what the shipped labels reach"
    text = json.dumps(judge_labels(data), indent=1, default=float) + '\n'
    (RESULTS/'span_labels.json').write_text(text)


def keep_model(name, folder, data):
    "Add a model to the results"
    out = RESULTS/'reasoner_words.json'
    rows = json.loads(out.read_text()) if out.exists() else {}
    model = EmpatheticModel.from_pretrained(folder)
    row = dict(causes=model.card.get('causes'), split='valid; RECCON test') | measure(model, data)
    rows[name] = json.loads(json.dumps(row, default=float))
    print(name, json.dumps(rows[name]))
    out.write_text(json.dumps(rows, indent=1) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--data', required=True)
    parser.add_argument('--models', nargs='+', metavar='NAME=MODEL', default=[])
    parser.add_argument('--labels', action='store_true',
                        help='measure the shipped labels instead, into span_labels.json')
    args = parser.parse_args()
    data = data_dir(args.data)
    if args.labels: return keep_labels(data)
    for model in args.models:
        name, folder = model.split('=', 1)
        keep_model(name, folder, data)


if __name__ == '__main__': main()
