"""Ranking: candidates in a batch, and words as they come"""
import torch

from ecgen.data.batches import CLS, SEP, SPECIALS, Vocab, pad
from ecgen.data.dialogues import tokenize
from ecgen.model.decoding import Decoder, generate
from ecgen.model.generator import GeneratorConfig
from ecgen.model.model import EmpatheticModel, ModelConfig
from ecgen.model.ranking import ELSEWHERE, RankedDecoder, draw_candidates
from ecgen.model.reasoner import ReasonerConfig


def small_model():
    "An untrained model, and what it makes of three dialogues"
    torch.manual_seed(3)
    size = dict(dim=16, layers=1, heads=2, head_dim=8, inner=32)
    vocab = Vocab([*SPECIALS, *dict.fromkeys(w for text in ELSEWHERE for w in tokenize(text))])
    cfg = ModelConfig(ReasonerConfig(**size), GeneratorConfig(**size))
    model = EmpatheticModel(cfg, vocab).eval()
    src = pad([[CLS, 7, 8, SEP], [CLS, 9, 12, 13, 14, SEP], [CLS, 10, 11, SEP]])
    out, _, ctx = model.encode(src)
    return model, ctx, out.emotion


def test_candidates_do_not_depend_on_the_rest_of_the_batch():
    model, ctx, emotion = small_model()
    decoder = RankedDecoder(candidates=4, max_new_tokens=8)
    together = draw_candidates(model, ctx, emotion, decoder, [5, 6, 7])
    for b in range(3):
        keep = torch.arange(3) == b
        alone, = draw_candidates(model, ctx.select(keep), emotion[keep], decoder, [5 + b])
        assert [c.ids for c in alone] == [c.ids for c in together[b]]
        assert sorted(c.number for c in alone) == [0, 1, 2, 3]
        assert len({tuple(c.ids) for c in alone}) > 1


def test_the_chosen_response_is_told_word_by_word():
    model, ctx, emotion = small_model()
    decoder, told = RankedDecoder(candidates=3, max_new_tokens=6), [[], [], []]
    got = decoder.write(model, ctx, emotion, [1, 2, 3], lambda row, i: told[row].append(i))
    ranked = draw_candidates(model, ctx, emotion, decoder, [1, 2, 3])
    assert told == got == [c[0].ids for c in ranked]
    plain = Decoder(k=1, max_new_tokens=6)
    assert plain.write(model, ctx, emotion, [1, 2, 3]) == generate(model, ctx, plain)
