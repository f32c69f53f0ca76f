"""README.md and the site, made from the notebooks' saved outputs.

`nb.py` calls this; Quarto is not needed.
"""
import html
import json
import posixpath
import re
import shutil
import subprocess
import sys

import execnb.nbio
import nbdev.quarto
import nbformat
import yaml
from nbconvert import MarkdownExporter
from nbdev import processors as procs
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor
from nbdev.serve import proc_nbs
from traitlets.config import Config

import shown
from nb import ROOT, directives, write

from ecgen.use.live import write_live

# cell options in Quarto's words, and the tags by which MyST-NB and nbconvert know them
TAGS = {
    'echo: false': 'remove-input', 'output: false': 'remove-output',
    'include: false': 'remove-cell', 'code-fold: true': 'hide-input'}
PRIORITY = [
    'text/markdown', 'image/svg+xml', 'image/png', 'image/jpeg', 'text/html', 'text/latex',
    'text/plain']
TOC = '```{{toctree}}\n:hidden:\n{caption}\n{pages}\n```'
# on top of the sidebar: the way to the paper's idea
ROUTE = [
    '00_tour.ipynb', '3_model/00_attention.ipynb', '3_model/01_reasoner.ipynb',
    '3_model/02_gates.ipynb', '3_model/03_gated_attention.ipynb',
    '3_model/10_attention_maps.ipynb']
LOOK_UP = ['paper.ipynb', 'glossary.ipynb']
# folder in nbs/ -> caption in the sidebar
PARTS = {
    '1_data': 'Data', '2_causes': 'Emotion causes', '3_model': 'The model',
    '4_training': 'Training', '5_evaluation': 'Evaluation', '6_baselines': 'Baselines',
    '7_use': 'Use'}
GITHUB = 'https://github.com/'
COLAB = 'https://colab.research.google.com'
BADGE = f'{COLAB}/assets/colab-badge.svg'


def patch_execnb():
    """execnb takes every key `source` for a cell's text.

    In the saved state of linked widgets it is a list.
    """
    whole = execnb.nbio.nb2dict

    def nb2dict(d, k=None):
        if k == 'source' and not isinstance(d, str): return d
        return whole(d, k)
    execnb.nbio.nb2dict = nb2dict


def patch_nbdev():
    """To describe the library nbdev needs the exported cells only.

    It would also run every cell with an import, tests and plots included.
    """
    whole, needed = procs._do_eval, {'export', 'exports', 'exporti', 'exec_doc'}

    def do_eval(cell):
        if cell.directives_.keys() & needed or 'show_doc(' in cell.source: return whole(cell)
        return None
    procs._do_eval = do_eval


patch_execnb()
patch_nbdev()


def public():
    "Whether the project has its public address yet; nothing links to it until then"
    return '.invalid' not in get_config().git_url + get_config().doc_host


def badge(path):
    "A line that opens the notebook in Colab, which reads from GitHub only"
    cfg = get_config()
    if not (public() and cfg.git_url.startswith(GITHUB)): return ''
    repository = cfg.git_url.removeprefix(GITHUB)
    address = f'{COLAB}/github/{repository}/blob/{cfg.branch}/{path}'
    return f'[![Open In Colab]({BADGE})]({address})'


def markdown(text): return nbformat.v4.new_markdown_cell(text)


def code_cells(nb): return [c for c in nb.cells if c.cell_type == 'code']


def markdown_cells(nb): return [c for c in nb.cells if c.cell_type == 'markdown']


def add_tags(cell, tags): cell.metadata.setdefault('tags', []).extend(tags)


def front_matter(nb):
    "Take the raw cells off the top of a notebook; what they say"
    meta = {}
    while nb.cells and nb.cells[0].cell_type == 'raw':
        source = nb.cells.pop(0).source.strip().strip('-')
        meta |= yaml.safe_load(source) or {}
    return meta


