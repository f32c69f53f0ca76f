"""`ecgen` as a process of its own: what a shell sees"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ecgen
from ecgen.data.files import shipped


ENV = os.environ | dict(PYTHONPATH=str(Path(ecgen.__file__).parents[1]))

def python(*args, cwd=None, **env):
    "Run Python with this library"
    return subprocess.run([sys.executable, *args], cwd=cwd, env=ENV | env, capture_output=True,
                          text=True)


def test_python_runs_the_package():
    for module in ('ecgen', 'ecgen.cli'):
        p = python('-m', module, '--version')
        assert p.returncode == 0 and p.stdout.startswith('ecgen ') and not p.stderr


def test_help_imports_nothing_heavy():
    code = '''
import sys
from ecgen.cli import app, main
heavy = "torch", "numpy", "nltk", "rich", "tqdm", "nbdev", "fastcore"
names = [c.name or c.callback.__name__ for c in app.registered_commands]
names += [g.name for g in app.registered_groups]
for args in (["--help"], ["--version"], *([c, "--help"] for c in names)):
    sys.argv = ["ecgen", *args]
    try: main()
    except SystemExit as e: assert not e.code
print(len(names) + 1, [m for m in heavy if m in sys.modules])
'''
    p = python('-c', code)
    n = p.stdout.count('Example:\n    ecgen ')
    assert p.returncode == 0 and n >= 7 and p.stdout.endswith(f'\n{n} []\n'), p.stdout + p.stderr


def test_the_shell_completes_commands_and_options():
    code = '''
import atexit, sys
heavy = "torch", "nltk", "rich"
atexit.register(lambda: print([m for m in heavy if m in sys.modules]))
from ecgen.cli import app
app(prog_name="ecgen")
'''
    def complete(words, n):
        p = python('-c', code, _ECGEN_COMPLETE='complete_bash', COMP_WORDS=words,
                   COMP_CWORD=str(n))
        *found, heavy = p.stdout.split('\n')[:-1]
        assert heavy == '[]'
        return found
    assert complete('ecgen e', 1) == ['explain', 'evaluate', 'experiment']
    assert complete('ecgen chat --se', 2) == ['--seed']


def test_a_closed_pipe_is_no_error():
    command = [sys.executable, '-m', 'ecgen.cli', 'train', '--help']
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    assert p.stderr.read() == b'' and p.wait() in (0, 1)


@pytest.mark.slow
def test_a_shell_is_told_with_import():
    TOYS = '''from ecgen.baselines.new_system import Toy, register
register("small-toy", Toy, model=dict(dim=8), training=dict(epochs=1, min_count=1))
'''
    def shell(*args, **env):
        return python('-m', 'ecgen.cli', *map(str, args), cwd=tmp, **env)
    with tempfile.TemporaryDirectory() as tmp:
        Path(tmp, 'toys.py').write_text(TOYS)
        trained = shell('--import', 'toys', 'train', '--preset', 'small-toy',
                        '--data', shipped('sample'), '--out', 'run')
        assert trained.returncode == 0, trained.stderr
        assert 'small-toy' in shell('info', ECGEN_IMPORT='toys').stdout
        asked = shell('respond', '--model', 'run', 'I won!', ECGEN_IMPORT='toys')
        assert 'emotion' in asked.stdout
        wrong = shell('--import', 'toyz', 'info')
        assert wrong.returncode == 2 and "no module 'toyz'" in wrong.stderr
        assert 'Traceback' not in wrong.stderr
        for name in ('', './toys', 'toys.py/'):
            assert "write a module" in shell('--import', name, 'info').stderr
