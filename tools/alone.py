"""Run notebooks as somebody finds them who has only the notebook:
`python tools/alone.py [NOTEBOOK ...]`, all of nbs/ by default.

A wheel is built; an environment is made with nothing but torch (--torch: another version than the
one that constraints.txt names) and what runs notebooks. Then each notebook is copied into an empty
folder and run top to bottom, all cells. Its first cell installs the wheel (ECGEN_INSTALL), and
leaves cells out that want more. Torch must be the same version afterwards. The library is
uninstalled before each notebook, so that each must install it; the first one finds none of the
packages that it needs either. This is as near to Colab as a script gets. On Linux the default torch
is the CUDA build that Colab has, too: an environment of about 5 GB. data/results/alone.json was
written by --out; a run that stopped goes on where it was.
"""
import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import nb as project
from run import skipped

RUN = """
import sys, nbformat
from nbclient import NotebookClient
nb = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(nb, kernel_name='python3', timeout=900).execute()
print(sum(o.get('text', '').startswith('left out') for c in nb.cells \
if c.cell_type == 'code' for o in c.outputs))
"""
TORCH = 'from importlib.metadata import version; print(version("torch"))'
CLEAN = ('PYTHONPATH', 'ECGEN_DATA', 'VIRTUAL_ENV')     # would lead the notebook to this checkout
NOTE = ('seconds include installing the wheel and whatever was missing, and were measured beside '
        'other work; cells_left_out want data or time that such a place has not')


def wheel(folder):
    "Build the wheel of this checkout; its path"
    command = ['wheel', '-q', '--no-deps', '-w', folder, str(project.ROOT)]
    subprocess.run([sys.executable, '-m', 'pip', *command], check=True)
    return next(Path(folder).glob('*.whl'))


def environment(folder, torch):
    "An environment with torch and what runs notebooks; its Python"
    python = Path(folder)/('Scripts' if os.name == 'nt' else 'bin')/'python'
    if not python.exists(): venv.create(folder, with_pip=True)
    command = ['install', '-q', torch, 'nbclient', 'ipykernel']
    subprocess.run([python, '-m', 'pip', *command], check=True)
    return python


def version_of_torch(python):
    "The version that an environment has"
    command = [python, '-c', TORCH]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def code_of(path):
    "A short hash of a notebook's code"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    sources = [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
    return hashlib.sha256('\n'.join(sources).encode()).hexdigest()[:16]


def variables(folder, python, what):
    "The environment variables of a run"
    kept = {k: v for k, v in os.environ.items() if k not in CLEAN}
    return kept | {
        'ECGEN_INSTALL': f'{what}[notebooks]',
        'TQDM_DISABLE': '1',
        'CI': 'true',
        'ECGEN_CACHE': str(Path(folder)/'cache'),
        'PATH': f'{python.parent}{os.pathsep}{os.environ["PATH"]}'}


def execute(path, python, what):
    "Run a copy of one notebook in an empty folder; the process when it is done"
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        shutil.copy(path.resolve(), Path(tmp)/path.name)
        command = [python, '-c', RUN, path.name]
        env = variables(tmp, python, what)
        return subprocess.run(command, cwd=tmp, env=env, capture_output=True, text=True)


def run(path, python, what):
    "What came of one notebook"
    before = version_of_torch(python)
    start = time.monotonic()
    res = execute(path, python, what)
    after = version_of_torch(python)
    row = dict(
        notebook=path.as_posix(),
        ok=not res.returncode and before == after,
        seconds=round(time.monotonic() - start),
        torch_before=before,
        torch_after=after)
    if res.returncode: return row | dict(why=res.stderr[-3000:])
    return row | dict(cells_left_out=int(res.stdout.split()[-1]))


def read_rows(path):
    "What came of notebooks in an earlier run"
    if not path or not path.exists(): return {}
    found = json.loads(path.read_text(encoding='utf-8'))['notebooks']
    return {row['notebook']: row for row in found}


def write(path, rows, built, torch):
    "Save what came of the notebooks so far"
    about = dict(
        command=f'python tools/alone.py --torch {torch}',
        wheel=built.name,
        python=platform.python_version(),
        machine=f'{platform.system()} {platform.machine()}, {os.cpu_count()} cores',
        note=NOTE,
        notebooks=[rows[name] for name in sorted(rows)])
    path.write_text(json.dumps(about, indent=1) + '\n', encoding='utf-8')


def ran_before(row, code, torch):
    "Did a notebook run that has not changed since, with this torch?"
    return row.get('ok') and (row['code'], row['torch_before']) == (code, torch)


def uninstall(python):
    "Each notebook must install the library itself"
    command = ['uninstall', '-q', '-y', project.get_config().pip_name]
    subprocess.run([python, '-m', 'pip', *command], check=True, capture_output=True)


def outcome(row):
    "In words"
    if row['ok']: return f'runs alone, {row["seconds"]} s'
    changed = f'torch was {row["torch_before"]} and is {row["torch_after"]}'
    return f'fails when it is alone\n{row.get("why", changed)}'


def try_notebook(path, python, built, old, torch):
    "What came of one notebook; None where it was not run"
    code = code_of(path)
    if ran_before(old, code, torch): return print(f'{path}: ran before')
    if skipped(path, []) is None: return print(f'{path}: kept (skip_exec)')
    uninstall(python)
    row = run(path, python, built) | dict(code=code)
    print(f'{path}: {outcome(row)}', flush=True)
    return row


def arguments():
    "What the command line says"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path,
                        help='paths as seen from the top of the checkout')
    parser.add_argument('--torch', default='torch==2.12.1',
                        help='the torch to be there beforehand, as pip knows it')
    parser.add_argument('--out', type=Path,
                        help='a JSON file for what came of each notebook; those that ran and have '
                             'not changed since are not run again')
    parser.add_argument('--venv', type=Path,
                        help='a folder for the environment, kept afterwards; by default a '
                             'temporary one')
    return parser.parse_args()


def main():
    args = arguments()
    rows, failed = read_rows(args.out), []
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        built = wheel(f'{tmp}/wheel')
        python = environment(args.venv or f'{tmp}/venv', args.torch)
        for path in args.notebook or project.notebooks():
            name, torch = path.as_posix(), version_of_torch(python)
            row = try_notebook(path, python, built, rows.get(name, {}), torch)
            if row is None: continue
            rows[name] = row
            if not row['ok']: failed.append(str(path))
            if args.out: write(args.out, rows, built, args.torch)
    if args.out: write(args.out, rows, built, args.torch)
    if failed: sys.exit(f'alone: {len(failed)} fail: {", ".join(failed)}')
    print(f'alone: torch {torch} was left as it was')


if __name__ == '__main__': main()
