"""How the house reads, in figures: `python tools/structure.py [REVISION ...]`, the files of this
checkout by default.

One column for each revision of git, so that a change can be seen before and after. Counted are the
notebooks in nbs/ and the modules that they export, without ecgen/tests:

  nodes on a body line    syntax nodes inside functions, without load and store marks, over the
                          lines of code that hold them
  lines over N characters of all code cells of the notebooks, the installing cell left out
  cells with an output    of all code cells that are not tests and not exported
  shown code              lines of code cells that are neither exported nor tests, over the lines
                          of all code cells
  bound by assignment     `Class.method = ...` outside a class
  names with two owners   functions and classes that two modules define, without those of one
                          letter or behind an underscore
  circles                 groups of modules that import each other, also inside functions
"""
import argparse
import ast
import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
NO_MODULES = ('_modidx', '_project', '__main__')       # files of ecgen/ that are not counted
EXPORTED = r'(?m)^#\|\s*(export|exports|exporti|default_exp)\b'


def checkout(revision, folder):
    "The files of a revision, in a folder"
    command = ['git', 'archive', revision, 'nbs', 'ecgen']
    tar = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as f: f.extractall(folder, filter='data')
    return Path(folder)


def code_cells(root):
    "(source, outputs) of each code cell, without those that install the library"
    for path in sorted((root/'nbs').rglob('*.ipynb')):
        if path.is_symlink(): continue
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            source = ''.join(cell['source'])
            if cell['cell_type'] != 'code' or 'ECGEN_INSTALL' in source: continue
            yield source, cell['outputs']


def kind(source):
    "What a code cell is for"
    if re.search(r'(?m)^#\|\s*test\b', source): return 'test'
    return 'exported' if re.search(EXPORTED, source) else 'shown'


def is_code(line): return bool(line.strip()) and not line.lstrip().startswith('#')


def modules(root):
    "Name of a module -> its syntax tree and its number of lines"
    found = {}
    for path in sorted((root/'ecgen').rglob('*.py')):
        name = '.'.join(path.relative_to(root).with_suffix('').parts)
        if '.tests' in name or path.stem in NO_MODULES: continue
        text = path.read_text(encoding='utf-8')
        lines = sum(map(is_code, text.splitlines()))
        found[name.removesuffix('.__init__')] = ast.parse(text), lines
    return found


def functions(tree): return [x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)]


def body_nodes(function):
    "Syntax nodes of a function's body, without its docstring and without load and store marks"
    body = function.body[1:] if ast.get_docstring(function) else function.body
    nodes = [n for statement in body for n in ast.walk(statement)]
    return [n for n in nodes if not isinstance(n, ast.expr_context)]


def density(trees):
    "Syntax nodes on a line of function bodies"
    nodes, lines = 0, 0
    for function in (f for tree in trees for f in functions(tree)):
        inside = body_nodes(function)
        nodes += len(inside)
        lines += len({n.lineno for n in inside if hasattr(n, 'lineno')})
    return nodes / lines


def imported_from(node, importer):
    "The module that a `from ... import` in the module `importer` names"
    parts = importer.split('.')
    base = '.'.join(parts[:len(parts) - node.level]) if node.level else ''
    return '.'.join(filter(None, [base, node.module]))


def imported(name, tree, known):
    "The modules of ours that a module imports, anywhere in it"
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): yield from (a.name for a in n.names if a.name in known)
        if not isinstance(n, ast.ImportFrom): continue
        module = imported_from(n, name)
        if module in known and module != 'ecgen': yield module
        within = [f'{module}.{a.name}' for a in n.names]
        yield from (m for m in within if m in known)


def reach(start, graph):
    "The modules that a module imports, at first or second hand"
    seen, todo = set(), [start]
    while todo:
        for other in graph[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def circles(graph):
    "Groups of modules that reach each other"
    far = {a: reach(a, graph) for a in graph}

    def group(a): return frozenset(b for b in far[a] if a in far[b])
    return {group(a) for a in graph if a in far[a]}


def is_named(node):
    "Is it a function or class whose name is more than a letter and has no underscore before it?"
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): return False
    return len(node.name) > 1 and node.name[0] != '_'


