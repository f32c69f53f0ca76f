"""Do the tests notice when the library is wrong? `python tools/mutations.py`

Each mutation changes one line of a copy of the library, in gates, gated attention, losses and
resume; the tests of that part then run on the copy, as plain `pytest` runs them, and at least one
must fail. The tests first run on the copy as it is, and must pass.
Exit status 1 if a mutation is missed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = 'ecgen/tests/test_'
RESUME = (
    f'{TESTS}training_callbacks.py',
    f'{TESTS}training_runs.py::test_an_interrupted_run_ends_as_an_uninterrupted_one')


class Mutation(NamedTuple):
    what: str       # goes wrong
    module: str
    old: str        # a part of it
    new: str        # what becomes of that part
    tests: tuple    # that should notice


MUTATIONS = [
    Mutation(
        'gates: [CLS] can be closed',
        'model/gates.py',
        'if cls_open: log_gate = log_gate.masked_fill(first, 0.)',
        'pass',
        (f'{TESTS}model_gates.py',)),
    Mutation(
        'gates: the temperature works the wrong way',
        'model/gates.py',
        '((logits + gumbel_noise(logits)) / tau)',
        '((logits + gumbel_noise(logits)) * tau)',
        (f'{TESTS}model_gates.py',)),
    Mutation(
        'gated attention: closed words keep their weight in training',
        'model/gated_attention.py',
        'e = g * (s - top)',
        'e = (s - top)',
        (f'{TESTS}model_gated_attention.py',)),
    Mutation(
        'gated attention: gates instead of their logarithms in the fast way',
        'model/gated_attention.py',
        '*kv, gates.log[',
        '*kv, gates.values[',
        (f'{TESTS}model_gated_attention.py',)),
    Mutation(
        'losses: words that are no cause do not count',
        'model/reasoner.py',
        'labelled = target >= 0',
        'labelled = target > 0',
        (f'{TESTS}model_reasoner.py',)),
    Mutation(
        'losses: parts of a batch count as if they were the whole',
        'training/trainer.py',
        'mean * n / max(whole[k], 1)',
        'mean',
        (f'{TESTS}training_trainer.py',)),
    Mutation(
        'resume: the optimiser begins anew',
        'training/callbacks.py',
        "load_optimizer(trainer.optimizer, without_prefix('adam', tensors))",
        'pass',
        RESUME),
    Mutation(
        'resume: other random numbers',
        'training/callbacks.py',
        "set_rng_state(without_prefix(f'rng.{rank}', tensors), trainer.model.device)",
        'pass',
        RESUME),
]


def copy(folder):
    "The library, its tests and what they need"
    for name in ('ecgen', 'tests'):
        shutil.copytree(ROOT/name, folder/name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('conftest.py', 'pytest.ini', 'settings.ini'): shutil.copy(ROOT/name, folder)
    for name in ('data', 'tools', 'nbs'): (folder/name).symlink_to(ROOT/name)


def failing(folder, tests):
    "The first test that fails in the copy, or ''"
    env = os.environ | dict(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE='1')
    options = ['-x', '-q', '-n', '0', '--no-header', '-p', 'no:cacheprovider']
    command = [sys.executable, '-m', 'pytest', *options, *tests]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode == 0: return ''
    if done.returncode != 1:
        sys.exit(f'{" ".join(tests)} could not run:\n{done.stdout}{done.stderr}')
    found = re.search(r'(?m)^FAILED \S+::(\S+)', done.stdout)
    return found[1] if found else '?'


def check_unchanged(folder, mutations):
    "Without any mutation all tests must pass"
    for tests in dict.fromkeys(mutation.tests for mutation in mutations):
        if name := failing(folder, tests): sys.exit(f'{name} fails without any mutation.')


def noticed_by(folder, mutation):
    "The test that notices a mutation, or ''"
    path, old = folder/'ecgen'/mutation.module, mutation.old
    text = path.read_text(encoding='utf-8')
    if text.count(old) != 1: sys.exit(f'{mutation.module} has {text.count(old)} times: {old}')
    path.write_text(text.replace(old, mutation.new), encoding='utf-8')
    name = failing(folder, mutation.tests)
    path.write_text(text, encoding='utf-8')
    return name


def try_all(mutations):
    "Yields each mutation's name and the test that notices it"
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp).resolve()
        copy(folder)
        check_unchanged(folder, mutations)
        for mutation in mutations: yield mutation.what, noticed_by(folder, mutation)


def tell(what, test):
    "What became of a mutation"
    line = f'caught  {what}  ({test})' if test else f'MISSED  {what}'
    print(line, flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('only', nargs='?', default='',
                        help='only mutations whose name holds this')
    args = parser.parse_args()
    missed = 0
    for what, test in try_all([m for m in MUTATIONS if args.only in m.what]):
        tell(what, test)
        missed += not test
    sys.exit(missed > 0)
