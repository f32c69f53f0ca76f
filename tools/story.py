"""How much of a page is story: `python tools/story.py [NOTEBOOK ...]`, tour and parts 2 to 5 by default.

Characters of prose and of examples that are shown, over these plus exported and test code. Left out: the cell that installs the library,
`#| hide`, `#| default_exp`, and code whose output alone is shown. Prose counts without the addresses of its links; outputs do not count.
"""
import argparse, re, sys
from pathlib import Path
from statistics import median

import shown
from nb import ROOT, directives, notebooks

import nbformat

MACHINERY = {'export', 'exports', 'exporti', 'test'}
LEFT_OUT = {'hide', 'default_exp'}


def counts(path):
    "Characters of prose, examples, exported code, tests"
    found = dict(prose=0, examples=0, exported=0, tests=0)
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == 'markdown': found['prose'] += len(re.sub(r'\]\([^)]*\)', ']', cell.source))
    for cell, d in directives(path):
        if LEFT_OUT & d.keys() or (not MACHINERY & d.keys() and shown.kind(cell) != 'shown'): continue
        key = 'tests' if 'test' in d else 'exported' if MACHINERY & d.keys() else 'examples'
        found[key] += len(cell.source.strip())
    return found


def share(c, tests=True):
    "Story over all; without tests, which the site folds, over what is open"
    return (c['prose'] + c['examples']) / max(1, sum(c.values()) - (0 if tests else c['tests']))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path, help='paths as seen from the top of the checkout')
    pages = parser.parse_args().notebook or [p for p in notebooks() if re.match(r'nbs/(00_tour|[2345]_)', p.as_posix()) and p.name != 'index.ipynb']
    print(f'{"page":40} {"prose":>8} {"examples":>9} {"exported":>9} {"tests":>8}  story  without tests')
    shares = []
    for path in pages:
        c = counts(path)
        shares.append(share(c))
        name = path.as_posix().removeprefix('nbs/').removesuffix('.ipynb')
        print(f'{name:40} {c["prose"]:8,} {c["examples"]:9,} {c["exported"]:9,} {c["tests"]:8,}   {share(c):.2f}   {share(c, tests=False):.2f}')
    print(f'median {median(shares):.2f}, lowest {min(shares):.2f}; {sum(s >= .66 for s in shares)} of {len(shares)} pages have .66 or more')
