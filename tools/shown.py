"""What a page shows of its notebook, and whether that runs: `python tools/shown.py [NOTEBOOK ...]`, all of nbs/ by default.

The code cells that a reader sees are pasted in order into one fresh Python, in an empty folder. Exported cells that the site leaves out
(imports and a few definitions) come first, as the folded cell "Imports" of the page. Cells with the comment `# needs data` or
`# needs a GPU` are left out, so are commands of the shell (`!ecgen ...`). Outputs whose code is hidden are made too, but lend nothing to the cells that are shown.
`pytest nbs` does the same, each notebook as one test.
"""
import argparse, ast, atexit, functools, json, os, re, signal, subprocess, sys, tempfile, textwrap, time
from collections import Counter
from pathlib import Path

from nb import ROOT, directives, modules, notebooks

from nbdev.config import get_config

NEEDS = re.compile(r'#\s*needs (data|a GPU)\b')
HIDDEN = {'export', 'exporti', 'hide', 'default_exp', 'test'}          # directives of cells that a page leaves out, or folds (tests)
LIMIT = 900         # seconds that the cells of a page may take
NOT_RUN = dict(data='need data', GPU='need a GPU', shell='are commands of the shell', failed='fail')


def statements(cells): return [n for c in cells for n in ast.parse(c.source).body]


def is_import(node): return isinstance(node, (ast.Import, ast.ImportFrom))


def bound(node):
    "Names that a statement at the top of a module binds"
    if is_import(node): return [a.asname or a.name.partition('.')[0] for a in node.names]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)): return [node.name]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def options(cell):
    "The directives of a cell as `name: value`, as nbdev keeps them"
    return {f'{k.rstrip(":")}: {v[0] if v else ""}'.strip().lower() for k, v in (cell.directives_ or {}).items()}


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
    return f'{head} import (\n{textwrap.fill(names, 84, initial_indent="    ", subsequent_indent="    ")})'


def names_used(trees): return {n.id for t in trees for n in ast.walk(t) if isinstance(n, ast.Name)}


def helpers(path):
    "Ids of the cells for tests (`#| test` without a name) that shown cells need, too: a page says so, and they count as shown"
    cells = directives(path)
    trees = [ast.parse(c.source) for c, _ in cells if kind(c) == 'shown' and not shell(c.source)]
    own = {name for t in trees for n in t.body for name in bound(n)}
    able = {c.id: ast.parse(c.source) for c, d in cells if 'test' in d and not d['test']}
    needed, used = set(), names_used(trees) - own
    while new := {i for i, t in able.items() if i not in needed and {b for n in t.body if not is_import(n) for b in bound(n)} & used}:
        needed |= new
        used |= names_used([able[i] for i in new])
    return needed


def imports(path):
    """Source of the folded cell "Imports": what cells that are not shown import, and the names that they define or that tests import,
    as far as shown cells use them"""
    cells, needed = directives(path), helpers(path)
    hidden = statements([c for c, d in cells if d.keys() & {'export', 'exporti'}])
    of_tests = statements([c for c, d in cells if 'test' in d and not d['test'] and c.id not in needed])
    trees = [ast.parse(c.source) for c, _ in cells if (kind(c) == 'shown' or c.id in needed) and not shell(c.source)]
    used, own = names_used(trees), {name for t in trees for n in t.body for name in bound(n)}
    lines = list(dict.fromkeys(import_lines(n) for n in hidden if is_import(n)))
    known = own | {name for n in hidden for name in bound(n) if is_import(n)}
    for n in of_tests:
        if is_import(n) and (missing := set(bound(n)) & used - known):
            kept = [a for a in n.names if (a.asname or a.name.partition('.')[0]) in missing]
            known |= missing
            lines.append(import_lines(type(n)(**{**dict(ast.iter_fields(n)), 'names': kept})))
    defined = sorted({name for n in hidden if not is_import(n) for name in bound(n)} & used - known)
    if defined:
        module = f'{get_config().lib_name}.{modules(path)[0]}'
        lines.append(import_lines(ast.parse(f'from {module} import {", ".join(defined)}').body[0]))
    return '\n'.join(lines)