def heading(meta, path):
    "Title, summary and badge of a page"
    title = f"# {meta.get('title', '')}"
    summary = '> ' + meta['description'] if 'description' in meta else ''
    return '\n\n'.join(filter(None, [title, summary, badge(path)]))


def cell_options(source):
    "The options of a cell as lines of `name: value`"
    lines = re.findall(r'(?m)^#\|\s*(.*)', source)
    return '\n'.join(re.sub(r'\s*:\s*', ': ', line, count=1) for line in lines) + '\n'


def tag_by_options(cell):
    "A cell's options out of its source and into its tags"
    options = cell_options(cell.source)
    add_tags(cell, [tag for option, tag in TAGS.items() if option in options])
    alt = re.search(r'(?m)^fig-alt: "?(.*?)"?$', options)
    if alt: cell.metadata['mystnb'] = {'image': {'alt': alt[1]}}
    cell.source = re.sub(r'(?m)^#\|.*\n?', '', cell.source)


def presentable(nb, path):
    """Title, summary and badge on top; a cell's options out of its source and into tags.

    Returns the front matter.
    """
    meta = front_matter(nb)
    cells = [c for c in nb.cells if c.source != procs.insert_warning.content]
    nb.cells = [markdown(heading(meta, path)), *cells]
    for cell in code_cells(nb): tag_by_options(cell)
    return meta


def fold_label(name, needed):
    "What stands on a folded test"
    if name: return f'Test: {name}'
    return 'What the examples need' if needed else 'What the tests need'


def fold_tests(nb, path):
    """Fold the tests of a page; their names say what holds.

    nbdev took their directive away, so they are found by their ids in the notebook.
    """
    names = {c.id: ' '.join(d['test']) for c, d in directives(path) if 'test' in d}
    needed = shown.helpers(path)
    for cell in nb.cells:
        if cell.get('id') not in names: continue
        add_tags(cell, ['hide-input'])
        name = names[cell.id].replace('_', ' ')
        label = fold_label(name, cell.id in needed)
        cell.metadata.setdefault('mystnb', {})['code_prompt_show'] = label


def is_exported(cell):
    "Is it a cell that the site leaves out since the library is made of it?"
    return cell.cell_type == 'code' and re.search(r'(?m)^#\|\s*(export|exporti)\b', cell.source)


def before_exports(path):
    "Ids of the cells of a notebook before the first one that is exported"
    ids = []
    for cell in nbformat.read(path, as_version=4).cells:
        if is_exported(cell): break
        ids.append(cell.id)
    return ids


def show_imports(nb, path):
    """The folded cell of imports, so that what a reader pastes runs.

    It comes where the first cell stood that the site leaves out.
    """
    source = shown.imports(path)
    if not source: return
    cell = nbformat.v4.new_code_cell(source, id='imports')
    prompts = dict(code_prompt_show='Imports', code_prompt_hide='Imports')
    cell.metadata |= dict(tags=['hide-input'], mystnb=prompts)
    before = before_exports(path)
    last = max((i for i, c in enumerate(nb.cells) if c.get('id') in before), default=0)
    nb.cells.insert(max(1, last + 1), cell)


def readme_notebook():
    "The readme notebook as it is presented"
    source = get_config().readme_nb
    steps = [FrontmatterProc, procs.hide_line, procs.rm_header_dash, procs.rm_export, procs.hide_]
    processed = NBProcessor(ROOT/source, procs=steps, process=True).nb
    nb = nbformat.reads(execnb.nbio.nb2str(processed), as_version=4)
    presentable(nb, source)
    nb.metadata['language_info'] = {'name': 'python'}
    return nb


def name_pictures(nb):
    """Name outputs after their cells, so that a new cell above renames nothing.

    Returns name -> what the picture shows, in words.
    """
    alts = {}
    for cell in nb.cells:
        alt = cell.metadata.get('mystnb', {}).get('image', {}).get('alt', 'output')
        for i, out in enumerate(cell.get('outputs', [])):
            name = f'{cell.id}-{i}'
            out.setdefault('metadata', {})['filename'] = name
            alts[name] = alt
            if 'image/svg+xml' in out.get('data', {}): out.data.pop('image/png', None)
    return alts


