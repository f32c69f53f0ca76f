"""What plain `pytest` runs: the tests of each module in ecgen/tests, those of the whole system in tests, and every notebook in
nbs/, each as one test.

A notebook runs as nbdev_test runs it: in its own folder and process, without cells marked `#| eval: false` or with a flag of
`tst_flags` (slow, cuda), and not at all if its front matter says `skip_exec: true`. Its `#| test NAME` cells are left out,
for they are exported and run in ecgen/tests. Tests on real data look for it in the folder ECGEN_DATA; where that is not set,
a folder shared/data beside the checkout is taken.
"""
import functools, inspect, os, re, subprocess, sys, tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
DATA = ROOT.parent/'shared'/'data'
if 'ECGEN_DATA' not in os.environ and DATA.is_dir(): os.environ['ECGEN_DATA'] = str(DATA)
os.environ.setdefault('OMP_NUM_THREADS', '1')  # two processes test at once, see pytest.ini
os.environ.setdefault('ECGEN_CACHE', tempfile.mkdtemp(prefix='ecgen-tests-'))  # tests leave the user's own cache alone
STEADY = {'TQDM_DISABLE': '1', 'CI': 'true'}  # no progress bars; hypothesis, when it sees CI, has no deadline and no random seed

RUN = """
import sys
from pathlib import Path
import nbdev.test

class WithoutTests(nbdev.test.NBProcessor):
    'A named test cell runs once, in ecgen/tests; one without a name may hold what shown cells need'
    def process(self):
        super().process()
        for cell in self.nb.cells:
            if (flags := getattr(cell, 'directives_', None) or {}).get('test'): flags['tested'] = []

nbdev.test.NBProcessor = WithoutTests
path, root, *skip = sys.argv[1:]
sys.exit(not nbdev.test.test_nb(Path(path), skip_flags=skip, basepath=root)[0])
"""


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
    def collect(self): yield Notebook.from_parent(self, name='run')


class NotebookError(Exception):
    "A cell failed; the text is the report"


def report(path, stderr):
    "The cell that failed and its traceback, without the frames of the machinery around it"
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor
    text = re.sub(r'(Traceback.*?:\n).*?(?=  File "<ipython-input)', r'\1', re.sub(r'\x1b\[[0-9;]*m', '', stderr), flags=re.DOTALL)
    if not (cell := re.search(r'While Executing Cell #(\d+):\n', text)): return text
    source = NBProcessor(path, procs=FrontmatterProc, process=True).nb.cells[int(cell[1]) - 1].source
    trace = text[cell.end():].rstrip()
    return f'{trace.splitlines()[-1]}\n\nThe cell that failed:\n\n{source.rstrip()}\n\n{trace}'


class Notebook(pytest.Item):
    def runtest(self):
        skip = ['tested'] + ([] if self.config.getoption('--run-slow') else ['slow'])
        if not has_gpu(): skip.append('cuda')
        res = subprocess.run([sys.executable, '-c', RUN, str(self.path), str(ROOT), *skip], capture_output=True, text=True,
                             encoding='utf-8', env={**os.environ, **STEADY})
        if res.returncode: raise NotebookError(report(self.path, res.stderr))

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, NotebookError) else super().repr_failure(excinfo)

    def reportinfo(self): return self.path, None, f'notebook {self.path.name}'
