"""What a page shows of its notebook, and whether that runs: `python tools/shown.py [NOTEBOOK ...]`,
all of nbs/ by default.

The code cells that a reader sees are pasted in order into one fresh Python, in an empty folder.
Exported cells that the site leaves out (imports and a few definitions) come first, as the folded
cell "Imports" of the page. Cells with the comment `# needs data` or `# needs a GPU` are left out,
so are commands of the shell (`!ecgen ...`). Outputs whose code is hidden are made too, but lend
nothing to the cells that are shown. `pytest nbs` does the same, each notebook as one test.
"""
import argparse
import ast
import atexit
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from pathlib import Path

from nbdev.config import get_config

from nb import ROOT, directives, modules, notebooks

NEEDS = re.compile(r'#\s*needs (data|a GPU)\b')
# directives of cells that a page leaves out, or folds (tests)
HIDDEN = {'export', 'exporti', 'hide', 'default_exp', 'test'}
LIMIT = 900         # seconds that the cells of a page may take
TOO_LONG = f'Python was not done after {LIMIT} seconds'
UNMARKED = 'neither runs (`eval: false`) nor says why: `# needs data` or `# needs a GPU`'
NOT_RUN = dict(data='need data', GPU='need a GPU', shell='are commands of the shell', failed='fail')


def statements(cells): return [n for c in cells for n in ast.parse(c.source).body]


def is_import(node): return isinstance(node, (ast.Import, ast.ImportFrom))


def is_stored(node): return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def imported_as(alias): return alias.asname or alias.name.partition('.')[0]


def bound(node):
    "Names that a statement at the top of a module binds"
    if is_import(node): return [imported_as(a) for a in node.names]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)): return [node.name]
    return [n.id for n in ast.walk(node) if is_stored(n)]


def names_bound(nodes): return {name for n in nodes for name in bound(n)}


def names_defined(nodes): return names_bound(n for n in nodes if not is_import(n))


def names_used(nodes):
    "Names that occur in statements"
    inside = [x for n in nodes for x in ast.walk(n)]
    return {x.id for x in inside if isinstance(x, ast.Name)}


def options(cell):
    "The directives of a cell as `name: value`, as nbdev keeps them"
    given = set()
    for name, values in (cell.directives_ or {}).items():
        value = values[0] if values else ''
        given.add(f'{name.rstrip(":")}: {value}'.strip().lower())
    return given


def kind(cell):
    "shown, hidden (its output is shown), or '' where a page shows neither"
    if HIDDEN & (cell.directives_ or {}).keys(): return ''
    given = options(cell)
    if 'include: false' in given: return ''
    return 'hidden' if 'echo: false' in given else 'shown'


def shell(source): return re.search(r'(?m)^\s*[!%]', source) is not None


def import_lines(node):
    "An import as lines of at most 88 characters"
    line = ast.unparse(node)
    if len(line) <= 88 or isinstance(node, ast.Import): return line
    head, _, names = line.partition(' import ')
    blanks = ' ' * 4
    names = textwrap.fill(names, 84, initial_indent=blanks, subsequent_indent=blanks)
    return f'{head} import (\n{names})'


def shown_code(cells, needed=()):
    "Statements of the cells that a page shows, tests that shown cells need among them"
    found = [c for c, _ in cells if kind(c) == 'shown' or c.id in needed]
    return statements([c for c in found if not shell(c.source)])


def is_helper(given):
    "Are these the directives of a cell for tests, `#| test` without a name?"
    return 'test' in given and not given['test']


def helpers(path):
    """Ids of the cells for tests (`#| test` without a name) that shown cells need, too.

    A page says so, and they count as shown.
    """
    cells = directives(path)
    code = shown_code(cells)
    able = {c.id: statements([c]) for c, given in cells if is_helper(given)}
    defined = {i: names_defined(nodes) for i, nodes in able.items()}
    needed, used = set(), names_used(code) - names_bound(code)
    while new := {i for i, names in defined.items() if i not in needed and names & used}:
        needed |= new
        for i in new: used |= names_used(able[i])
    return needed


def import_only(node, names):
    "An import statement, of these names only"
    kept = [a for a in node.names if imported_as(a) in names]
    fields = dict(ast.iter_fields(node)) | dict(names=kept)
    return type(node)(**fields)


def import_defined(path, names):
    "The import of names that a notebook defines in its own module"
    module = f'{get_config().lib_name}.{modules(path)[0]}'
    statement = f'from {module} import {", ".join(names)}'
    return ast.parse(statement).body[0]


def imports(path):
    """Source of the folded cell "Imports".

    It has what cells that are not shown import, and the names that they define or that tests
    import, as far as shown cells use them.
    """
    cells, needed = directives(path), helpers(path)
    hidden = statements([c for c, d in cells if d.keys() & {'export', 'exporti'}])
    of_tests = statements([c for c, d in cells if is_helper(d) and c.id not in needed])
    code = shown_code(cells, needed)
    hidden_imports = [n for n in hidden if is_import(n)]
    lines = list(dict.fromkeys(map(import_lines, hidden_imports)))
    used = names_used(code)
    known = names_bound(code) | names_bound(hidden_imports)
    for node in filter(is_import, of_tests):
        missing = set(bound(node)) & used - known
        if not missing: continue
        known |= missing
        lines.append(import_lines(import_only(node, missing)))
    defined = sorted(names_defined(hidden) & used - known)
    if defined: lines.append(import_lines(import_defined(path, defined)))
    return '\n'.join(lines)


