"""How much of a page is story: `python tools/story.py [NOTEBOOK ...]`, tour and parts 2 to 5 by
default.

Characters of prose and of examples that are shown, over these plus exported and test code. Left
out: the cell that installs the library, `#| hide`, `#| default_exp`, and code whose output alone
is shown. Prose counts without the addresses of its links; outputs do not count.
"""
import argparse
import re
from pathlib import Path
from statistics import median

import nbformat

import shown
from nb import directives, notebooks

MACHINERY = {'export', 'exports', 'exporti', 'test'}
LEFT_OUT = {'hide', 'default_exp'}
STORY = r'nbs/(00_tour|[2345]_)'       # pages that are counted by default


def part(cell, given):
    "What a code cell with these directives counts as, or None"
    if LEFT_OUT & given.keys(): return None
    if 'test' in given: return 'tests'
    if MACHINERY & given.keys(): return 'exported'
    return 'examples' if shown.kind(cell) == 'shown' else None


def counts(path):
    "Characters of prose, examples, exported code, tests"
    found = dict(prose=0, examples=0, exported=0, tests=0)
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != 'markdown': continue
        found['prose'] += len(re.sub(r'\]\([^)]*\)', ']', cell.source))
    for cell, given in directives(path):
        key = part(cell, given)
        if key: found[key] += len(cell.source.strip())
    return found


def share(count, tests=True):
    "Story over all; without tests, which the site folds, over what is open"
    story = count['prose'] + count['examples']
    left_out = 0 if tests else count['tests']
    return story / max(1, sum(count.values()) - left_out)


def default_pages():
    "The tour and the pages of parts 2 to 5, without their openings"
    pages = [p for p in notebooks() if re.match(STORY, p.as_posix())]
    return [p for p in pages if p.name != 'index.ipynb']


def row(path, count):
    "A line of the table"
    name = path.as_posix().removeprefix('nbs/').removesuffix('.ipynb')
    columns = (f'{name:40} {count["prose"]:8,} {count["examples"]:9,} '
               f'{count["exported"]:9,} {count["tests"]:8,}')
    return f'{columns}   {share(count):.2f}   {share(count, tests=False):.2f}'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path,
                        help='paths as seen from the top of the checkout')
    pages = parser.parse_args().notebook or default_pages()
    print(f'{"page":40} {"prose":>8} {"examples":>9} {"exported":>9} {"tests":>8}  '
          'story  without tests')
    shares = []
    for path in pages:
        count = counts(path)
        shares.append(share(count))
        print(row(path, count))
    enough = sum(s >= .66 for s in shares)
    print(f'median {median(shares):.2f}, lowest {min(shares):.2f}; '
          f'{enough} of {len(shares)} pages have .66 or more')


if __name__ == '__main__': main()
