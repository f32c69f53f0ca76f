"""Folders of checkpoints, models and prepared data whose files are damaged, one after the other"""
import json
import os
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from helpers import little
from safetensors.torch import load_file, save_file

from ecgen.cli.testing import refused, scratch
from ecgen.data.files import EcgenError, EcgenWarning, shipped
from ecgen.model.model import EmpatheticModel, System
from ecgen.training.checkpoints import checkpoint_ids, load_checkpoint, save_checkpoint
from ecgen.training.prepared import load_prepared, prepare, save_prepared
from ecgen.training.runs import find_device, train


def test_any_damage_leads_to_the_one_before():
    rng = random.Random(0)

    def hurt(path):
        "Damage a file in one of four ways"
        data, kind = bytearray(path.read_bytes()), rng.randrange(4)
        if kind == 0: data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if kind == 1: del data[rng.randrange(len(data)):]
        if kind == 2: data = bytearray()
        if kind == 3 and path.suffix != '.json': return path.unlink()
        path.write_bytes(b'{}' if kind == 3 else data)

    def check(tmp):
        for i in (1, 2): save_checkpoint(tmp, dict(w=torch.arange(5.) + i), dict(i=i, name='run'))
        hurt(Path(tmp)/f'000002.{rng.choice(["json", "safetensors"])}')
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            tensors, values = load_checkpoint(tmp)
        assert torch.equal(tensors['w'], torch.arange(5.) + values['i'])
        if values['i'] == 2: assert not said      # harmless, such as a blank that became a tab
        else: assert values['i'] == 1 and '000002.json is damaged' in str(said[0].message)
        for i in (3, 4): save_checkpoint(tmp, dict(w=torch.zeros(1)), dict(i=i))
        last = checkpoint_ids(Path(tmp))[-1]
        (Path(tmp)/f'{last:06d}.safetensors').write_bytes(b'')     # again; there are still two
        with pytest.warns(EcgenWarning): assert load_checkpoint(tmp)[1]['i'] == 3

    for trial in range(60):
        with tempfile.TemporaryDirectory() as tmp: check(tmp)


def test_when_all_are_damaged_the_user_is_told():
    with tempfile.TemporaryDirectory() as tmp:
        for i in (1, 2): save_checkpoint(tmp, dict(w=torch.arange(5.)), dict(i=i))
        for p in Path(tmp).glob('*.safetensors'): p.write_bytes(p.read_bytes()[:-1])
        message = 'is damaged: delete that folder'
        with pytest.warns(EcgenWarning), pytest.raises(EcgenError, match=message):
            load_checkpoint(tmp)


def test_damaged_states_are_named():
    settings = dict(name='tiny', data=shipped('sample'), pretrain_epochs=1, epochs=1)
    with tempfile.TemporaryDirectory() as tmp:
        train(out=tmp, **settings)
        *_, before, last = sorted((Path(tmp)/'state').glob('*.safetensors'))
        last.write_bytes(last.read_bytes()[:999])
        with pytest.warns(EcgenWarning, match='is damaged, so the one before it is used'):
            train(out=tmp, **settings)
        for path in (Path(tmp)/'state').glob('*.json'):
            path.write_text('{"tensors": "../../etc/passwd"')
        with pytest.warns(EcgenWarning), pytest.raises(EcgenError, match='state.* is damaged'):
            train(out=tmp, **settings)
    with pytest.raises(EcgenError, match='no device'): find_device('tpu9')


