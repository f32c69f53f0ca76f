"""The tools that build and check the site: `pytest tests/test_site.py`."""
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))

import links


def site(root, **pages):
    for name, body in pages.items(): (root/f'{name}.html').write_text(f'<html><body>{body}</body></html>', encoding='utf-8')
    return sorted(links.problems(root))


def test_links_that_resolve(tmp_path):
    assert site(tmp_path, index='<a href="other.html#here">x</a><a href="https://example.org/">y</a><a href="#top">z</a>', other='<h2 id="here"></h2><a href="index.html">x</a>') == []


@pytest.mark.parametrize('body,why', [('<a href="gone.html">x</a>', 'not there'), ('<a href="#gone">x</a>', 'anchor'), ('<img src="gone.png">', 'not there'), ('<a href="index.html#gone">x</a>', 'anchor'),
    ('<script src="https://cdn.example.org/x.js"></script>', 'fetches'), ('<link rel="stylesheet" href="//cdn.example.org/x.css">', 'fetches'), ('x' * 2_100_000, 'MB')])
def test_links_that_do_not(tmp_path, body, why):
    found = site(tmp_path, index=body)
    assert len(found) == 1 and why in found[0]


def test_style_sheets_fetch_nothing(tmp_path):
    (tmp_path/'a.css').write_text('@font-face { src: url(https://fonts.example.org/x.woff) }')
    assert 'fetches' in site(tmp_path, index='x')[0]


def test_badges_follow_the_address():
    import pages
    from types import SimpleNamespace
    for url, shown in (('https://example.invalid/ecgen', False), ('https://github.com/someone/ecgen', True), ('https://gitlab.com/someone/ecgen', False)):
        cfg = SimpleNamespace(git_url=url, doc_host='https://someone.github.io', branch='main')
        with patch.object(pages, 'get_config', lambda: cfg): made = pages.badge('nbs/3_model/02_gates.ipynb')
        assert bool(made) == shown and ('github/someone/ecgen/blob/main/nbs/3_model/02_gates.ipynb' in made) == shown


def test_landing_says_where_the_commands_work_and_what_the_widget_shows():
    import nbformat, pages
    from types import SimpleNamespace
    for url, clone in (('https://example.invalid/ecgen', False), ('https://github.com/someone/ecgen', True)):
        cfg = SimpleNamespace(git_url=url, doc_host='https://someone.github.io', branch='main')
        with patch.object(pages, 'get_config', lambda: cfg): made = pages.hero()
        assert ('git clone https://github.com/someone/ecgen' in made) == clone and ('in a checkout of the repository' in made) != clone and '{' not in made.replace('{raw}', '')
    nb = nbformat.read(ROOT/'index.ipynb', as_version=4)
    pages.landing(nb, dict(explorer='<i>explorer</i>', playground='<i>playground</i>'))
    page = ''.join(c.source for c in nb.cells if c.cell_type == 'markdown')
    assert '<i>explorer</i>' in page and '<i>playground</i>' in page and 'shot-' not in page
    assert 'the darker a word' not in page and 'the thicker its underline' in page and page.index('the thicker its underline') < page.index('model.svg')


def test_install_cell_takes_nothing_that_only_has_our_name():
    import nb
    from types import SimpleNamespace
    for url, public in (('https://example.invalid/ecgen', False), ('https://github.com/someone/ecgen', True)):
        cfg = SimpleNamespace(pip_name='ecgen-dialogue', git_url=url)
        with patch.object(nb, 'get_config', lambda: cfg): source = nb.install_cell().source
        assert len(source.splitlines()) <= 6 and max(map(len, source.splitlines())) <= 100
        ran, code = [], source.replace("importlib.util.find_spec('ecgen')", 'False')
        with patch('os.system', ran.append), patch.dict('os.environ', clear=False) as env:
            env.pop('ECGEN_INSTALL', None)
            if public: exec(code, {}); assert f'"ecgen-dialogue[notebooks] @ git+{url}"' in ran[0]
            else:
                with pytest.raises(KeyError, match='ECGEN_INSTALL'): exec(code, {})
                assert not ran
            env['ECGEN_INSTALL'] = 'here.whl[notebooks]'
            exec(code, {})
            assert 'pip install -q "here.whl[notebooks]"' in ran[-1]
        with patch('os.system', ran.clear): exec(source, {})                                      # the library is there
        assert ran


def test_cells_are_left_out_where_data_and_time_are_missing():
    import ecgen._notebook as first
    from types import SimpleNamespace
    shell = SimpleNamespace(input_transformers_cleanup=[])
    with patch('IPython.get_ipython', lambda: shell):
        first.main()
        assert not shell.input_transformers_cleanup                                               # a checkout has both
        with patch.dict('os.environ', ECGEN_INSTALL='here.whl'): first.main()
    leave_out, = shell.input_transformers_cleanup
    assert leave_out(['#| slow\n', 'x = 1\n']) == ["print('left out')"] and leave_out(['x = 1\n']) == ['x = 1\n']


