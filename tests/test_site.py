"""The tools that build and check the site: `pytest tests/test_site.py`."""
import json
import posixpath
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import nbformat
import pytest

import ecgen
from ecgen._project import PIP_NAME

ROOT = Path(__file__).resolve().parent.parent
DOCS, RESULTS = ROOT/'_docs', ROOT/'data'/'results'
sys.path.insert(0, str(ROOT/'tools'))

import links

NOWHERE = 'https://example.invalid/ecgen'
GITHUB = 'https://github.com/someone/ecgen'
GITLAB = 'https://gitlab.com/someone/ecgen'


def text_of(path): return path.read_text(encoding='utf-8')


def sources(path, kind):
    "The sources of a notebook's cells of a kind"
    cells = json.loads(text_of(path))['cells']
    return [''.join(c['source']) for c in cells if c['cell_type'] == kind]


def address(module, url, **settings):
    "While the project has this address"
    host = 'https://someone.github.io'
    config = SimpleNamespace(git_url=url, doc_host=host, branch='main', **settings)
    return patch.object(module, 'get_config', lambda: config)


def built(name):
    "The text of a page of the built site"
    if not (DOCS/name).exists(): pytest.skip('needs the site: python tools/nb.py docs')
    return text_of(DOCS/name)


# ---------------------------------------------------------------- links

def site(root, **pages):
    "What is wrong with a site of these pages"
    for name, body in pages.items():
        (root/f'{name}.html').write_text(f'<html><body>{body}</body></html>', encoding='utf-8')
    return sorted(links.problems(root))


def test_links_that_resolve(tmp_path):
    to_anchor, to_index = '<a href="other.html#here">x</a>', '<a href="index.html">x</a>'
    outside, to_top = '<a href="https://example.org/">y</a>', '<a href="#top">z</a>'
    other = '<h2 id="here"></h2>' + to_index
    assert site(tmp_path, index=to_anchor + outside + to_top, other=other) == []


@pytest.mark.parametrize('body,why', [
    ('<a href="gone.html">x</a>', 'not there'),
    ('<a href="#gone">x</a>', 'anchor'),
    ('<img src="gone.png">', 'not there'),
    ('<a href="index.html#gone">x</a>', 'anchor'),
    ('<script src="https://cdn.example.org/x.js"></script>', 'fetches'),
    ('<link rel="stylesheet" href="//cdn.example.org/x.css">', 'fetches'),
    ('x' * 2_100_000, 'MB'),
])
def test_links_that_do_not(tmp_path, body, why):
    found = site(tmp_path, index=body)
    assert len(found) == 1
    assert why in found[0]


def test_style_sheets_fetch_nothing(tmp_path):
    (tmp_path/'a.css').write_text('@font-face { src: url(https://fonts.example.org/x.woff) }')
    assert 'fetches' in site(tmp_path, index='x')[0]


# ---------------------------------------------------------------- the project's address

def test_badges_follow_the_address():
    import pages
    notebook = 'nbs/3_model/02_gates.ipynb'
    for url, shown in ((NOWHERE, False), (GITHUB, True), (GITLAB, False)):
        with address(pages, url): made = pages.badge(notebook)
        assert bool(made) == shown
        assert (f'github/someone/ecgen/blob/main/{notebook}' in made) == shown


def test_landing_says_where_the_commands_work():
    import pages
    for url, clone in ((NOWHERE, False), (GITHUB, True)):
        with address(pages, url): made = pages.hero()
        assert ('git clone https://github.com/someone/ecgen' in made) == clone
        assert ('in a checkout of the repository' in made) != clone
        assert '{' not in made.replace('{raw}', '')


def test_landing_says_what_the_widget_shows():
    import pages
    nb = nbformat.read(ROOT/'index.ipynb', as_version=4)
    pages.landing(nb, dict(explorer='<i>explorer</i>', playground='<i>playground</i>'))
    page = ''.join(c.source for c in nb.cells if c.cell_type == 'markdown')
    assert '<i>explorer</i>' in page
    assert '<i>playground</i>' in page
    assert 'shot-' not in page
    assert 'the darker a word' not in page
    assert 'the thicker its underline' in page
    assert page.index('the thicker its underline') < page.index('model.svg')


def test_landing_figures_come_from_results():
    import pages
    figures = pages.figures()
    card = json.loads((RESULTS/'default_valid_greedy.json').read_text())
    of_words = json.loads((RESULTS/'reasoner_words.json').read_text())
    words = of_words['shipped (words, spans)']['spans']
    assert f'{card["emotion_accuracy"]:.1%}' in figures
    assert f'{words["auc_within"]:.3f}' in figures
    assert f'{card["perplexity"]:.1f}' in figures
    assert 'default_valid_greedy.json' in figures
    assert 'reasoner_words.json' in figures


# ---------------------------------------------------------------- notebooks elsewhere