def treatment(cell, needed):
    "The kind of a cell for `displayed`, or '' where a page shows nothing of it"
    found = 'shown' if cell.id in needed else kind(cell)
    if not found or not cell.source.strip(): return ''
    if (need := NEEDS.search(cell.source)): return need[1].split()[-1]
    if shell(cell.source): return 'shell'
    return 'unmarked' if 'eval: false' in options(cell) else found


def displayed(path):
    """(id, kind, source) of each code cell whose code or output a page shows, the imports first.

    kind: shown, hidden, data, GPU, shell, or unmarked: not run, and does not say why.
    """
    head, needed = imports(path), helpers(path)
    found = [('imports', 'shown', head)] if head else []
    for cell, _ in directives(path):
        what = treatment(cell, needed)
        if what: found.append((cell.id, what, cell.source))
    return found


@functools.cache
def server():
    "One process that runs pages in forks of itself, see paste.py"
    process = subprocess.Popen(
        [sys.executable, ROOT/'tools'/'paste.py', '--serve'],
        env=with_this_library(MPLBACKEND='Agg'), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True)

    def stop():        # the page that runs, too
        if process.poll() is None: os.killpg(process.pid, signal.SIGKILL)
    atexit.register(stop)
    return process


def with_this_library(**env):
    "The environment in which `import ecgen` takes this checkout"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return os.environ | {'PYTHONPATH': path} | env


def paste_anew(given, failures, folder, env):
    "`paste` in a new Python"
    command = [sys.executable, ROOT/'tools'/'paste.py', given, failures]
    try:
        res = subprocess.run(
            command, cwd=folder, env=with_this_library(**env), capture_output=True, text=True,
            encoding='utf-8', timeout=LIMIT)
    except subprocess.TimeoutExpired: return TOO_LONG, ''
    return f'Python ended with {res.returncode}', res.stderr


def paste_in_fork(given, failures, folder, env):
    "`paste` in a fork of the server of pages"
    log = failures.with_name('log.txt')
    page = dict(source=str(given), to=str(failures), folder=str(folder), log=str(log), env=env,
                limit=LIMIT)
    server().stdin.write(json.dumps(page) + '\n')
    server().stdin.flush()
    answer = server().stdout.readline()
    if not answer:
        server.cache_clear()           # the next page gets a new one
        return 'the server of pages has ended', ''
    status = int(answer)
    why = TOO_LONG if status == -signal.SIGALRM else f'Python ended with {status}'
    printed = log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''
    return why, printed


def paste(given, failures, folder, env):
    "Run the cells of a file in a folder; (how Python ended, what it printed)"
    way = paste_in_fork if hasattr(os, 'fork') else paste_anew        # Windows has no forks
    return way(given, failures, folder, env)


def run_cells(cells, env):
    """Paste (id, kind, source) of cells into a Python of their own, in an empty folder.

    Returns (id, error, traceback) of those that fail, and whether Python came to the end.
    """
    with tempfile.TemporaryDirectory() as tmp:
        given, answer, work = (Path(tmp)/n for n in ('cells.json', 'failed.json', 'work'))
        given.write_text(json.dumps(cells), encoding='utf-8')
        work.mkdir()
        steady = {'MPLBACKEND': 'Agg', 'TQDM_DISABLE': '1'}
        why, log = paste(given, answer, work, steady | env)
        if not answer.exists(): return [('?', why, log[-3000:])], False
        return json.loads(answer.read_text(encoding='utf-8')), True


def run(path, **env):
    "(kind -> number of cells, [(id, error, traceback) of those that failed]) of a notebook"
    cells = displayed(path)
    counts = dict(Counter(what for _, what, _ in cells))
    failed = [(name, UNMARKED, '') for name, what, _ in cells if what == 'unmarked']
    found, ended = run_cells([c for c in cells if c[1] in ('shown', 'hidden')], env)
    failed += found
    shown = {name for name, what, _ in cells if what == 'shown'}
    not_run = [name for name, _, _ in failed if name in shown] if ended else shown
    counts['failed'] = len(failed)
    counts['not run'] = len(not_run)
    return counts, failed


def summary(counts):
    "Counts of `run` in words"
    total = sum(n for k, n in counts.items() if k not in ('failed', 'hidden', 'not run'))
    run_well = counts.get('shown', 0) - counts.get('not run', 0)
    rest = [f', {counts[k]} {words}' for k, words in NOT_RUN.items() if counts.get(k)]
    return f'{total} displayed cells: {run_well} run when pasted' + ''.join(rest)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path,
                        help='paths as seen from the top of the checkout')
    total, bad = Counter(), 0
    for path in parser.parse_args().notebook or notebooks():
        start = time.monotonic()
        counts, failed = run(path)
        total.update(counts)
        bad += len(failed)
        lines = [f'{path}: {summary(counts)}, {time.monotonic() - start:.0f} s']
        lines += [f'  cell {name}: {why}' for name, why, _ in failed]
        print('\n'.join(lines), flush=True)
    print(f'all: {summary(total)}')
    sys.exit(bool(bad))


if __name__ == '__main__': main()
