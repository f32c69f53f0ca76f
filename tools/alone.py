"""Run notebooks as somebody finds them who has only the notebook: `python tools/alone.py [NOTEBOOK ...]`, all of nbs/ by default.

A wheel is built; an environment is made with nothing but torch (--torch: another version than the one that constraints.txt names) and what
runs notebooks. Then each notebook is copied into an empty folder and run top to bottom, all cells. Its first cell installs the wheel
(ECGEN_INSTALL), and leaves cells out that want more. Torch must be the same version afterwards. The library is uninstalled before each
notebook, so that each must install it; the first one finds none of the packages that it needs either. This is as near to Colab as a script
gets. On Linux the default torch is the CUDA build that Colab has, too: an environment of about 5 GB. data/results/alone.json was written by
--out; a run that stopped goes on where it was.
"""
import argparse, hashlib, json, os, platform, shutil, subprocess, sys, tempfile, time, venv
from pathlib import Path

import nb as project
from run import skipped

RUN = """
import sys, nbformat
from nbclient import NotebookClient
nb = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(nb, kernel_name='python3', timeout=900).execute()
print(sum(o.get('text', '').startswith('left out') for c in nb.cells if c.cell_type == 'code' for o in c.outputs))
"""
CLEAN = ('PYTHONPATH', 'ECGEN_DATA', 'VIRTUAL_ENV')     # what would lead the notebook to this checkout


def wheel(folder):
    "Build the wheel of this checkout; its path"
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', folder, str(project.ROOT)], check=True)
    return next(Path(folder).glob('*.whl'))


def environment(folder, torch):
    "An environment with torch and what runs notebooks; its Python"
    python = Path(folder)/('Scripts' if os.name == 'nt' else 'bin')/'python'
    if not python.exists(): venv.create(folder, with_pip=True)
    subprocess.run([python, '-m', 'pip', 'install', '-q', torch, 'nbclient', 'ipykernel'], check=True)
    return python


def version_of_torch(python): return subprocess.run([python, '-c', 'from importlib.metadata import version; print(version("torch"))'], capture_output=True, text=True, check=True).stdout.strip()
def code_of(path): return hashlib.sha256('\n'.join(''.join(c['source']) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code').encode()).hexdigest()[:16]


def run(path, python, what):
    "Run a copy of one notebook in an empty folder; what came of it"
    before, start = version_of_torch(python), time.monotonic()
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        shutil.copy(path.resolve(), Path(tmp)/path.name)
        env = {k: v for k, v in os.environ.items() if k not in CLEAN} | {'ECGEN_INSTALL': f'{what}[notebooks]', 'TQDM_DISABLE': '1', 'CI': 'true', 'ECGEN_CACHE': str(Path(tmp)/'cache'), 'PATH': f'{python.parent}{os.pathsep}{os.environ["PATH"]}'}
        res = subprocess.run([python, '-c', RUN, path.name], cwd=tmp, env=env, capture_output=True, text=True)
    after = version_of_torch(python)
    row = dict(notebook=path.as_posix(), ok=not res.returncode and before == after, seconds=round(time.monotonic() - start), torch_before=before, torch_after=after)
    if res.returncode: return row | dict(why=res.stderr[-3000:])
    return row | dict(cells_left_out=int(res.stdout.split()[-1]))


def write(path, rows, built, torch):
    "Save what came of the notebooks so far"
    about = dict(command=f'python tools/alone.py --torch {torch}', wheel=built.name, python=platform.python_version(), machine=f'{platform.system()} {platform.machine()}, {os.cpu_count()} cores',
                 note='seconds include installing the wheel and whatever was missing, and were measured beside other work; cells_left_out want data or time that such a place has not')
    path.write_text(json.dumps(about | dict(notebooks=[rows[k] for k in sorted(rows)]), indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path, help='paths as seen from the top of the checkout')
    parser.add_argument('--torch', default='torch==2.12.1', help='the torch to be there beforehand, as pip knows it')
    parser.add_argument('--out', type=Path, help='a JSON file for what came of each notebook; those that ran and have not changed since are not run again')
    parser.add_argument('--venv', type=Path, help='a folder for the environment, kept afterwards; by default a temporary one')
    args = parser.parse_args()
    rows = {r['notebook']: r for r in json.loads(args.out.read_text(encoding='utf-8'))['notebooks']} if args.out and args.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix='alone-') as tmp:
        built, python, failed = wheel(f'{tmp}/wheel'), environment(args.venv or f'{tmp}/venv', args.torch), []
        for path in args.notebook or project.notebooks():
            old, code, torch = rows.get(path.as_posix(), {}), code_of(path), version_of_torch(python)
            if old.get('ok') and (old['code'], old['torch_before']) == (code, torch): print(f'{path}: ran before'); continue
            if skipped(path, []) is None: print(f'{path}: kept (skip_exec)'); continue
            subprocess.run([python, '-m', 'pip', 'uninstall', '-q', '-y', project.get_config().pip_name], check=True, capture_output=True)
            row = rows[path.as_posix()] = run(path, python, built) | dict(code=code)
            print(f'{path}: ' + (f'runs alone, {row["seconds"]} s' if row['ok'] else f'fails when it is alone\n{row.get("why", "torch was " + row["torch_before"] + " and is " + row["torch_after"])}'), flush=True)
            if not row['ok']: failed.append(str(path))
            if args.out: write(args.out, rows, built, args.torch)
    if args.out: write(args.out, rows, built, args.torch)
    if failed: sys.exit(f'alone: {len(failed)} fail: {", ".join(failed)}')
    print(f'alone: torch {torch} was left as it was')