def test_landing_figures_come_from_results():
    import json, pages
    figures, card = pages.figures(), json.loads((ROOT/'data'/'results'/'default_valid_greedy.json').read_text())
    words = json.loads((ROOT/'data'/'results'/'reasoner_words.json').read_text())['shipped (words, spans)']['spans']
    assert f'{card["emotion_accuracy"]:.1%}' in figures and f'{words["auc_within"]:.3f}' in figures and f'{card["perplexity"]:.1f}' in figures
    assert 'default_valid_greedy.json' in figures and 'reasoner_words.json' in figures


def test_built_site():
    if not (ROOT/'_docs'/'index.html').exists(): pytest.skip('needs the site: python tools/nb.py docs')
    assert list(links.problems(ROOT/'_docs')) == []


def test_the_route_stands_on_top_of_the_sidebar():
    import re
    if not (ROOT/'_docs'/'tour.html').exists(): pytest.skip('needs the site: python tools/nb.py docs')
    tree = (ROOT/'_docs'/'tour.html').read_text(encoding='utf-8').split('class="sidebar-tree"')[1].split('</aside>')[0]
    captions = [c.strip() for c in re.findall(r'class="caption-text">([^<]+)', tree)]
    assert captions == ['The route: six pages', 'Look up', 'Data', 'Emotion causes', 'The model', 'Training', 'Evaluation', 'Baselines', 'Use']
    first = re.findall(r'<a class="[^"]*reference internal[^"]*" href="[^"]*">([^<]+)', tree)[:6]
    assert first == ['Tour', 'Attention', 'Reasoner', 'Gates', 'Gated attention', 'Attention maps']


def test_tests_are_folded_and_signatures_stand_once():
    import re
    if not (ROOT/'_docs'/'3_model'/'gates.html').exists(): pytest.skip('needs the site: python tools/nb.py docs')
    page, notebook = (ROOT/'_docs'/'3_model'/'gates.html').read_text(encoding='utf-8'), (ROOT/'nbs'/'3_model'/'02_gates.ipynb').read_text(encoding='utf-8')
    assert page.count('Test: ') == len(re.findall(r'"#\| test \w', notebook)) > 5 and 'id="soft-gates"' in page
    assert page.count('>soft_gates</span><span class="p">(</span>\n') == 1                                  # the definition, with the shapes of its arguments


def test_messages_name_extras_that_exist():
    import re
    from configparser import ConfigParser
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    source = {p: p.read_text(encoding='utf-8') for p in (ROOT/'ecgen').rglob('*.py') if p.parent != ROOT/'ecgen'/'tests'}
    named = {e for s in source.values() for e in re.findall(r'how_to_add\(["\'](\w+)', s)}
    assert len(named) > 4 and all(f'{e}_requirements' in ini['DEFAULT'] for e in named)
    assert [p.name for p, s in source.items() if re.search(r'pip install.*PIP_NAME\}\[', s)] == ['files.py']     # all others let `how_to_add` say it


def test_the_distribution_has_one_name_and_no_foreign_files():
    import re, shutil, subprocess, sys, tempfile
    from ecgen._project import PIP_NAME
    assert f'pip_name = {PIP_NAME}\n' in (ROOT/'settings.ini').read_text(encoding='utf-8') and PIP_NAME != 'ecgen'
    texts = {p: p.read_text(encoding='utf-8') for d in ('ecgen', 'tools', 'nbs', '.github') for p in (ROOT/d).rglob('*') if p.suffix in ('.py', '.ipynb', '.yml')}
    texts |= {ROOT/n: (ROOT/n).read_text(encoding='utf-8') for n in ('README.md', 'setup.py', 'index.ipynb')}
    assert not [p for p, s in texts.items() if re.search(r'pip install (-\S+ )*[\'"]?ecgen[\[\'"` \\]', s) and p != Path(__file__).resolve()]
    with tempfile.TemporaryDirectory() as tmp:
        home = shutil.copytree(ROOT/'ecgen', Path(tmp)/'ecgen', ignore=shutil.ignore_patterns('__pycache__', 'tests'))
        def why(module='ecgen'): return subprocess.run([sys.executable, '-S', '-c', f'import {module}'], cwd=tmp, env=dict(PYTHONPATH=tmp), capture_output=True, text=True).stderr
        assert not why()
        for name in ('api.py', 'sampling/__init__.py', 'nn/__init__.py'):                    # the first, the second also hides a module of ours
            (home/name).parent.mkdir(exist_ok=True)
            (home/name).write_text('')
            assert f'another project ({name.split("/")[0]})' in why() and f'install {PIP_NAME} again' in why()
            (home/name).unlink()
        (home/'api.py').write_text('')
        (home/'__init__.py').write_text('')                                                  # theirs came last
        assert 'another project (api.py)' in why('ecgen.data.dialogues')


