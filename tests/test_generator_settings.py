"""The generator: what must not reach the output, weights to look at, and settings"""
import pytest
import torch

from ecgen.data.batches import CLS, PAD, SEP
from ecgen.data.files import EcgenError
from ecgen.model.gates import Gates
from ecgen.model.generator import GeneratorConfig, ResponseGenerator

SIZES = dict(dim=16, layers=2, heads=2, head_dim=8, inner=32)

def small(**more):
    "A small generator in evaluation mode"
    return ResponseGenerator(GeneratorConfig(**SIZES, **more), 30).eval()

def little():
    "A small generator in evaluation mode, a batch of two contexts, their emotions and gates"
    torch.manual_seed(0)
    src = torch.tensor([[CLS, 7, 8, SEP], [CLS, 9, SEP, PAD]])
    gates = Gates(torch.tensor([[0., -.1, -3., -1.], [0., -.5, -.5, -torch.inf]]))
    return small(), src, torch.tensor([3, 5]), gates


def test_the_future_and_padding_are_invisible():
    gen, src, emotion, gates = little()
    ids = torch.randint(6, 30, (2, 5))
    other = ids.clone()
    other[:, 3:] = 7
    ctx = gen.encode(src, emotion, gates)
    states = gen.decode(ids, ctx)[0]
    assert torch.allclose(states[:, :3], gen.decode(other, ctx)[0][:, :3], atol=1e-6)
    alone = gen.encode(src[1:, :3], emotion[1:], Gates(gates.log[1:, :3]))
    assert torch.allclose(gen.decode(ids[1:], alone)[0], states[1:], atol=1e-5)


def test_weights_are_of_every_block_head_and_word():
    gen, src, emotion, gates = little()
    ctx, ids, kv_cache = gen.encode(src, emotion, gates), torch.randint(6, 30, (2, 4)), None
    h, _, maps = gen.decode(ids, ctx, return_weights=True)
    assert torch.equal(h, gen.decode(ids, ctx)[0])
    for w in (maps.before, maps.after):
        assert w.shape == (2, 2, 2, 4, 4)
        assert torch.allclose(w.sum(-1), torch.ones(2, 2, 2, 4)) and (w[:, 1, :, :, 3] == 0).all()
    for i in range(4):
        _, kv_cache, one = gen.decode(ids[:, i:i+1], ctx, kv_cache, return_weights=True)
        assert torch.allclose(one.after[..., 0, :], maps.after[..., i, :], atol=1e-5)


def test_emotion_and_gates_change_the_output():
    gen, src, emotion, gates = little()
    ids = torch.randint(6, 30, (2, 5))
    def states(emotion, gates): return gen.decode(ids, gen.encode(src, emotion, gates))[0]
    base = states(emotion, gates)
    assert not torch.allclose(base, states(emotion + 1, gates), atol=1e-3)
    assert not torch.allclose(base, states(emotion, Gates(gates.log * 5)), atol=1e-4)


def test_parts_that_are_taken_away_leave_no_trace():
    _, src, emotion, gates = little()
    ids = torch.randint(6, 30, (2, 5))
    def states(gen, emotion, gates): return gen.decode(ids, gen.encode(src, emotion, gates))[0]
    ungated = small(gated=False)
    assert not any('gated.' in k for k in ungated.state_dict())
    other = Gates(gates.log * 6)
    assert torch.equal(states(ungated, emotion, gates), states(ungated, emotion, other))
    no_emotion = small(emotion_input=False)
    assert not any('emotions.' in k for k in no_emotion.state_dict())
    assert torch.equal(states(no_emotion, emotion, gates), states(no_emotion, emotion + 1, gates))


def test_there_are_no_weights_to_show_without_gated_layers():
    _, src, emotion, gates = little()
    gen = small(gated=False)
    ctx, ids = gen.encode(src, emotion, gates), torch.randint(6, 30, (2, 5))
    with pytest.raises(EcgenError, match='without gated attention'):
        gen.decode(ids, ctx, return_weights=True)


def test_instead_with_open_gates_is_the_model_without_gated_layers():
    _, src, emotion, gates = little()
    ids = torch.randint(6, 30, (2, 5))
    torch.manual_seed(0)
    plain = small(gated=False)
    torch.manual_seed(0)
    gen = small(gated_attn='instead')
    for k, v in plain.state_dict().items():
        assert torch.equal(v, gen.state_dict()[k])       # drawn alike
    gen.load_state_dict(plain.state_dict())
    opened = Gates(torch.zeros(2, 4).masked_fill(src == PAD, -torch.inf))
    want = plain.decode(ids, plain.encode(src, emotion, gates))[0]
    assert torch.allclose(gen.decode(ids, gen.encode(src, emotion, opened))[0], want, atol=1e-6)
    assert not torch.allclose(gen.decode(ids, gen.encode(src, emotion, gates))[0], want, atol=1e-3)


def test_instead_shows_the_weights_it_used():
    _, src, emotion, gates = little()
    ids = torch.randint(6, 30, (2, 4))
    for gate_at in ('eq5', 'scale_memory', 'mask'):
        gen = small(gated_attn='instead', gate_at=gate_at)
        ctx, kv_cache = gen.encode(src, emotion, gates), None
        whole, _, maps = gen.decode(ids, ctx, return_weights=True)
        assert maps.before.shape == maps.after.shape == (2, 2, 2, 4, 4)
        assert torch.equal(whole, gen.decode(ids, ctx)[0])
        assert not torch.allclose(maps.before, maps.after)
        for i in range(4):
            h, kv_cache = gen.decode(ids[:, i:i+1], ctx, kv_cache)
            assert torch.allclose(h[:, 0], whole[:, i], atol=1e-5)


def test_instead_closed_words_are_invisible():
    _, src, emotion, gates = little()
    gen, ids = small(gated_attn='instead'), torch.randint(6, 30, (2, 4))
    shut = Gates(gates.log.index_fill(1, torch.tensor([2]), -torch.inf))
    _, _, maps = gen.decode(ids, gen.encode(src, emotion, shut), return_weights=True)
    assert (maps.after[..., 2] == 0).all()


def test_the_papers_place_keeps_its_names():
    keys = set(small().state_dict())
    assert {'decoder.0.cross.out.weight', 'decoder.0.gated.out.weight'} <= keys
    assert 'decoder.0.norm3.weight' in keys
    assert GeneratorConfig().gated_attn == 'after'
    assert not any('gated' in k for k in small(gated_attn='instead').state_dict())
