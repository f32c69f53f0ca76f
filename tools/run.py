"""Execute notebooks in place and keep what they print and draw: `python tools/run.py [NOTEBOOK ...]`, all of nbs/ by default.

Running again changes nothing, as far as the notebook itself is deterministic: bars of tqdm, execution counts, dates inside
figures and the random names of widgets do not get in. Named test cells are left out: pytest runs them. Cells marked `#| eval: false` or with one of tst_flags (slow, cuda), and
notebooks whose front matter says `skip_exec: true`, keep the outputs that they have.
"""
import argparse, json, os, re, sys, tempfile
from pathlib import Path

import nb as project
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

SKIP = 'skip-execution'
WIDGETS, VIEW = 'application/vnd.jupyter.widget-state+json', 'application/vnd.jupyter.widget-view+json'
PAGE = '<iframe class="ecgen-widget"'      # a widget of ours that brings its own page: its live form is for live kernels
BAR = re.compile(r'\d+%\||\d+it \[')  # a progress bar of tqdm, with and without a known total


def skipped(path, run_flags):
    "Positions of the cells that keep their outputs, or None where the whole notebook does"
    front = getattr(NBProcessor(path, procs=FrontmatterProc, process=True).nb, 'frontmatter_', {})
    if str(front.get('skip_exec', '')).lower() == 'true': return None
    flags = set(get_config().tst_flags.split()) - set(run_flags)
    dirs = [c.directives_ or {} for c in NBProcessor(path).nb.cells]
    return [i for i, d in enumerate(dirs) if flags & d.keys() or d.get('test') or d.get('eval:', [''])[0].lower() == 'false']


def environment(rc):
    "What makes a kernel's output repeatable; `rc` is a matplotlibrc file"
    rc.write_text('svg.hashsalt: ecgen\n', encoding='utf-8')  # else ids in an SVG are random
    return os.environ | {'MATPLOTLIBRC': str(rc), 'SOURCE_DATE_EPOCH': '0', 'PYTHONHASHSEED': '0', 'TQDM_DISABLE': '1',
                         'PYTHONPATH': os.pathsep.join(filter(None, [str(project.ROOT), os.environ.get('PYTHONPATH')]))}


def tidy(nb):
    """Drop progress bars that were drawn all the same, with their widgets, and the live form of widgets that are saved as a page;
    number the other widgets in order"""
    state, bars = nb.metadata.get('widgets', {}).get(WIDGETS, {}).get('state', {}), set()
    for cell in (c for c in nb.cells if c.cell_type == 'code'):
        for out in list(cell.outputs):
            data = out.get('data', {})
            if PAGE in data.get('text/html', '') and VIEW in data: bars.add(data.pop(VIEW)['model_id'])
            if BAR.search(data.get('text/plain', '') if VIEW in data else out.text if out.get('name') == 'stderr' else ''):
                cell.outputs.remove(out)
                bars.add(data.get(VIEW, {}).get('model_id'))
            elif VIEW in data and data[VIEW]['model_id'] not in state: del data[VIEW]  # of an earlier run, whose state is gone
    bars |= {name for name, s in state.items() if s.get('model_module') == 'anywidget'}  # of those that no cell shows, too
    while bars:  # a bar is a box of widgets, each with a layout and a style
        bars = set(re.findall(r'IPY_MODEL_(\w+)', json.dumps([state.pop(name, '') for name in bars])))
    if not state: nb.metadata.pop('widgets', None)
    text = nbformat.writes(nb)
    for i, name in enumerate(state): text = text.replace(name, f'{i:032x}')
    return nbformat.reads(text, as_version=4)


def run(path, run_flags=(), timeout=None):
    "Execute one notebook in its folder, save it and clean it; it stays as it was if a cell fails"
    if (skip := skipped(path, run_flags)) is None: return print(f'{path}: kept (skip_exec)')
    nb = nbformat.read(path, as_version=4)
    for i in skip: nb.cells[i].metadata.setdefault('tags', []).append(SKIP)
    nb.metadata.pop('widgets', None)
    client = NotebookClient(nb, kernel_name='python3', timeout=timeout, skip_cells_with_tag=SKIP, store_widget_state=True,
                            coalesce_streams=True, extra_arguments=['--log-level=ERROR'],
                            resources={'metadata': {'path': str(path.resolve().parent)}})
    with tempfile.TemporaryDirectory() as tmp: client.execute(env=environment(Path(tmp)/'matplotlibrc'))
    for i in skip:
        tags = nb.cells[i].metadata['tags']
        tags.remove(SKIP)
        if not tags: del nb.cells[i].metadata['tags']
    nbformat.write(tidy(nb), path.resolve())
    project.clean_notebook(path)
    print(f'{path}: run' + (f', {len(skip)} cells kept' if skip else ''))
    for i, cell in enumerate(nb.cells):
        if any(p in str(cell.get('outputs', '')) for p in {str(project.ROOT), str(Path.home()), sys.prefix} - {'/'}):
            print(f'  cell {i} shows a path of this machine: {cell.source.splitlines()[-1]}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='*', type=Path, help='paths as seen from the top of the checkout')
    parser.add_argument('--flags', nargs='+', default=[], metavar='FLAG', help='run the cells marked with these too, such as slow or cuda')
    parser.add_argument('--timeout', type=int, help='seconds that a cell may take; no limit by default')
    args = parser.parse_args()
    for path in args.notebook or project.notebooks():
        try: run(path, args.flags, args.timeout)
        except CellExecutionError as e: sys.exit(f'{path}: a cell failed, and the notebook stays as it was\n{e}')