def displayed(path):
    """(id, kind, source) of each code cell whose code or output the page of a notebook shows, the imports first; kind: shown, hidden,
    data, GPU, shell, or unmarked: not run, and does not say why"""
    head, needed = imports(path), helpers(path)
    found = [('imports', 'shown', head)] if head else []
    for cell, _ in directives(path):
        if not (k := 'shown' if cell.id in needed else kind(cell)) or not cell.source.strip(): continue
        if (need := NEEDS.search(cell.source)): k = need[1].split()[-1]
        elif shell(cell.source): k = 'shell'
        elif 'eval: false' in options(cell): k = 'unmarked'
        found.append((cell.id, k, cell.source))
    return found


@functools.cache
def server():
    "One process that runs pages in forks of itself, see paste.py"
    command = [sys.executable, ROOT/'tools'/'paste.py', '--serve']
    process = subprocess.Popen(command, env=with_this_library(MPLBACKEND='Agg'), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)

    def stop():        # the page that runs, too
        if process.poll() is None: os.killpg(process.pid, signal.SIGKILL)
    atexit.register(stop)
    return process


def with_this_library(**env):
    "The environment in which `import ecgen` takes this checkout"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return os.environ | {'PYTHONPATH': path} | env


def paste(given, failures, folder, env):
    "Run the cells of a file in a folder; (how Python ended, what it printed)"
    if not hasattr(os, 'fork'):        # Windows: a new Python for each page
        command = [sys.executable, ROOT/'tools'/'paste.py', given, failures]
        try: res = subprocess.run(command, cwd=folder, env=with_this_library(**env), capture_output=True, text=True, encoding='utf-8', timeout=LIMIT)
        except subprocess.TimeoutExpired: return f'Python was not done after {LIMIT} seconds', ''
        return f'Python ended with {res.returncode}', res.stderr
    log = failures.with_name('log.txt')
    page = dict(source=str(given), to=str(failures), folder=str(folder), log=str(log), env=env, limit=LIMIT)
    server().stdin.write(json.dumps(page) + '\n')
    server().stdin.flush()
    answer = server().stdout.readline()
    if not answer:
        server.cache_clear()           # the next page gets a new one
        return 'the server of pages has ended', ''
    status = int(answer)
    why = f'Python was not done after {LIMIT} seconds' if status == -signal.SIGALRM else f'Python ended with {status}'
    return why, log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''


def run(path, **env):
    "(kind -> number of cells, [(id, error, traceback) of those that failed]) of a notebook"
    cells, counts = displayed(path), {}
    for _, k, _ in cells: counts[k] = counts.get(k, 0) + 1
    todo = [c for c in cells if c[1] in ('shown', 'hidden')]
    failed = [(name, 'neither runs (`eval: false`) nor says why: `# needs data` or `# needs a GPU`', '') for name, k, _ in cells if k == 'unmarked']
    with tempfile.TemporaryDirectory() as tmp:
        given, answer = Path(tmp)/'cells.json', Path(tmp)/'failed.json'
        given.write_text(json.dumps(todo), encoding='utf-8')
        (Path(tmp)/'work').mkdir()
        why, log = paste(given, answer, Path(tmp)/'work', {'MPLBACKEND': 'Agg', 'TQDM_DISABLE': '1'} | env)
        ended = answer.exists()
        if ended: failed += json.loads(answer.read_text(encoding='utf-8'))
        else: failed.append(('?', why, log[-3000:]))
    shown = {name for name, k, _ in cells if k == 'shown'}
    counts['failed'] = len(failed)
    counts['not run'] = sum(name in shown for name, _, _ in failed) if ended else len(shown)
    return counts, failed


def summary(counts):
    "Counts of `run` in words"
    total = sum(n for k, n in counts.items() if k not in ('failed', 'hidden', 'not run'))
    rest = [f'{counts[k]} {words}' for k, words in NOT_RUN.items() if counts.get(k)]
    return f'{total} displayed cells: {counts.get("shown", 0) - counts.get("not run", 0)} run when pasted' + ''.join(f', {r}' for r in rest)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path, help='paths as seen from the top of the checkout')
    total, bad = Counter(), 0
    for path in parser.parse_args().notebook or notebooks():
        start = time.monotonic()
        counts, failed = run(path)
        total.update(counts)
        bad += len(failed)
        print(f'{path}: {summary(counts)}, {time.monotonic() - start:.0f} s' + ''.join(f'\n  cell {name}: {why}' for name, why, _ in failed), flush=True)
    print(f'all: {summary(total)}')
    sys.exit(bool(bad))