def as_markdown(nb, folder):
    "The text of a notebook, and path -> bytes of its pictures"
    config = Config(
        TagRemovePreprocessor={
            'enabled': True,
            'remove_cell_tags': ['remove-cell'],
            'remove_input_tags': ['remove-input'],
            'remove_all_outputs_tags': ['remove-output']},
        NbConvertBase={'display_data_priority': PRIORITY})
    exporter = MarkdownExporter(config=config)
    body, made = exporter.from_notebook_node(nb, {'output_files_dir': folder})
    return body, made['outputs']


def with_alts(body, folder, alts):
    "The text with what its pictures show, in words"
    picture = rf'!\[\w+\]\(({folder}/([^)]+)\.\w+)\)'
    return re.sub(picture, lambda m: f'![{alts[m[2]]}]({m[1]})', body)


def readme_text(body, source):
    "The text without needless blanks, and with a note on where it comes from below its title"
    body = re.sub(r'(?m)^ +$', '', body).strip()
    title, _, rest = re.sub(r'\n{3,}', '\n\n', body).partition('\n')
    note = f'<!-- Written by tools/nb.py from {source}: edit that. -->'
    return f'{title}\n\n{note}\n{rest}\n'


def write_pictures(pictures, folder, stem):
    "Write the pictures of a notebook in place of its old ones"
    # drawings and screenshots, made otherwise, stay
    for old in folder.glob(f'{stem}-*'): old.unlink()
    for name, data in pictures.items():
        folder.mkdir(exist_ok=True)
        (ROOT/name).write_bytes(data)


def readme():
    "Write README.md and README_files/ from the readme notebook"
    source, folder = get_config().readme_nb, ROOT/'README_files'
    nb = readme_notebook()
    alts = name_pictures(nb)
    body, pictures = as_markdown(nb, folder.name)
    body = with_alts(body, folder.name, alts)
    write(ROOT/'README.md', readme_text(body, source))
    write_pictures(pictures, folder, stem=source.split('.')[0])


def local_links(text, page, names):
    """Point links to the pages of the site that is being built.

    They were to notebooks, or to their pages on the public site.
    """
    cfg = get_config()
    home = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')

    def from_public(m):
        anchor = (m[2] or '').replace('.', '')
        return f'/{m[1]}.ipynb{anchor}'

    def from_notebook(m):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), m[1]))
        target = target.removeprefix('../').removeprefix('nbs/')
        return f'](/{names[target]}' if target in names else m[0]
    text = re.sub(home + r'([\w./-]+?)\.html(#[\w.]*)?', from_public, text)
    text = re.sub(r'\]\(nbs/(images/[\w./-]+)\)', r'](/\1)', text)          # README.md's pictures
    return re.sub(r'\]\(([\w./-]+\.ipynb)', from_notebook, text)


def result(name):
    "A file of data/results"
    return json.loads((ROOT/'data'/'results'/f'{name}.json').read_text(encoding='utf-8'))


def card(figure, meaning):
    return f'<li><strong>{figure}</strong><span>{html.escape(meaning)}</span></li>'


def figures():
    "What the shipped model reaches, for the landing page: all of it from data/results"
    greedy = result('default_valid_greedy')
    words = result('reasoner_words')['shipped (words, spans)']['spans']
    place = result('detector_words')['words']['test']['position in the turn']
    emotions = card(
        f'{greedy["emotion_accuracy"]:.1%}',
        f'of emotions named right, out of 32 (guessing: {1 / 32:.1%})')
    causes = card(
        f'{words["auc_within"]:.3f}',
        'AUC of cause words within an utterance, on spans that people marked '
        f'(guessing: .500, place in the turn alone: {place["auc_within"]:.3f})')
    responses = card(
        f'{greedy["perplexity"]:.1f}',
        f'perplexity; BLEU-4 {greedy["bleu4"]:.2f} with greedy decoding')
    source = (
        f'Shipped model on the {greedy["examples"]:,} listener turns of the '
        f'{greedy["split"]}ation split, seed {greedy["seed"]}, '
        'from data/results/default_valid_greedy.json; cause words: RECCON&#39;s test split, '
        'data/results/reasoner_words.json. <a href="#how-good-is-it">What these mean</a>.')
    return f'<ul class="cards">{emotions}{causes}{responses}</ul><p class="from">{source}</p>'