def test_install_cell_takes_nothing_that_only_has_our_name():
    import nb
    for url, public in ((NOWHERE, False), (GITHUB, True)):
        with address(nb, url, pip_name='ecgen-dialogue'): source = nb.install_cell().source
        lines = source.splitlines()
        assert len(lines) <= 6
        assert max(map(len, lines)) <= 100

        # where the library is missing, it comes from a public address or from ECGEN_INSTALL
        ran, code = [], source.replace("importlib.util.find_spec('ecgen')", 'False')
        with patch('os.system', ran.append), patch.dict('os.environ', clear=False) as env:
            env.pop('ECGEN_INSTALL', None)
            if public:
                exec(code, {})
                assert f'"ecgen-dialogue[notebooks] @ git+{url}"' in ran[0]
            else:
                with pytest.raises(KeyError, match='ECGEN_INSTALL'): exec(code, {})
                assert not ran
            env['ECGEN_INSTALL'] = 'here.whl[notebooks]'
            exec(code, {})
            assert 'pip install -q "here.whl[notebooks]"' in ran[-1]

        # where it is there, nothing is called
        with patch('os.system', ran.clear): exec(source, {})
        assert ran


def test_cells_are_left_out_where_data_and_time_are_missing():
    import ecgen._notebook as first
    shell = SimpleNamespace(input_transformers_cleanup=[])
    with patch('IPython.get_ipython', lambda: shell):
        first.main()
        assert not shell.input_transformers_cleanup         # a checkout has both
        with patch.dict('os.environ', ECGEN_INSTALL='here.whl'): first.main()
    leave_out, = shell.input_transformers_cleanup
    assert leave_out(['#| slow\n', 'x = 1\n']) == ["print('left out')"]
    assert leave_out(['x = 1\n']) == ['x = 1\n']


def test_no_notebook_wants_what_the_wheel_leaves_out():
    why = 'alone, with the library from a wheel, has no tests to import from'
    for path in [*(ROOT/'nbs').rglob('*.ipynb'), ROOT/'index.ipynb']:
        code = '\n'.join(sources(path, 'code'))
        assert 'ecgen.tests' not in code, f'{path.name} {why}'


# ---------------------------------------------------------------- the built site

def test_built_site():
    built('index.html')
    assert list(links.problems(DOCS)) == []


def test_the_route_stands_on_top_of_the_sidebar():
    tree = built('tour.html').split('class="sidebar-tree"')[1].split('</aside>')[0]
    captions = [c.strip() for c in re.findall(r'class="caption-text">([^<]+)', tree)]
    assert captions == ['The route: six pages', 'Look up', 'Data', 'Emotion causes', 'The model',
                        'Training', 'Evaluation', 'Baselines', 'Use']
    link = r'<a class="[^"]*reference internal[^"]*" href="[^"]*">([^<]+)'
    assert re.findall(link, tree)[:6] == ['Tour', 'Attention', 'Reasoner', 'Gates',
                                          'Gated attention', 'Attention maps']


def test_tests_are_folded_and_signatures_stand_once():
    page = built('3_model/gates.html')
    tests = re.findall(r'"#\| test \w', text_of(ROOT/'nbs'/'3_model'/'02_gates.ipynb'))
    assert page.count('Test: ') == len(tests)
    assert len(tests) > 5
    assert 'id="soft-gates"' in page

    # the definition, with the shapes of its arguments
    assert page.count('>soft_gates</span><span class="p">(</span>\n') == 1


def test_a_page_has_one_name():
    "Sidebar, title and links call a page the same"
    text = {}
    for path in [*(ROOT/'nbs').rglob('*.ipynb'), ROOT/'index.ipynb']:
        if path.is_symlink(): continue
        cells = sources(path, 'markdown')
        text[path.relative_to(ROOT).as_posix()] = ''.join(c + '\n\n' for c in cells)
    titles = {p: re.search(r'(?m)^# (.+)$', t)[1] for p, t in text.items()}

    wrong = []
    for page, t in text.items():
        for words, link in re.findall(r'\[([^\[\]]+)\]\(([\w./-]+\.ipynb)\)', t):
            to = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            if to not in titles or to == 'index.ipynb': continue
            if words.lower() == titles[to].lower(): continue
            wrong.append(f'{page}: [{words}]({link}) is called "{titles[to]}"')
    assert not wrong, '\n'.join(wrong)
    assert len(set(titles.values())) == len(titles)


def test_without_quarto_the_other_site_is_named():
    import pages
    with patch('shutil.which', lambda name: None):
        with pytest.raises(SystemExit, match='tools/nb.py docs'): pages.quarto()


def test_pictures_of_the_model_have_one_part_lit():
    import drawing
    for lit in ('', *drawing.PARTS):
        name = f'model-{lit}.svg' if lit else 'model.svg'
        text = text_of(ROOT/'nbs'/'images'/name)
        assert text.count(' lit">') == bool(lit)
        assert not lit or f'<g class="{lit} lit">' in text
        assert 'http' not in text.replace('http://www.w3.org/2000/svg', '')


# ---------------------------------------------------------------- the distribution