def test_no_notebook_wants_what_the_wheel_leaves_out():
    import json
    for path in [*(ROOT/'nbs').rglob('*.ipynb'), ROOT/'index.ipynb']:
        code = '\n'.join(''.join(c['source']) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code')
        assert 'ecgen.tests' not in code, f'{path.name} alone, with the library from a wheel, has no tests to import from'


def test_without_quarto_the_other_site_is_named():
    import pages
    with patch('shutil.which', lambda name: None), pytest.raises(SystemExit, match='tools/nb.py docs'): pages.quarto()


def test_import_is_quick_and_public_names_are_there():
    import subprocess, sys
    code = 'import ecgen, sys; assert "torch" not in sys.modules; from ecgen import EmpatheticModel, load_split; print(EmpatheticModel.__name__)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == 'EmpatheticModel\n'
    import ecgen
    assert set(ecgen.PUBLIC) <= set(dir(ecgen)) and all(getattr(ecgen, n) for n in ecgen.PUBLIC if n not in ('CauseHighlight', 'AttentionExplorer'))
    with pytest.raises(AttributeError): ecgen.nothing_of_this_name


def notebook(tmp_path, *cells):
    "A notebook of code cells"
    import nbformat
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(nb, tmp_path/'page.ipynb')
    return tmp_path/'page.ipynb'


def test_displayed_cells_are_pasted_in_order(tmp_path):
    import shown
    path = notebook(tmp_path, '#| default_exp model.gates', '#| export\nfrom math import sqrt\nhidden = 3', '#| test\nfrom math import floor\ndef helper(x): return floor(x)',
                    '#| exports\ndef root(x): return sqrt(x)', '#| echo: false\nsecret = root(4)', '#| echo: false\nassert secret == 2', 'assert helper(root(5)) == 2', 'secret', '1 / 0',
                    '# needs a GPU\n1 / 0', '#| eval: false\n# needs data\n1 / 0', '!ls', '#| eval: false\n1 / 0', '#| hide\n1 / 0', '#| test that_it_is_so\n1 / 0', 'display(root(9))')
    counts, failed = shown.run(path)
    why = [e for _, e, _ in failed]
    assert [w.split(':')[0] for w in why] == ['neither runs (`eval', 'NameError', 'ZeroDivisionError'] and 'secret' in why[1]      # hidden cells lend nothing to others
    assert counts == dict(shown=7, hidden=2, GPU=1, data=1, shell=1, unmarked=1, failed=3, **{'not run': 2})
    assert shown.summary(counts) == '11 displayed cells: 5 run when pasted, 1 need data, 1 need a GPU, 1 are commands of the shell, 3 fail'
    assert shown.imports(path) == 'from math import sqrt'


def test_imports_lend_what_is_hidden(tmp_path):
    import shown
    path = notebook(tmp_path, '#| default_exp model.gates', '#| export\nimport json, os\ndef apply_gate_rules(): pass', '#| test\nfrom math import floor, ceil', 'apply_gate_rules, floor(2.)')
    assert shown.imports(path).splitlines() == ['import json, os', 'from math import floor', 'from ecgen.model.gates import apply_gate_rules']
    assert shown.run(path)[1] == []


def test_a_page_has_one_name():
    "Sidebar, title and links call a page the same"
    import json, posixpath, re
    text = {p.relative_to(ROOT).as_posix(): ''.join(''.join(c['source']) + '\n\n' for c in json.loads(p.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'markdown')
            for p in [*(ROOT/'nbs').rglob('*.ipynb'), ROOT/'index.ipynb'] if not p.is_symlink()}
    titles = {p: re.search(r'(?m)^# (.+)$', t)[1] for p, t in text.items()}
    wrong = [f'{page}: [{words}]({link}) is called "{titles[to]}"' for page, t in text.items() for words, link in re.findall(r'\[([^\[\]]+)\]\(([\w./-]+\.ipynb)\)', t)
             if (to := posixpath.normpath(posixpath.join(posixpath.dirname(page), link))) in titles and words.lower() != titles[to].lower() and to != 'index.ipynb']
    assert not wrong, '\n'.join(wrong)
    assert len(set(titles.values())) == len(titles)


def test_pictures_of_the_model_have_one_part_lit():
    import drawing
    for lit in ('', *drawing.PARTS):
        text = (ROOT/'nbs'/'images'/f'model{"-" * bool(lit)}{lit}.svg').read_text(encoding='utf-8')
        assert text.count(' lit">') == bool(lit) and (not lit or f'<g class="{lit} lit">' in text) and 'http' not in text.replace('http://www.w3.org/2000/svg', '')