# in these texts, a backslash at the end of a line joins the next line to it
HERO = """```{{raw}} html
<div class="hero"><p class="say">It reads a conversation, names the emotion, marks the words that \
it takes for the cause, and answers with these words in mind.
Touch the dialogue: point at a word, change the gate, choose a word of the response. Then try your \
own{where}:</p>
<pre>{clone}<b>$ </b>pip install -c constraints.txt -e '.[demo]'
<b>$ </b>ecgen demo</pre></div>
```"""
AFTER = """```{{raw}} html
<div class="hero"><p>This is what the model that ships with the package makes of a dialogue. \
The stronger a word's tint, the more probable that it belongs to the cause; \
the thicker its underline, the further its gate is open.</p>{figures}</div>
```"""
# the page of this widget lies on the site: a page inside the page may fetch the weights only from
# where it came from itself
ALIVE = '''```{raw} html
<p>Or let the model answer here, in this page: load it, type, close a gate, watch. \
Nothing that you type leaves the page. <a href="play.html">Open it alone</a>.</p>
<iframe class="ecgen-widget" title="Live playground" src="play.html" \
style="width:100%;height:1250px;border:0"></iframe>
```'''

# README.md's sentence about its picture
PICTURE = (
    r'This is what the model that ships with the package makes of a dialogue:.*?'
    r'underlined\.\s*')
# README.md shows pictures of widgets; the site has the widgets themselves
SHOT = r'!\[[^\]]*\]\(/?README_files/shot-(\w+)\.png\)'
LIVE = dict(explorer='AttentionExplorer', playground='Playground')


def html_of(cell):
    "What the outputs of a cell are as HTML"
    return [out.get('data', {}).get('text/html', '') for out in cell.get('outputs', [])]


def frames(cell):
    "The widgets that a cell displays, as HTML"
    return [text for text in html_of(cell) if 'ecgen-widget' in text]


def first_frame(displayed, kind):
    "The first widget of a kind, or None"
    mark = f'&quot;kind&quot;: &quot;{kind}&quot;'
    return next((text for text in displayed if mark in text), None)


def touchable(nbs):
    "Name of a picture -> the widget that it shows, as a notebook displays it"
    cells = [c for nb in nbs.values() for c in nb.cells]
    displayed = [text for c in cells for text in frames(c)]
    found = {name: first_frame(displayed, kind) for name, kind in LIVE.items()}
    lost = [LIVE[name] for name, text in found.items() if not text]
    if lost:
        sys.exit(f'No notebook displays {", ".join(lost)}, which the first page of the site wants: '
                 'run 7_use/01_widgets and 7_use/03_playground.')
    lazy = '<iframe loading="lazy" '
    return {name: text.replace('<iframe ', lazy, 1) for name, text in found.items()}


def with_widgets(text, widgets):
    "Text of a page, its pictures of widgets replaced by the widgets"
    return re.sub(SHOT, lambda m: f'```{{raw}} html\n{widgets[m[1]]}\n```', text)


def hero():
    "The two commands, for a checkout; where that comes from is said once the address is public"
    where, clone = ', in a checkout of the repository', ''
    if public():
        address = html.escape(get_config().git_url)
        where, clone = '', f'<b>$ </b>git clone {address} ecgen && cd ecgen\n'
    return HERO.format(where=where, clone=clone)