def test_damaged_folders_are_refused():
    p = prepare(shipped('sample'), min_count=1)
    def refused(folder, message):
        with pytest.raises(EcgenError, match=message): load_prepared(folder)
    with tempfile.TemporaryDirectory() as tmp:
        good, bad = Path(tmp)/'p', Path(tmp)/'q'
        save_prepared(p, good)
        for name in ('train.safetensors', 'words.json', 'valid.safetensors'):
            shutil.copytree(good, bad, dirs_exist_ok=True)
            data = bytearray((bad/name).read_bytes())
            data[len(data) // 2] ^= 4
            (bad/name).write_bytes(data)
            refused(bad, f'damaged .{name} is not what it was')
            (bad/name).unlink()
            refused(bad, 'damaged')
        about = json.loads((good/'prepared.json').read_text())
        shorter = {k: v for k, v in about['facts'].items() if k != 'max_context'}
        for facts in ('none', shorter, about['facts'] | dict(causes='others')):
            (bad/'prepared.json').write_text(json.dumps(about | dict(facts=facts)))
            refused(bad, 'prepared.json is not what it was')
        (bad/'prepared.json').write_text('{"format": "ecgen-prepared-0"}')
        refused(bad, 'another version')


def test_folders_that_are_no_model_are_refused():
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)/'m'
        weights = folder/'model.safetensors'
        def refused(why):
            with pytest.raises(EcgenError, match=why): EmpatheticModel.from_pretrained(folder)
        refused('no model folder')
        folder.mkdir()
        refused('no config.json')
        little().save_pretrained(folder)
        whole = weights.read_bytes()
        for content, why in ((whole[:len(whole) // 2], 'damaged'), (b'', 'damaged')):
            weights.write_bytes(content)
            refused(why)
        weights.unlink()
        refused('no model.safetensors')
        weights.write_bytes(whole)
        (folder/'vocab.json').write_text('["a"]')
        refused('damaged')
        (folder/'config.json').write_text('{"model_type": "bert"}')
        refused('another kind')
        (folder/'config.json').write_text('{')
        refused('damaged')


def test_values_that_cannot_be_are_refused():
    with tempfile.TemporaryDirectory() as tmp:
        little().save_pretrained(tmp)
        config = Path(tmp)/'config.json'
        good = json.loads(config.read_text())
        def refused(text):
            config.write_text(text)
            with pytest.raises(EcgenError, match='damaged'): EmpatheticModel.from_pretrained(tmp)
        cases = [('reasoner', 'dropout', 5), ('reasoner', 'positions', 'a'),
                 ('generator', 'dim', 10**6), ('generator', 'layers', 10**6),
                 ('generator', 'heads', True), (None, 'gate', []),
                 (None, 'max_context', 0), (None, 'max_context', None)]
        for part, key, value in cases:
            values = json.loads(json.dumps(good))
            of_part = values['config'][part] if part else values['config']
            of_part[key] = value
            refused(json.dumps(values))
        refused(json.dumps(good | dict(card=[])))
        refused('[' * 100_000)


def test_words_and_weights_that_cannot_be_are_refused():
    with tempfile.TemporaryDirectory() as tmp:
        little().save_pretrained(tmp)
        vocab, weights = Path(tmp)/'vocab.json', Path(tmp)/'model.safetensors'
        words, tensors = vocab.read_text(), load_file(weights)
        def refused():
            with pytest.raises(EcgenError, match='damaged'): EmpatheticModel.from_pretrained(tmp)
        twice, special = '["a", "a", "b", "c", "d"]', '["<pad>", "a", "b", "c", "d"]'
        for text in ('[1, 2]', '{}', '"ab"', twice, special):
            vocab.write_text(text)
            refused()
        vocab.write_text(words)
        name = 'reasoner.norm.bias'
        changes = [{'x': torch.zeros(1)}, {name: torch.full((64,), torch.nan)},
                   {name: torch.zeros(64).long()}, {name: torch.zeros(65)}]
        for change in changes:
            save_file(tensors | change, weights)
            refused()


def test_what_happened_to_a_folder_is_named_with_the_way_out():
    def pointer(raw): return b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n'
    def marked(raw): return b'\xef\xbb\xbf' + raw
    def zipped(raw): return b'PK\x03\x04' + raw
    def page(raw): return b'<!DOCTYPE html>' + raw
    jsons, weights = ('config.json', 'vocab.json'), 'model.safetensors'
    cases = [(name, pointer, 'Git LFS pointer.*git lfs pull') for name in (*jsons, weights)]
    cases += [(name, marked, 'byte order mark: save it as UTF-8 without') for name in jsons]
    cases += [(weights, zipped, 'a zip archive'), (weights, page, 'web page')]
    cases += [('config.json', page, 'web page')]
    with tempfile.TemporaryDirectory() as tmp:
        little().save_pretrained(tmp)
        for name, change, why in cases:
            raw = (path := Path(tmp)/name).read_bytes()
            path.write_bytes(change(raw))
            with pytest.raises(EcgenError, match=f'{name}.*{why}'): System.from_pretrained(tmp)
            path.write_bytes(raw)


def test_weights_from_inside_a_wrapper_are_refused():
    wrappers = ('module.', ''), ('_orig_mod.', ''), ('module._orig_mod.', ''), ('', '_orig_mod.')
    with tempfile.TemporaryDirectory() as tmp:
        little().save_pretrained(tmp)
        tensors = load_file(weights := Path(tmp)/'model.safetensors')
        for start, inner in wrappers:
            def wrapped(name): return start + name.replace('.', f'.{inner}', 1)
            save_file({wrapped(k): t for k, t in tensors.items()}, weights)
            wanted = 'from inside a wrapper.*take "(module|_orig_mod)." out'
            with pytest.raises(EcgenError, match=wanted): System.from_pretrained(tmp)


def test_special_files_are_refused_at_once():
    def dev_zero(path): path.symlink_to('/dev/zero')
    def loop(path): path.symlink_to(path.name)
    with tempfile.TemporaryDirectory() as tmp:
        for name in ('config.json', 'vocab.json', 'model.safetensors'):
            little().save_pretrained(tmp)
            (path := Path(tmp)/name).unlink()
            for make in (os.mkfifo, os.mkdir, dev_zero, loop):
                make(path)
                with pytest.raises(EcgenError): System.from_pretrained(tmp)
                path.rmdir() if path.is_dir() else path.unlink()


def test_damaged_models_are_refused():
    little, bad = scratch()/'little', scratch()/'bad'
    bad.mkdir()
    whole = (little/'model.safetensors').read_bytes()
    for name, content, why in (
        ('model.safetensors', whole[:len(whole) // 2], 'damaged'),
        ('config.json', b'{"model_type": "bert"}', 'another kind'),
        ('vocab.json', b'[', 'damaged'),
    ):
        for f in little.iterdir(): (bad/f.name).write_bytes(f.read_bytes())
        (bad/name).write_bytes(content)
        refused(why, 'respond', '--model', bad, 'a')
