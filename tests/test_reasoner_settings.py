"""The reasoner: positions of turns, soft labels, and a sample that can be memorised"""
import torch

from ecgen.causes.labels import with_causes
from ecgen.data.batches import CLS, PAD, SEP, Batch, build_vocab, collate, make_examples
from ecgen.data.files import shipped
from ecgen.data.readers import load_split
from ecgen.model.reasoner import (
    EmotionReasoner,
    ReasonerConfig,
    Reasoning,
    cause_loss,
    reasoner_loss,
)


def test_turns_tell_equal_words_apart_too():
    torch.manual_seed(0)
    r = EmotionReasoner(ReasonerConfig(dim=16, head_dim=8, inner=32, turns=3), 20).eval()
    p = r(torch.tensor([[CLS, 7, SEP, 7, SEP, 7, SEP, 7, SEP]])).cause[0]
    assert torch.allclose(p[1], p[3], atol=1e-6)
    assert not torch.allclose(p[3], p[5], atol=1e-4)
    assert not torch.allclose(p[5], p[7], atol=1e-4)
    alone = torch.tensor([[CLS, 7, SEP]])
    beside = torch.tensor([[CLS, 7, SEP, PAD, PAD], [CLS, 7, SEP, 8, SEP]])
    assert torch.allclose(r(alone).cause[0], r(beside).cause[0, :3], atol=1e-6)


def test_soft_labels_of_0_and_1_are_hard_ones():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 5, 2), torch.tensor([[1, 0, 1, -1, -1], [0, 0, 1, 1, -1]])
    hard = cause_loss(logits, target)
    assert torch.allclose(cause_loss(logits, target, 'soft', target.clamp(min=0).float()), hard)
    assert torch.equal(cause_loss(logits, target, 'soft'), hard)


def test_soft_labels_by_hand():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 5, 2), torch.tensor([[1, 0, 1, -1, -1], [0, 0, 1, 1, -1]])
    q, p = torch.rand(2, 5), logits.softmax(-1)[..., 1]
    total = 0.
    for i, j in (target >= 0).nonzero().tolist():
        total -= q[i, j] * p[i, j].log() + (1 - q[i, j]) * (1 - p[i, j]).log()
    assert torch.allclose(cause_loss(logits, target, 'soft', q), total / 7)


def test_the_reasoner_can_memorise_the_sample():
    sample = with_causes(load_split('train', shipped('sample')))[:8]
    vocab = build_vocab(sample, min_count=1)
    batch = collate(make_examples(sample, vocab))
    torch.manual_seed(0)
    cfg = ReasonerConfig(dim=48, head_dim=48, inner=96, dropout=0., positions=1.)
    r = EmotionReasoner(cfg, len(vocab))
    adam = torch.optim.Adam(r.parameters(), lr=3e-3)
    for _ in range(80):
        loss = reasoner_loss(r(batch.src), batch)
        adam.zero_grad()
        loss.total.backward()
        adam.step()
    assert (r(batch.src).emotion.argmax(-1) == batch.emotion).all() and loss.cause < .2


def test_equal_words_are_told_apart_only_by_position():
    for use in (0., .5):
        torch.manual_seed(0)
        r = EmotionReasoner(ReasonerConfig(dim=16, head_dim=8, inner=32, positions=use), 20).eval()
        p = r(torch.tensor([[CLS, 7, SEP, 8, 9, SEP, 7, SEP]])).cause[0]
        assert torch.allclose(p[1], p[6], atol=1e-6) == (use == 0)


def test_cause_loss_says_something_of_both_classes():
    src = torch.tensor([[CLS, 7, 8, SEP]])
    batch = Batch(src, torch.tensor([[1, 1, 0, -1]]), torch.tensor([0]), src, src)
    logits = torch.zeros(1, 4, 2, requires_grad=True)
    reasoner_loss(Reasoning(torch.zeros(1, 32), logits), batch).total.backward()
    g = logits.grad[0, :, 1]
    assert g[1] < 0 < g[2]            # up for the cause word, down for the other
    assert g[0] == g[3] == 0          # nothing for [CLS] and for a word without a label
