"""What plain `pytest` runs: the tests of each module in ecgen/tests, those of the whole system in
tests, and every notebook in nbs/, each as one test.

Of a notebook, the cells that the site displays are pasted in order into one Python that has run
nothing else (tools/shown.py); its `#| test NAME` cells are exported and run in ecgen/tests. Tests
on real data look for it in the folder ECGEN_DATA; where that is not set, a folder shared/data
beside the checkout is taken.
"""
import functools
import inspect
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
DATA = ROOT.parent/'shared'/'data'
if 'ECGEN_DATA' not in os.environ and DATA.is_dir(): os.environ['ECGEN_DATA'] = str(DATA)
os.environ.setdefault('OMP_NUM_THREADS', '1')  # two processes test at once, see pytest.ini
# tests leave the user's own cache alone
os.environ.setdefault('ECGEN_CACHE', tempfile.mkdtemp(prefix='ecgen-tests-'))
# no progress bars; hypothesis, when it sees CI, has no deadline and no random seed
STEADY = {'TQDM_DISABLE': '1', 'CI': 'true'}


@functools.cache
def has_gpu():
    import torch
    return torch.cuda.is_available()


def pytest_addoption(parser):
    parser.addoption('--run-slow', action='store_true',
                     help='also run tests, and cells of notebooks, that are marked slow')


def pytest_configure(config):
    "Property tests: a few examples, always the same ones; with --run-slow many"
    from hypothesis import settings
    examples = 200 if config.getoption('--run-slow') else 25
    settings.register_profile('ecgen', derandomize=True, deadline=None, database=None,
                              max_examples=examples)
    settings.load_profile('ecgen')


def searches(item):
    """Does a test let hypothesis look for a counterexample?

    Such tests are worth running with many examples, too.
    """
    try: return 'given(' in inspect.getsource(item.function)
    except (AttributeError, OSError): return False


def leave_out_slow(config, items):
    "Deselect the tests that are marked slow"
    slow = [i for i in items if i.get_closest_marker('slow')]
    if slow: config.hook.pytest_deselected(items=slow)
    items[:] = [i for i in items if i not in slow]


def pytest_collection_modifyitems(config, items):
    if not config.getoption('--run-slow'): leave_out_slow(config, items)
    for item in items:
        if searches(item): item.add_marker('property')
        if not item.get_closest_marker('cuda') or has_gpu(): continue
        item.add_marker(pytest.mark.skip(reason='needs a GPU'))


def pytest_collect_file(file_path, parent):
    if file_path.suffix != '.ipynb' or file_path.name[0] in '_.': return None
    if file_path.is_symlink(): return None
    return NotebookFile.from_parent(parent, path=file_path)


class NotebookFile(pytest.File):
    def collect(self):
        page = Notebook.from_parent(self, name='run')
        # other systems are trained there
        if self.path.parent.name == '6_baselines': page.add_marker('slow')
        yield page


class NotebookError(Exception):
    "Cells failed; the text is the report"


def report(failed):
    "What `shown.run` says of cells that failed, as text"
    cells = [f'cell {name}: {why}\n{trace}' for name, why, trace in failed]
    return '\n\n'.join(map(str.rstrip, cells))


class Notebook(pytest.Item):
    def runtest(self):
        sys.path.insert(0, str(ROOT/'tools'))
        import shown
        counts, failed = shown.run(self.path, **STEADY)
        self.user_properties.append(('displayed', counts))
        if failed: raise NotebookError(report(failed))

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, NotebookError): return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self): return self.path, None, f'notebook {self.path.name}'


def displayed(reports):
    "Counts of displayed cells, one for each notebook that these reports are about"
    kept = [pair for r in reports for pair in r.user_properties]
    return [Counter(counts) for name, counts in kept if name == 'displayed']


def pytest_terminal_summary(terminalreporter):
    "How many displayed cells the notebooks have, and what became of them"
    stats = terminalreporter.stats
    reports = [*stats.get('passed', []), *stats.get('failed', [])]
    pages = displayed(r for r in reports if r.when == 'call')
    if not pages: return
    sys.path.insert(0, str(ROOT/'tools'))
    import shown
    total = sum(pages, Counter())
    terminalreporter.write_line(f'{len(pages)} notebooks: {shown.summary(total)}')
