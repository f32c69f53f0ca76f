"""Choosing words: scores that are no numbers, generators of one's own, words as they come"""
import pytest
import torch

from ecgen.data.batches import BOS, CLS, EOS, PAD, SEP, UNK
from ecgen.data.files import EcgenError
from ecgen.model.decoding import DECODERS, GREEDY, Decoder, generate, sample_next
from ecgen.model.gates import apply_gate_rules
from ecgen.model.generator import GeneratorConfig, ResponseGenerator


def little():
    "A small generator and the context of three dialogues"
    torch.manual_seed(1)
    sizes = GeneratorConfig(dim=16, layers=2, heads=2, head_dim=8, inner=32)
    gen = ResponseGenerator(sizes, 12).eval()
    src = torch.tensor([[CLS, 7, 8, SEP], [CLS, 9, SEP, PAD], [CLS, 10, 11, SEP]])
    return gen, gen.encode(src, torch.tensor([3, 5, 7]), apply_gate_rules(torch.zeros(3, 4), src))

def rng(seed): return torch.Generator().manual_seed(seed)


def test_scores_that_are_no_numbers_are_refused_in_one_sentence():
    for bad in (torch.nan, torch.inf):
        for decoder in DECODERS.values():
            logits = torch.zeros(2, 20).index_fill_(1, torch.tensor([9]), bad)
            with pytest.raises(EcgenError, match='weights of this model overflow'):
                sample_next(logits, decoder, False)
    logits = torch.full((1, 20), -torch.inf)
    logits[0, 9] = 0.
    for decoder in (GREEDY, Decoder()):
        assert sample_next(logits.clone(), decoder, False).item() == 9


def test_with_generators_of_their_own_dialogues_do_not_depend_on_each_other():
    gen, ctx = little()
    decoder = Decoder(max_new_tokens=12)
    together = generate(gen, ctx, decoder, [rng(5), rng(6), rng(7)])
    for i in range(3):
        alone = ctx.select(torch.arange(3) == i)
        assert generate(gen, alone, decoder, [rng(5 + i)]) == together[i:i + 1]


def test_words_are_told_as_they_are_chosen():
    gen, ctx = little()
    told, decoder = [[], [], []], Decoder(max_new_tokens=12)
    got = generate(gen, ctx, decoder, rng(5), lambda r, i: told[r].append(i))
    assert told == got == generate(gen, ctx, decoder, rng(5))


def test_specials_are_never_chosen():
    logits = torch.zeros(1, 10)
    logits[0, [PAD, UNK, BOS, CLS, SEP, EOS]] = 50.
    assert sample_next(logits, Decoder(k=1), False).tolist() == [EOS]
    assert sample_next(logits, Decoder(k=1), True).item() > SEP


def test_the_same_seed_gives_the_same_words():
    gen, ctx = little()
    a, b, c = (generate(gen, ctx, Decoder(max_new_tokens=12), rng(s)) for s in (5, 5, 6))
    assert a == b != c and all(len(x) <= 12 for x in a)
