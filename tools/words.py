"""Does a reasoner mark words or whole turns? `python tools/words.py --data DATA --models NAME=MODEL ...`.

For each model, on the validation split of EmpatheticDialogues: the share of the variance of p(cause) that lies within turns, the
share of turns whose words all fall on one side of one half, the share of contexts whose hard gates shut every word, and the word
AUC against the labels of the paper's authors (dialogues with an odd hash). On RECCON's test split, read as the reasoner reads: how
well it tells the words of a span from the other words of the same utterance. Writes data/results/reasoner_words.json.
With `--labels` it measures how far the shipped labels of prefixes agree with those of the authors:
data/results/span_labels.json.
"""
import argparse, json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.causes.detector import reccon_targets
from ecgen.data.bootstrap import bootstrap
from ecgen.causes.labels import auc, for_choosing, with_causes
from ecgen.causes.spans import Marked, each_auc, word_marks
from ecgen.data.batches import CLS, SEP, UNK, Example, encode_context, make_examples
from ecgen.data.dialogues import data_dir, keep_words, tokenize
from ecgen.data.files import shipped
from ecgen.data.readers import load_split, read_reccon
from ecgen.model.model import EmpatheticModel
from ecgen.training.callbacks import cause_auc, model_scores


def by_turn(example, scores):
    "The scores of each turn's words, without [CLS] and [SEP]"
    ids = np.array(example.src)
    turn = np.cumsum(ids == SEP) - (ids == SEP)
    words = (ids != CLS) & (ids != SEP)
    return [scores[words & (turn == t)] for t in range(turn.max() + 1)]


def spread(turns):
    "Variance within and between turns, and how many turns lie on one side of one half"
    turns = [t for t in turns if len(t)]
    every = np.concatenate(turns)
    within = sum(((t - t.mean()) ** 2).sum() for t in turns) / len(every)
    one_side = np.mean([(t > .5).all() or (t <= .5).all() for t in turns])
    return dict(variance_within=within / every.var(), sd_within=within ** .5, one_side=float(one_side), share_above_half=float((every > .5).mean()))


def on_spans(model, targets):
    "AUC of the words of spans against the other words of the same utterance, over RECCON's causal utterances"
    m, scores, unknown = Marked.of(targets), [], []
    examples = []
    for t in targets:
        src, cause = encode_context([tokenize(u) for u in t.utterances], model.vocab, None, model.cfg.max_context)
        examples.append(Example(t.id, 1, 0, src, cause, [2]))
    for t, e, p in zip(targets, examples, model_scores(model, examples)):
        kept = by_turn(e, p)
        kept = [np.zeros(0)] * (len(t.utterances) - len(kept)) + kept
        unknown.append(np.mean(np.array(e.src) == UNK))
        scores += [s for s, marks in zip(kept, word_marks(t)) if marks is not None]
    whole = [i for i, (s, x) in enumerate(zip(scores, m.marks)) if len(s) == len(x)]
    scores, marks, target = ([x[i] for i in whole] for x in (scores, m.marks, m.target))
    sizes = [n for n in np.bincount(target).tolist() if n]
    within = lambda i: float(np.nanmean(each[i]))
    each, every = each_auc(scores, marks), np.arange(len(scores))
    return dict(auc_within=within(every), interval=bootstrap(within, sizes, 200), auc=auc(np.concatenate(scores), np.concatenate(marks)),
                utterances=len(scores), left_out=len(m.marks) - len(scores), unknown_words=float(np.mean(unknown)))


def measure(model, data):
    valid = load_split('valid', data)
    examples = make_examples(valid, model.vocab, model.cfg.max_context)
    scores = model_scores(model, examples)
    turns = [by_turn(e, s) for e, s in zip(examples, scores)]
    shut = np.mean([all((t <= .5).all() for t in ts) for ts in turns])
    judged = make_examples([d for d in with_causes(valid, data/'recec'/'valid_with_cause.json') if not for_choosing(d.id)], model.vocab, model.cfg.max_context)
    return spread([t for ts in turns for t in ts]) | dict(hard_gates_shut_all=float(shut), contexts=len(examples),
        authors_labels=cause_auc(model_scores(model, judged), judged),
        spans=on_spans(model, reccon_targets(read_reccon(data/'reccon'/'dailydialog_test.json'))))


def judge_labels(data):
    "How far the shipped labels of prefixes agree with the authors' of whole dialogues, by words"
    model, valid, res = EmpatheticModel.from_pretrained(None), load_split('valid', data), {}
    keep_words(valid)
    def examples(path, **changes):
        ds = [replace(d, **changes) for d in with_causes(valid, path) if not for_choosing(d.id)]
        return make_examples(ds, model.vocab, model.cfg.max_context)
    gold = examples(data/'recec'/'valid_with_cause.json')
    ours = shipped('labels')/'spans'/'valid.jsonl.gz'
    for name, changes in (('utterances', dict(prefix_words=None)), ('words', {})):
        res[name] = cause_auc([e.soft for e in examples(ours, **changes)], gold)
    return dict(split='valid, odd half', labels='spans', examples=len(gold)) | res


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--data', required=True)
    a.add_argument('--models', nargs='+', metavar='NAME=MODEL', default=[])
    a.add_argument('--labels', action='store_true',
                   help='measure the shipped labels instead, into span_labels.json')
    a = a.parse_args()
    out, data = ROOT/'data/results/reasoner_words.json', data_dir(a.data)
    if a.labels:
        text = json.dumps(judge_labels(data), indent=1, default=float) + '\n'
        return (ROOT/'data/results/span_labels.json').write_text(text)
    res = json.loads(out.read_text()) if out.exists() else {}
    for name, folder in (x.split('=', 1) for x in a.models):
        model = EmpatheticModel.from_pretrained(folder)
        res[name] = dict(causes=model.card.get('causes'), split='valid; RECCON test') | measure(model, data)
        res[name] = json.loads(json.dumps(res[name], default=float))
        print(name, json.dumps(res[name]))
        out.write_text(json.dumps(res, indent=1) + '\n')


if __name__ == '__main__': main()
