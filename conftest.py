"""What plain `pytest` runs: the tests of each module in ecgen/tests, those of the whole system in tests, and every notebook in
nbs/, each as one test.

Of a notebook, the cells that the site displays are pasted in order into one Python that has run nothing else (tools/shown.py); its `#| test NAME` cells
are exported and run in ecgen/tests. Tests on real data look for it in the folder ECGEN_DATA; where that is not set,
a folder shared/data beside the checkout is taken.
"""
import functools, inspect, os, sys, tempfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
DATA = ROOT.parent/'shared'/'data'
if 'ECGEN_DATA' not in os.environ and DATA.is_dir(): os.environ['ECGEN_DATA'] = str(DATA)
os.environ.setdefault('OMP_NUM_THREADS', '1')  # two processes test at once, see pytest.ini
os.environ.setdefault('ECGEN_CACHE', tempfile.mkdtemp(prefix='ecgen-tests-'))  # tests leave the user's own cache alone
STEADY = {'TQDM_DISABLE': '1', 'CI': 'true'}  # no progress bars; hypothesis, when it sees CI, has no deadline and no random seed


@functools.cache
def has_gpu():
    import torch
    return torch.cuda.is_available()


def pytest_addoption(parser):
    parser.addoption('--run-slow', action='store_true', help='also run tests, and cells of notebooks, that are marked slow')


def pytest_configure(config):
    "Property tests: a few examples, always the same ones; with --run-slow many"
    from hypothesis import settings
    examples = 200 if config.getoption('--run-slow') else 25
    settings.register_profile('ecgen', derandomize=True, deadline=None, database=None, max_examples=examples)
    settings.load_profile('ecgen')


def searches(item):
    "Does a test let hypothesis look for a counterexample? Such tests are worth running with many examples, too"
    try: return 'given(' in inspect.getsource(item.function)
    except (AttributeError, OSError): return False


def pytest_collection_modifyitems(config, items):
    slow = [] if config.getoption('--run-slow') else [i for i in items if i.get_closest_marker('slow')]
    if slow: config.hook.pytest_deselected(items=slow)
    items[:] = [i for i in items if i not in slow]
    for item in items:
        if searches(item): item.add_marker('property')
        if item.get_closest_marker('cuda') and not has_gpu(): item.add_marker(pytest.mark.skip(reason='needs a GPU'))


def pytest_collect_file(file_path, parent):
    if file_path.suffix != '.ipynb' or file_path.name[0] in '_.' or file_path.is_symlink(): return None
    return NotebookFile.from_parent(parent, path=file_path)


class NotebookFile(pytest.File):
    def collect(self):
        page = Notebook.from_parent(self, name='run')
        if self.path.parent.name == '6_baselines': page.add_marker('slow')     # other systems are trained there
        yield page


class NotebookError(Exception):
    "Cells failed; the text is the report"


class Notebook(pytest.Item):
    def runtest(self):
        sys.path.insert(0, str(ROOT/'tools'))
        import shown
        counts, failed = shown.run(self.path, **STEADY)
        self.user_properties.append(('displayed', counts))
        if failed: raise NotebookError('\n\n'.join(f'cell {name}: {why}\n{trace}'.rstrip() for name, why, trace in failed))

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, NotebookError) else super().repr_failure(excinfo)

    def reportinfo(self): return self.path, None, f'notebook {self.path.name}'


def pytest_terminal_summary(terminalreporter):
    "How many displayed cells the notebooks have, and what became of them"
    reports = [r for kind in ('passed', 'failed') for r in terminalreporter.stats.get(kind, []) if r.when == 'call']
    pages = [Counter(counts) for r in reports for name, counts in r.user_properties if name == 'displayed']
    if not pages: return
    sys.path.insert(0, str(ROOT/'tools'))
    import shown
    terminalreporter.write_line(f'{len(pages)} notebooks: {shown.summary(sum(pages, Counter()))}')
