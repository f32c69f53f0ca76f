"""Execute notebooks in place and keep what they print and draw:
`python tools/run.py [NOTEBOOK ...]`, all of nbs/ by default.

Running again changes nothing, as far as the notebook itself is deterministic: bars of tqdm,
execution counts, dates inside figures and the random names of widgets do not get in. Named test
cells are left out: pytest runs them. Cells marked `#| eval: false` or with one of tst_flags (slow,
cuda), and notebooks whose front matter says `skip_exec: true`, keep the outputs that they have.
"""
import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

import nb as project

SKIP = 'skip-execution'
WIDGETS = 'application/vnd.jupyter.widget-state+json'
VIEW = 'application/vnd.jupyter.widget-view+json'
# a widget of ours that brings its own page: its live form is for live kernels
PAGE = '<iframe class="ecgen-widget"'
BAR = re.compile(r'\d+%\||\d+it \[')  # a progress bar of tqdm, with and without a known total


def keeps_outputs(directives, flags):
    "Is a cell with these directives left out?"
    if flags & directives.keys() or directives.get('test'): return True
    return directives.get('eval:', [''])[0].lower() == 'false'


def skipped(path, run_flags):
    "Positions of the cells that keep their outputs, or None where the whole notebook does"
    read = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    front = getattr(read, 'frontmatter_', {})
    if str(front.get('skip_exec', '')).lower() == 'true': return None
    flags = set(get_config().tst_flags.split()) - set(run_flags)
    directives = [c.directives_ or {} for c in NBProcessor(path).nb.cells]
    return [i for i, given in enumerate(directives) if keeps_outputs(given, flags)]


def environment(rc):
    "What makes a kernel's output repeatable; `rc` is a matplotlibrc file"
    rc.write_text('svg.hashsalt: ecgen\n', encoding='utf-8')  # else ids in an SVG are random
    path = os.pathsep.join(filter(None, [str(project.ROOT), os.environ.get('PYTHONPATH')]))
    return os.environ | {
        'MATPLOTLIBRC': str(rc), 'SOURCE_DATE_EPOCH': '0', 'PYTHONHASHSEED': '0',
        'TQDM_DISABLE': '1', 'PYTHONPATH': path}


def text_of(out):
    "What an output says if it is a widget or on standard error, as progress bars are"
    data = out.get('data', {})
    if VIEW in data: return data.get('text/plain', '')
    return out.text if out.get('name') == 'stderr' else ''


def tidy_outputs(cell, state):
    """Drop progress bars, and the live form of widgets that are saved as a page.

    Returns the ids of the widgets that are no longer shown.
    """
    gone = set()
    for out in list(cell.outputs):
        data = out.get('data', {})
        if PAGE in data.get('text/html', '') and VIEW in data:
            gone.add(data.pop(VIEW)['model_id'])
        if BAR.search(text_of(out)):
            cell.outputs.remove(out)
            gone.add(data.get(VIEW, {}).get('model_id'))
        elif VIEW in data and data[VIEW]['model_id'] not in state:
            del data[VIEW]  # of an earlier run, whose state is gone
    return gone


def drop_widgets(state, names):
    "Take widgets out of the saved state, with the widgets that they are made of"
    while names:  # a bar is a box of widgets, each with a layout and a style
        dropped = json.dumps([state.pop(name, '') for name in names])
        names = set(re.findall(r'IPY_MODEL_(\w+)', dropped))


def numbered(nb, names):
    "The notebook with these widgets numbered in order, in place of their random names"
    text = nbformat.writes(nb)
    for i, name in enumerate(names): text = text.replace(name, f'{i:032x}')
    return nbformat.reads(text, as_version=4)


def tidy(nb):
    """Drop progress bars that were drawn all the same, with their widgets, and the live form of
    widgets that are saved as a page; number the other widgets in order"""
    state = nb.metadata.get('widgets', {}).get(WIDGETS, {}).get('state', {})
    gone = set()
    for cell in nb.cells:
        if cell.cell_type == 'code': gone |= tidy_outputs(cell, state)
    # those that no cell shows, too
    gone |= {name for name, s in state.items() if s.get('model_module') == 'anywidget'}
    drop_widgets(state, gone)
    if not state: nb.metadata.pop('widgets', None)
    return numbered(nb, state)


def mark(nb, skip):
    "Tell nbclient which cells to leave out"
    for i in skip: nb.cells[i].metadata.setdefault('tags', []).append(SKIP)


def unmark(nb, skip):
    "Take the marks of `mark` away"
    for i in skip:
        tags = nb.cells[i].metadata['tags']
        tags.remove(SKIP)
        if not tags: del nb.cells[i].metadata['tags']


def execute(nb, folder, timeout):
    "Run the cells of a notebook in a folder"
    client = NotebookClient(
        nb, kernel_name='python3', timeout=timeout, skip_cells_with_tag=SKIP,
        store_widget_state=True, coalesce_streams=True, extra_arguments=['--log-level=ERROR'],
        resources={'metadata': {'path': str(folder)}})
    with tempfile.TemporaryDirectory() as tmp:
        client.execute(env=environment(Path(tmp)/'matplotlibrc'))


def tell_paths(nb):
    "Print which cells show a path of this machine"
    private = {str(project.ROOT), str(Path.home()), sys.prefix} - {'/'}
    for i, cell in enumerate(nb.cells):
        outputs = str(cell.get('outputs', ''))
        if not any(path in outputs for path in private): continue
        print(f'  cell {i} shows a path of this machine: {cell.source.splitlines()[-1]}')


def run(path, run_flags=(), timeout=None):
    "Execute one notebook in its folder, save it and clean it; it stays as it was if a cell fails"
    skip = skipped(path, run_flags)
    if skip is None:
        print(f'{path}: kept (skip_exec)')
        return
    nb = nbformat.read(path, as_version=4)
    mark(nb, skip)
    nb.metadata.pop('widgets', None)
    execute(nb, path.resolve().parent, timeout)
    unmark(nb, skip)
    nbformat.write(tidy(nb), path.resolve())
    project.clean_notebook(path)
    print(f'{path}: run' + (f', {len(skip)} cells kept' if skip else ''))
    tell_paths(nb)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path,
                        help='paths as seen from the top of the checkout')
    parser.add_argument('--flags', nargs='+', default=[], metavar='FLAG',
                        help='run the cells marked with these too, such as slow or cuda')
    parser.add_argument('--timeout', type=int,
                        help='seconds that a cell may take; no limit by default')
    args = parser.parse_args()
    for path in args.notebook or project.notebooks():
        try: run(path, args.flags, args.timeout)
        except CellExecutionError as e:
            sys.exit(f'{path}: a cell failed, and the notebook stays as it was\n{e}')


if __name__ == '__main__': main()
