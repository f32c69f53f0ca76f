"""Run notebooks as somebody finds them who has only the notebook: `python tools/alone.py [NOTEBOOK ...]`, all of nbs/ by default.

A wheel is built; an environment is made with nothing but torch (--torch) and what runs notebooks. Then each notebook is copied into an empty
folder and run top to bottom, all cells. Its first cell installs the wheel (ECGEN_INSTALL), and leaves cells out that want more. The first
notebook finds no library; with --fresh none does. Torch must be the same version afterwards. This is as near to Colab as a script gets.
"""
import argparse, os, shutil, subprocess, sys, tempfile, time, venv
from pathlib import Path

import nb as project
from run import skipped

RUN = """
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), kernel_name='python3', timeout=900).execute()
"""
CLEAN = ('PYTHONPATH', 'ECGEN_DATA', 'VIRTUAL_ENV')     # what would lead the notebook to this checkout


def wheel(folder):
    "Build the wheel of this checkout; its path"
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', folder, str(project.ROOT)], check=True)
    return next(Path(folder).glob('*.whl'))


def environment(folder, torch):
    "An environment with torch and what runs notebooks; its Python"
    venv.create(folder, with_pip=True)
    python = Path(folder)/('Scripts' if os.name == 'nt' else 'bin')/'python'
    subprocess.run([python, '-m', 'pip', 'install', '-q', torch, 'nbclient', 'ipykernel'], check=True)
    return python


def version_of_torch(python): return subprocess.run([python, '-c', 'from importlib.metadata import version; print(version("torch"))'], capture_output=True, text=True, check=True).stdout.strip()


def run(path, python, what):
    "Run a copy of one notebook in an empty folder; seconds"
    start = time.monotonic()
    if skipped(path, []) is None: return None
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        shutil.copy(path.resolve(), Path(tmp)/path.name)
        env = {k: v for k, v in os.environ.items() if k not in CLEAN} | {'ECGEN_INSTALL': str(what), 'TQDM_DISABLE': '1', 'CI': 'true', 'ECGEN_CACHE': str(Path(tmp)/'cache'), 'PATH': f'{python.parent}{os.pathsep}{os.environ["PATH"]}'}
        res = subprocess.run([python, '-c', RUN, path.name], cwd=tmp, env=env, capture_output=True, text=True)
    if res.returncode: sys.exit(f'{path}: fails when it is alone\n{res.stderr[-3000:]}')
    return time.monotonic() - start


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path, help='paths as seen from the top of the checkout')
    parser.add_argument('--torch', default='torch==2.13.0', help='the torch to be there beforehand, as pip knows it')
    parser.add_argument('--fresh', action='store_true', help='uninstall the library before each notebook')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        built, python = wheel(f'{tmp}/wheel'), environment(f'{tmp}/venv', args.torch)
        before = version_of_torch(python)
        for path in args.notebook or project.notebooks():
            if args.fresh: subprocess.run([python, '-m', 'pip', 'uninstall', '-q', '-y', 'ecgen'], check=True)
            seconds = run(path, python, built)
            print(f'{path}: ' + ('kept (skip_exec)' if seconds is None else f'runs alone, {seconds:.0f} s'), flush=True)
            if version_of_torch(python) != before: sys.exit(f'{path}: torch was {before} and is {version_of_torch(python)}')
    print(f'alone: torch {before} was left as it was')