def owners(trees):
    "Name of a function or class that several modules define -> these modules"
    found = defaultdict(set)
    for module, tree in trees.items():
        for node in filter(is_named, tree.body): found[node.name].add(module)
    return {k: v for k, v in found.items() if len(v) > 1}


def classes(tree): return [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]


def assignments(tree): return [n for n in tree.body if isinstance(n, ast.Assign)]


def bound(trees):
    "Number of methods that are bound to a class outside it"
    names = {c.name for t in trees.values() for c in classes(t)}
    statements = [n for t in trees.values() for n in assignments(t)]
    nodes = [x for n in statements for x in ast.walk(n)]
    attributes = [x for x in nodes if isinstance(x, ast.Attribute)]
    owner = [x.value for x in attributes if isinstance(x.ctx, ast.Store)]
    return sum(isinstance(v, ast.Name) and v.id in names for v in owner)


def share(n, of): return f'{n / max(of, 1):.1%}'


def length(source): return len(source.splitlines())


def figures_of_lines(cells):
    "How long the lines of code cells are"
    lines = [line for source, _ in cells for line in source.splitlines() if line.strip()]
    over_100 = sum(len(x) > 100 for x in lines)
    over_120 = sum(len(x) > 120 for x in lines)
    return {
        'lines over 100 characters': share(over_100, len(lines)),
        'lines over 120 characters': share(over_120, len(lines)),
        'longest line': f'{max(map(len, lines))}'}


def figures_of_cells(cells):
    "How long code cells are, and how many a reader sees and sees the output of"
    shown = [(source, outputs) for source, outputs in cells if kind(source) == 'shown']
    lengths = [length(source) for source, _ in cells]
    shown_lines = sum(length(source) for source, _ in shown)
    told = sum(bool(outputs) for _, outputs in cells)
    shown_told = sum(bool(outputs) for _, outputs in shown)
    return {
        'lines in a code cell, median': f'{median(lengths):g}',
        'cells with an output': share(shown_told, len(shown)),
        'code cells with an output, of all': share(told, len(cells)),
        'shown code': share(shown_lines, sum(lengths))}


def long_modules(found):
    "How many modules have more than 300 lines, and which"
    rows = [f'{name[6:]} {n}' for name, (_, n) in sorted(found.items()) if n > 300]
    return f'{len(rows)} ({", ".join(rows)})' if rows else '0'


def circles_in_words(trees):
    "The groups of modules that import each other"
    graph = {k: set(imported(k, tree, trees)) - {k} for k, tree in trees.items()}
    groups = [sorted(x[6:] for x in circle) for circle in circles(graph)]
    return '; '.join(map(', '.join, groups)) or '0'


def figures(root):
    "Name of a figure -> its value, as text"
    cells = list(code_cells(root))
    found = modules(root)
    trees = {k: tree for k, (tree, _) in found.items()}
    return {
        'nodes on a body line': f'{density(trees.values()):.1f}',
        **figures_of_lines(cells),
        **figures_of_cells(cells),
        'bound by assignment': f'{bound(trees)}',
        'names with two owners': f'{len(owners(trees))}',
        'modules over 300 lines': long_modules(found),
        'circles': circles_in_words(trees)}


def list_owners(root):
    "Print the names that two modules define"
    trees = {k: tree for k, (tree, _) in modules(root).items()}
    for name, where in sorted(owners(trees).items()): print(f'{name}: {", ".join(sorted(where))}')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('revision', nargs='*',
                        help='such as HEAD~20; the files of this checkout by default')
    parser.add_argument('--owners', action='store_true',
                        help='list the names that two modules define')
    args = parser.parse_args()
    columns = {}
    for revision in args.revision or ['here']:
        with tempfile.TemporaryDirectory() as tmp:
            root = ROOT if revision == 'here' else checkout(revision, tmp)
            columns[revision] = figures(root)
            if args.owners: list_owners(root)
    print(f'| | {" | ".join(columns)} |\n|---|{"---|" * len(columns)}')
    for name in next(iter(columns.values())):
        row = [column[name] for column in columns.values()]
        print(f'| {name} | {" | ".join(row)} |')


if __name__ == '__main__': main()