def drop_picture_sentence(nb):
    "Take README.md's sentence about its picture away"
    told = [c for c in markdown_cells(nb) if re.search(PICTURE, c.source)]
    if len(told) != 1:
        sys.exit('index.ipynb: the sentence about the picture is another one than tools/pages.py '
                 '(PICTURE) replaces on the site by one about the widget.')
    told[0].source = re.sub(PICTURE, '', told[0].source)


def landing(nb, widgets):
    """What the site's first page has and README.md has not.

    A sentence, the two commands, the main figures, widgets to be touched; one comes before all
    else.
    """
    first = next(i for i, cell in enumerate(nb.cells) if frames(cell))
    widget = nb.cells.pop(first)
    drop_picture_sentence(nb)
    for cell in markdown_cells(nb): cell.source = with_widgets(cell.source, widgets)
    after = AFTER.format(figures=figures())
    nb.cells[1:1] = [markdown(hero()), markdown(ALIVE), widget, markdown(after)]


def without_links(code): return re.sub(r'\[(`\w+`)\]\([^)]*\)', r'\1', code)


def stands_in(text, cells):
    "Is the symbol that a text describes defined in one of these cells?"
    name = re.search(r'(?m)^#+ (\w+)\s*$', text)
    if not name: return False
    definition = rf'(?m)^(?:def|class) {name[1]}\b'
    return any(re.search(definition, c.source) for c in cells)


def signature(cell, near=()):
    """What show_doc printed as text of the page, so that its heading can be linked to.

    It begins with a rule and a link to the source. Of a symbol whose source stands beside it
    (`#| exports`) the heading is enough: the source begins with the same signature.
    """
    text = cell.outputs[0].data['text/markdown'] if cell.outputs else ''
    text = re.sub(r'^\s*---\s*', '', text)
    text = re.sub(r'(?s)```.*?```', lambda m: without_links(m[0]), text)
    if stands_in(text, near): text = text.split('```')[0]
    link = r'[source](\1)' if public() else ''
    return markdown(re.sub(r'^\[source\]\((.*?)\)\{.*?\}', link, text))


def show_signatures(nb):
    "Put `signature` in place of each cell that nbdev added for show_doc"
    code = {i: c for i, c in enumerate(nb.cells) if c.cell_type == 'code' and not c.get('has_sd')}
    for i, cell in enumerate(nb.cells):
        if not cell.pop('has_sd', None): continue
        near = [code[k] for k in range(i - 4, i + 5) if k in code]
        nb.cells[i] = signature(cell, near)


def toc(pages, names, caption=''):
    "A list of pages from which the theme makes a part of its sidebar"
    lines = '\n'.join('/' + names[p].removesuffix('.ipynb') for p in pages if p in names)
    return TOC.format(caption=f':caption: {caption}\n' if caption else '', pages=lines)


def opens_folder(page):
    "Is it the first page of a folder within a part?"
    return page.count('/') == 2 and posixpath.basename(page).startswith('00_')


def opening_first(page): return not page.endswith('/index.ipynb'), page


def of_part(part, pages):
    """Pages of a part, its opening first.

    Those of a folder within it follow from that folder's first page.
    """
    own = [p for p in pages if posixpath.dirname(p) == part]
    folders = [p for p in pages if p.startswith(f'{part}/') and opens_folder(p)]
    return sorted(own, key=opening_first) + sorted(folders)


def sidebar(pages, names):
    "The route, what one looks up, and the parts"
    yield toc(ROUTE, names, 'The route: six pages')
    yield toc(LOOK_UP, names, 'Look up')
    for part, caption in PARTS.items(): yield toc(of_part(part, pages), names, caption)


def contents(page, names, metas):
    "What the opening of a part shows on the site: each page with what it is about"
    def line(p): return f'- [{metas[p]["title"]}](/{names[p]}): {metas[p].get("description", "")}'
    others = [p for p in of_part(posixpath.dirname(page), names) if p != page]
    return '\n'.join(['## Its pages\n', *map(line, others)])


def notebook_of(page):
    "The notebook that a page is made from, as seen from the top of the checkout"
    cfg = get_config()
    return page if page == cfg.readme_nb else f'{cfg.nbs_path.name}/{page}'


