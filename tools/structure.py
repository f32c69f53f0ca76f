"""How the house reads, in figures: `python tools/structure.py [REVISION ...]`, the files of this checkout by default.

One column for each revision of git, so that a change can be seen before and after. Counted are the notebooks in nbs/ and the modules
that they export, without ecgen/tests:

  nodes on a body line    syntax nodes inside functions, without load and store marks, over the lines of code that hold them
  lines over N characters of all code cells of the notebooks, the installing cell left out
  cells with an output    of all code cells that are not tests and not exported
  shown code              lines of code cells that are neither exported nor tests, over the lines of all code cells
  bound by assignment     `Class.method = ...` outside a class
  names with two owners   functions and classes that two modules define, without those of one letter or behind an underscore
  circles                 groups of modules that import each other, also inside functions
"""
import argparse, ast, io, json, re, subprocess, sys, tarfile, tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


def checkout(revision, folder):
    "The files of a revision, in a folder"
    tar = subprocess.run(['git', 'archive', revision, 'nbs', 'ecgen'], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as f: f.extractall(folder, filter='data')
    return Path(folder)


def code_cells(root):
    "(source, outputs) of each code cell, without those that install the library"
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        if path.is_symlink(): continue
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            source = ''.join(cell['source'])
            if cell['cell_type'] == 'code' and 'ECGEN_INSTALL' not in source: yield source, cell['outputs']


def kind(source):
    "What a code cell is for"
    if re.search(r'(?m)^#\|\s*test\b', source): return 'test'
    return 'exported' if re.search(r'(?m)^#\|\s*(export|exports|exporti|default_exp)\b', source) else 'shown'


def modules(root):
    "Name of a module -> its syntax tree and its number of lines"
    found = {}
    for path in sorted((root/'ecgen').rglob('*.py')):
        name = '.'.join(path.relative_to(root).with_suffix('').parts)
        if '.tests' in name or path.stem in ('_modidx', '_project', '__main__'): continue
        text = path.read_text(encoding='utf-8')
        lines = sum(bool(x.strip()) and not x.lstrip().startswith('#') for x in text.splitlines())
        found[name.removesuffix('.__init__')] = ast.parse(text), lines
    return found


def density(trees):
    "Syntax nodes on a line of function bodies"
    nodes, lines = 0, 0
    for tree in trees:
        for f in (x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)):
            body = f.body[1:] if ast.get_docstring(f) else f.body
            inside = [n for b in body for n in ast.walk(b) if not isinstance(n, ast.expr_context)]
            nodes += len(inside)
            lines += len({n.lineno for n in inside if hasattr(n, 'lineno')})
    return nodes / lines


def imported(name, tree, known):
    "The modules of ours that a module imports, anywhere in it"
    parts = name.split('.')
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): yield from (a.name for a in n.names if a.name in known)
        if not isinstance(n, ast.ImportFrom): continue
        base = '.'.join(parts[:len(parts) - n.level]) if n.level else ''
        module = '.'.join(filter(None, [base, n.module]))
        if module in known and module != 'ecgen': yield module
        yield from (m for a in n.names if (m := f'{module}.{a.name}') in known)


def circles(graph):
    "Groups of modules that reach each other"
    def reach(a):
        seen, todo = set(), [a]
        while todo:
            for b in graph[todo.pop()] - seen:
                seen.add(b)
                todo.append(b)
        return seen
    far = {a: reach(a) for a in graph}
    return {frozenset(b for b in far[a] if a in far[b]) for a in graph if a in far[a]}


def owners(trees):
    "Name of a function or class -> the modules that define it"
    found = defaultdict(set)
    for name, tree in trees.items():
        for n in tree.body:
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and len(n.name) > 1 and n.name[0] != '_': found[n.name].add(name)
    return {k: v for k, v in found.items() if len(v) > 1}


def bound(trees):
    "Methods that are bound to a class outside it"
    classes = {n.name for t in trees.values() for n in ast.walk(t) if isinstance(n, ast.ClassDef)}
    targets = [x for t in trees.values() for n in t.body if isinstance(n, ast.Assign) for x in ast.walk(n)]
    attributes = [x for x in targets if isinstance(x, ast.Attribute) and isinstance(x.ctx, ast.Store)]
    return sum(isinstance(x.value, ast.Name) and x.value.id in classes for x in attributes)


def share(n, of): return f'{n / max(of, 1):.1%}'


def figures(root):
    "Name of a figure -> its value, as text"
    cells = list(code_cells(root))
    lines = [line for s, _ in cells for line in s.splitlines() if line.strip()]
    of = {k: [(s, o) for s, o in cells if kind(s) == k] for k in ('exported', 'shown', 'test')}
    found = modules(root)
    trees = {k: tree for k, (tree, _) in found.items()}
    graph = {k: set(imported(k, t, trees)) - {k} for k, t in trees.items()}
    plain = {k: n for k, (_, n) in found.items() if n > 300}
    shown = sum(len(s.splitlines()) for s, _ in of['shown'])
    return {
        'nodes on a body line': f'{density(trees.values()):.1f}',
        'lines over 100 characters': share(sum(len(x) > 100 for x in lines), len(lines)),
        'lines over 120 characters': share(sum(len(x) > 120 for x in lines), len(lines)),
        'longest line': f'{max(map(len, lines))}',
        'lines in a code cell, median': f'{median(len(s.splitlines()) for s, _ in cells):g}',
        'cells with an output': share(sum(bool(o) for _, o in of['shown']), len(of['shown'])),
        'code cells with an output, of all': share(sum(bool(o) for _, o in cells), len(cells)),
        'shown code': share(shown, sum(len(s.splitlines()) for s, _ in cells)),
        'bound by assignment': f'{bound(trees)}',
        'names with two owners': f'{len(owners(trees))}',
        'modules over 300 lines': f'{len(plain)}' + (f' ({", ".join(f"{k[6:]} {n}" for k, n in sorted(plain.items()))})' if plain else ''),
        'circles': '; '.join(', '.join(sorted(x[6:] for x in c)) for c in circles(graph)) or '0'}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('revision', nargs='*', help='such as HEAD~20; the files of this checkout by default')
    parser.add_argument('--owners', action='store_true', help='list the names that two modules define')
    a, columns = parser.parse_args(), {}
    for revision in a.revision or ['here']:
        with tempfile.TemporaryDirectory() as tmp:
            root = ROOT if revision == 'here' else checkout(revision, tmp)
            columns[revision] = figures(root)
            if a.owners:
                for name, where in sorted(owners({k: t for k, (t, _) in modules(root).items()}).items()): print(f'{name}: {", ".join(sorted(where))}')
    print(f'| | {" | ".join(columns)} |\n|---|{"---|" * len(columns)}')
    for k in next(iter(columns.values())): print(f'| {k} | {" | ".join(c[k] for c in columns.values())} |')


if __name__ == '__main__': main()
