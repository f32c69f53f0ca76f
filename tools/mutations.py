"""Do the tests notice when the library is wrong? `python tools/mutations.py`

Each mutation changes one line of a copy of the library, in gates, gated attention, losses and resume; the tests of that part then
run on the copy, as plain `pytest` runs them, and at least one must fail. The tests first run on the copy as it is, and must pass.
Exit status 1 if a mutation is missed.
"""
import argparse, os, re, shutil, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
T = 'ecgen/tests/test_'
RESUME = [f'{T}training_callbacks.py', f'{T}training_runs.py::test_an_interrupted_run_ends_as_an_uninterrupted_one']

# what goes wrong, the module, its line, what becomes of it, the tests that should notice
MUTATIONS = [
    ('gates: [CLS] can be closed', 'model/gates.py',
     'if cls_open: log_gate = log_gate.masked_fill(first, 0.)', 'pass', [f'{T}model_gates.py']),
    ('gates: the temperature works the wrong way', 'model/gates.py',
     '((logits + gumbel_noise(logits)) / tau)', '((logits + gumbel_noise(logits)) * tau)', [f'{T}model_gates.py']),
    ('gated attention: closed words keep their weight in training', 'model/gated_attention.py',
     'e = g * (s - top)', 'e = (s - top)', [f'{T}model_gated_attention.py']),
    ('gated attention: gates instead of their logarithms in the fast way', 'model/gated_attention.py',
     '*kv, gates.log[', '*kv, gates.values[', [f'{T}model_gated_attention.py']),
    ('losses: words that are no cause do not count', 'model/reasoner.py',
     'labelled = target >= 0', 'labelled = target > 0', [f'{T}model_reasoner.py']),
    ('losses: parts of a batch count as if they were the whole', 'training/trainer.py',
     'mean * n / max(whole[k], 1)', 'mean', [f'{T}training_trainer.py']),
    ('resume: the optimiser begins anew', 'training/callbacks.py',
     "load_optimizer(trainer.optimizer, without_prefix('adam', tensors))", 'pass', RESUME),
    ('resume: other random numbers', 'training/callbacks.py',
     "set_rng_state(without_prefix(f'rng.{rank}', tensors), trainer.model.device)", 'pass', RESUME),
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
    command = [sys.executable, '-m', 'pytest', '-x', '-q', '-n', '0', '--no-header', '-p', 'no:cacheprovider', *tests]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 1): sys.exit(f'{" ".join(tests)} could not run:\n{done.stdout}{done.stderr}')
    found = re.search(r'(?m)^FAILED \S+::(\S+)', done.stdout)
    return (found[1] if found else '?') if done.returncode else ''


def try_all(mutations):
    "Yields each mutation's name and the test that notices it"
    with tempfile.TemporaryDirectory() as tmp:
        copy(folder := Path(tmp).resolve())
        for tests in {tuple(m[4]): None for m in mutations}:
            if name := failing(folder, tests): sys.exit(f'{name} fails without any mutation.')
        for what, module, old, new, tests in mutations:
            path = folder/'ecgen'/module
            text = path.read_text(encoding='utf-8')
            if text.count(old) != 1: sys.exit(f'{module} has {text.count(old)} times: {old}')
            path.write_text(text.replace(old, new), encoding='utf-8')
            yield what, failing(folder, tests)
            path.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('only', nargs='?', default='', help='only mutations whose name holds this')
    args = parser.parse_args()
    missed = 0
    for what, test in try_all([m for m in MUTATIONS if args.only in m[0]]):
        print(f'{"caught" if test else "MISSED"}  {what}' + (f'  ({test})' if test else ''), flush=True)
        missed += not test
    sys.exit(missed > 0)