def place(page, meta):
    "Where a page lies on the site"
    name = meta.get('output-file', page).replace('.html', '.ipynb')
    return posixpath.join(posixpath.dirname(page), name)


def add_lists(page, nb, names, metas):
    "Lists of other pages: for readers on the opening of a part, for the sidebar in a folder"
    if page.endswith('/index.ipynb'): nb.cells.append(markdown(contents(page, names, metas)))
    if not opens_folder(page): return
    folder = [p for p in names if posixpath.dirname(p) == posixpath.dirname(page)]
    rest = sorted(p for p in folder if p != page)
    nb.cells.append(markdown(toc(rest, names)))


def make_page(page, nb, names, metas):
    "What nbdev made of a notebook as a page of the site"
    path = ROOT/notebook_of(page)
    fold_tests(nb, path)
    show_imports(nb, path)
    show_signatures(nb)
    for cell in markdown_cells(nb):
        text = local_links(cell.source, page, names)
        cell.source = text.replace(BADGE, '/colab.svg')  # a page fetches nothing from elsewhere
    add_lists(page, nb, names, metas)


def make_landing(page, nb, names, widgets):
    "The first page of the site, which also holds its sidebar"
    landing(nb, widgets)
    others = [p for p in names if p != page]
    nb.cells += map(markdown, sidebar(others, names))


def make_pages(src):
    "Make the pages of the site from what nbdev wrote to a folder"
    paths = sorted(src.rglob('*.ipynb'))
    nbs = {p.relative_to(src).as_posix(): nbformat.read(p, as_version=4) for p in paths}
    metas = {page: presentable(nb, notebook_of(page)) for page, nb in nbs.items()}
    names = {page: place(page, meta) for page, meta in metas.items()}
    widgets = touchable(nbs)
    for page, nb in nbs.items():
        make_page(page, nb, names, metas)
        if page == get_config().readme_nb: make_landing(page, nb, names, widgets)
        (src/page).unlink()
        nbformat.write(nb, src/names[page])


def copy_pictures(src):
    "The pictures that pages show and no notebook makes"
    no_shots = shutil.ignore_patterns('shot-*')
    shutil.copytree(ROOT/'README_files', src/'README_files', dirs_exist_ok=True, ignore=no_shots)
    shutil.copy(ROOT/'tools'/'site'/'colab.svg', src)


def run_sphinx(src, to):
    "Make the site from its pages"
    shutil.rmtree(to, ignore_errors=True)  # pages of notebooks that are gone
    options = ['-q', '-b', 'html', '-c', ROOT/'tools', '-d', src/'.doctrees']
    subprocess.run([sys.executable, '-m', 'sphinx', *options, src, to], check=True)
    shutil.rmtree(ROOT/'jupyter_execute', ignore_errors=True)  # MyST-NB leaves it beside the site


def docs():
    """Build the site.

    nbdev renders signatures and applies its directives, MyST-NB and Sphinx make the pages.
    """
    cfg = get_config()
    src = proc_nbs(force=True, n_workers=0)
    make_pages(src)
    copy_pictures(src)
    run_sphinx(src, ROOT/cfg.doc_path)
    write_live(ROOT/cfg.doc_path)
    print(f'docs: open {cfg.doc_path.name}/index.html')


def quarto():
    """Build nbdev's own site with Quarto.

    Plain `nbdev_docs` stops at the first lesson cell that has an import, since it runs such cells
    without those before them; and it would write README.md anew in its own way.
    """
    if not shutil.which('quarto'):
        sys.exit('Quarto is missing: get it from quarto.org, or build the site without it by '
                 '`python tools/nb.py docs`.')
    src, cfg, _ = nbdev.quarto._pre_docs(n_workers=0)
    subprocess.run(['quarto', 'render', '--no-cache'], cwd=src, check=True)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(src/cfg.doc_path.name, cfg.config_path)
    print(f'quarto: open {cfg.doc_path.name}/index.html')