def test_messages_name_extras_that_exist():
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    paths = [p for p in (ROOT/'ecgen').rglob('*.py') if p.parent != ROOT/'ecgen'/'tests']
    source = {p: text_of(p) for p in paths}
    named = set()
    for s in source.values(): named |= {*re.findall(r'how_to_add\(["\'](\w+)', s)}
    assert len(named) > 4
    assert all(f'{e}_requirements' in ini['DEFAULT'] for e in named)

    # all but one let `how_to_add` say it
    by_hand = [p.name for p, s in source.items() if re.search(r'pip install.*PIP_NAME\}\[', s)]
    assert by_hand == ['files.py']


def test_the_distribution_has_one_name():
    assert f'pip_name = {PIP_NAME}\n' in text_of(ROOT/'settings.ini')
    assert PIP_NAME != 'ecgen'

    # nothing installs the other project
    paths = [ROOT/n for n in ('README.md', 'setup.py', 'index.ipynb')]
    for folder in ('ecgen', 'tools', 'nbs', '.github'):
        files = (ROOT/folder).rglob('*')
        paths += [p for p in files if p.suffix in ('.py', '.ipynb', '.yml')]
    other = re.compile(r'pip install (-\S+ )*[\'"]?ecgen[\[\'"` \\]')
    assert not [p for p in paths if other.search(text_of(p))]


def test_foreign_files_are_named(tmp_path):
    no_tests = shutil.ignore_patterns('__pycache__', 'tests')
    home = shutil.copytree(ROOT/'ecgen', tmp_path/'ecgen', ignore=no_tests)
    def why(module='ecgen'):
        "What Python says when it imports a module"
        command = [sys.executable, '-S', '-c', f'import {module}']
        env = dict(PYTHONPATH=str(tmp_path))
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.stderr
    assert not why()

    # files of the other project: the second one also hides a module of ours
    for name in ('api.py', 'sampling/__init__.py', 'nn/__init__.py'):
        (home/name).parent.mkdir(exist_ok=True)
        (home/name).write_text('')
        said = why()
        assert f'another project ({name.split("/")[0]})' in said
        assert f'install {PIP_NAME} again' in said
        (home/name).unlink()

    # the other project came last
    (home/'api.py').write_text('')
    (home/'__init__.py').write_text('')
    assert 'another project (api.py)' in why('ecgen.data.dialogues')


def test_import_is_quick_and_public_names_are_there():
    code = '''
import ecgen, sys
assert "torch" not in sys.modules
from ecgen import EmpatheticModel, load_split
print(EmpatheticModel.__name__)
'''
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == 'EmpatheticModel\n'

    assert set(ecgen.PUBLIC) <= set(dir(ecgen))
    widgets = ('CauseHighlight', 'AttentionExplorer')
    assert all(getattr(ecgen, n) for n in ecgen.PUBLIC if n not in widgets)
    with pytest.raises(AttributeError): ecgen.nothing_of_this_name


# ---------------------------------------------------------------- what a page shows can be pasted

PAGE = [
    '#| default_exp model.gates',
    '#| export\nfrom math import sqrt\nhidden = 3',
    '#| test\nfrom math import floor\ndef helper(x): return floor(x)',
    '#| exports\ndef root(x): return sqrt(x)',
    '#| echo: false\nsecret = root(4)',
    '#| echo: false\nassert secret == 2',
    'assert helper(root(5)) == 2',
    'secret',
    '1 / 0',
    '# needs a GPU\n1 / 0',
    '#| eval: false\n# needs data\n1 / 0',
    '!ls',
    '#| eval: false\n1 / 0',
    '#| hide\n1 / 0',
    '#| test that_it_is_so\n1 / 0',
    'display(root(9))',
]
SUMMARY = ('11 displayed cells: 5 run when pasted, 1 need data, 1 need a GPU, '
           '1 are commands of the shell, 3 fail')


def notebook(tmp_path, *cells):
    "A notebook of code cells"
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(nb, tmp_path/'page.ipynb')
    return tmp_path/'page.ipynb'


def test_displayed_cells_are_pasted_in_order(tmp_path):
    import shown
    path = notebook(tmp_path, *PAGE)
    counts, failed = shown.run(path)

    # what fails; hidden cells lend nothing to others
    why = [error for _, error, _ in failed]
    kinds = [w.split(':')[0] for w in why]
    assert kinds == ['neither runs (`eval', 'NameError', 'ZeroDivisionError']
    assert 'secret' in why[1]

    # counts of all
    others = {'not run': 2}
    assert counts == dict(shown=7, hidden=2, GPU=1, data=1, shell=1, unmarked=1, failed=3, **others)
    assert shown.summary(counts) == SUMMARY
    assert shown.imports(path) == 'from math import sqrt'


def test_imports_lend_what_is_hidden(tmp_path):
    import shown
    path = notebook(
        tmp_path,
        '#| default_exp model.gates',
        '#| export\nimport json, os\ndef apply_gate_rules(): pass',
        '#| test\nfrom math import floor, ceil',
        'apply_gate_rules, floor(2.)',
    )
    assert shown.imports(path).splitlines() == [
        'import json, os',
        'from math import floor',
        'from ecgen.model.gates import apply_gate_rules',
    ]
    assert shown.run(path)[1] == []
