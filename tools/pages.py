"""README.md and the site, made from the notebooks' saved outputs. `nb.py` calls this; Quarto is not needed."""
import html, json, posixpath, re, shutil, subprocess, sys

import execnb.nbio, nbdev.quarto, nbformat, yaml
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
TAGS = {'echo: false': 'remove-input', 'output: false': 'remove-output', 'include: false': 'remove-cell', 'code-fold: true': 'hide-input'}
PRIORITY = ['text/markdown', 'image/svg+xml', 'image/png', 'image/jpeg', 'text/html', 'text/latex', 'text/plain']
TOC = '```{{toctree}}\n:hidden:\n{caption}\n{pages}\n```'
ROUTE = ['00_tour.ipynb', *(f'3_model/{name}.ipynb' for name in (
    '00_attention', '01_reasoner', '02_gates', '03_gated_attention', '10_attention_maps'))]  # on top of the sidebar: the way to the paper's idea
LOOK_UP = ['paper.ipynb', 'glossary.ipynb']
PARTS = {'1_data': 'Data', '2_causes': 'Emotion causes', '3_model': 'The model', '4_training': 'Training',
         '5_evaluation': 'Evaluation', '6_baselines': 'Baselines', '7_use': 'Use'}       # folder in nbs/ -> caption in the sidebar
COLAB = 'https://colab.research.google.com'


def patch_execnb():
    "execnb takes every key `source` for a cell's text; in the saved state of linked widgets it is a list"
    whole = execnb.nbio.nb2dict
    execnb.nbio.nb2dict = lambda d, k=None: d if k == 'source' and not isinstance(d, str) else whole(d, k)


def patch_nbdev():
    "To describe the library nbdev needs the exported cells only; it would also run every cell with an import, tests and plots included"
    whole, needed = procs._do_eval, {'export', 'exports', 'exporti', 'exec_doc'}
    procs._do_eval = lambda cell: whole(cell) if cell.directives_.keys() & needed or 'show_doc(' in cell.source else None


patch_execnb()
patch_nbdev()


def public():
    "Whether the project has its public address yet; nothing links to it until then"
    return '.invalid' not in get_config().git_url + get_config().doc_host


def badge(path):
    "A line that opens the notebook in Colab, which reads from GitHub only"
    cfg, host = get_config(), 'https://github.com/'
    if not (public() and cfg.git_url.startswith(host)): return ''
    return f'[![Open In Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{cfg.git_url[len(host):]}/blob/{cfg.branch}/{path})'


def presentable(nb, path):
    "Title, summary and badge on top; a cell's options out of its source and into tags. Returns the front matter"
    meta = {}
    while nb.cells and nb.cells[0].cell_type == 'raw': meta |= yaml.safe_load(nb.cells.pop(0).source.strip().strip('-')) or {}
    head = [f"# {meta.get('title', '')}", '> ' + meta['description'] if 'description' in meta else '', badge(path)]
    cells = [c for c in nb.cells if c.source != procs.insert_warning.content]
    nb.cells = [nbformat.v4.new_markdown_cell('\n\n'.join(filter(None, head))), *cells]
    for cell in (c for c in cells if c.cell_type == 'code'):
        options = '\n'.join(re.sub(r'\s*:\s*', ': ', o, count=1) for o in re.findall(r'(?m)^#\|\s*(.*)', cell.source)) + '\n'
        cell.metadata.setdefault('tags', []).extend(tag for option, tag in TAGS.items() if option in options)
        if (alt := re.search(r'(?m)^fig-alt: "?(.*?)"?$', options)): cell.metadata['mystnb'] = {'image': {'alt': alt[1]}}
        cell.source = re.sub(r'(?m)^#\|.*\n?', '', cell.source)
    return meta


def fold_tests(nb, path):
    "Fold the tests of a page; their names say what holds. nbdev took their directive away, so they are found by their ids in the notebook"
    names, needed = {c.id: ' '.join(d['test']) for c, d in directives(path) if 'test' in d}, shown.helpers(path)
    for cell in (c for c in nb.cells if c.get('id') in names):
        cell.metadata.setdefault('tags', []).append('hide-input')
        name = names[cell.id].replace('_', ' ')
        told = f'Test: {name}' if name else 'What the examples need' if cell.id in needed else 'What the tests need'
        cell.metadata.setdefault('mystnb', {})['code_prompt_show'] = told


def show_imports(nb, path):
    "The folded cell of imports, so that what a reader pastes runs: where the first cell stood that the site leaves out"
    if not (source := shown.imports(path)): return
    cell = nbformat.v4.new_code_cell(source, id='imports')
    cell.metadata |= dict(tags=['hide-input'], mystnb=dict(code_prompt_show='Imports', code_prompt_hide='Imports'))
    kept = {c.get('id') for c in nb.cells}
    before = []
    for c in nbformat.read(path, as_version=4).cells:
        if c.cell_type == 'code' and re.search(r'(?m)^#\|\s*(export|exporti)\b', c.source): break
        if c.id in kept: before.append(c.id)
    last = max((i for i, c in enumerate(nb.cells) if c.get('id') in before), default=0)
    nb.cells.insert(max(1, last + 1), cell)


def readme():
    "Write README.md and README_files/ from the readme notebook"
    cfg, files = get_config(), ROOT/'README_files'
    steps = [FrontmatterProc, procs.hide_line, procs.rm_header_dash, procs.rm_export, procs.hide_]
    nb = nbformat.reads(execnb.nbio.nb2str(NBProcessor(ROOT/cfg.readme_nb, procs=steps, process=True).nb), as_version=4)
    presentable(nb, cfg.readme_nb)
    nb.metadata['language_info'] = {'name': 'python'}
    alts = {}
    for cell in nb.cells:
        for i, out in enumerate(cell.get('outputs', [])):  # named after the cell, so that a new cell above renames nothing
            out.setdefault('metadata', {})['filename'] = name = f'{cell.id}-{i}'
            alts[name] = cell.metadata.get('mystnb', {}).get('image', {}).get('alt', 'output')
            if 'image/svg+xml' in out.get('data', {}): out.data.pop('image/png', None)
    tags = {'remove_cell_tags': ['remove-cell'], 'remove_input_tags': ['remove-input'], 'remove_all_outputs_tags': ['remove-output']}
    config = Config(TagRemovePreprocessor={'enabled': True, **tags}, NbConvertBase={'display_data_priority': PRIORITY})
    body, made = MarkdownExporter(config=config).from_notebook_node(nb, {'output_files_dir': files.name})
    body = re.sub(rf'!\[\w+\]\(({files.name}/([^)]+)\.\w+)\)', lambda m: f'![{alts[m[2]]}]({m[1]})', body)
    title, _, rest = re.sub(r'\n{3,}', '\n\n', re.sub(r'(?m)^ +$', '', body).strip()).partition('\n')
    write(ROOT/'README.md', f'{title}\n\n<!-- Written by tools/nb.py from {cfg.readme_nb}: edit that. -->\n{rest}\n')
    for old in files.glob(f'{cfg.readme_nb.split(".")[0]}-*'): old.unlink()  # drawings and screenshots, made otherwise, stay
    for name, data in made['outputs'].items():
        files.mkdir(exist_ok=True)
        (ROOT/name).write_bytes(data)


def local_links(text, page, names):
    "Point links at notebooks, or at their pages on the public site, to the pages of the site that is being built"
    home = re.escape(f'{get_config().doc_host}{get_config().doc_baseurl}/')
    text = re.sub(home + r'([\w./-]+?)\.html(#[\w.]*)?', lambda m: f"/{m[1]}.ipynb{(m[2] or '').replace('.', '')}", text)

    def to_page(m):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), m[1])).removeprefix('../').removeprefix('nbs/')
        return f'](/{names[target]}' if target in names else m[0]
    text = re.sub(r'\]\(nbs/(images/[\w./-]+)\)', r'](/\1)', text)          # README.md's pictures
    return re.sub(r'\]\(([\w./-]+\.ipynb)', to_page, text)


def figures():
    "What the shipped model reaches, for the landing page: all of it from data/results"
    greedy = json.loads((ROOT/'data'/'results'/'default_valid_greedy.json').read_text(encoding='utf-8'))
    g = {k: v for k, v in greedy.items() if isinstance(v, float)}
    words = json.loads((ROOT/'data'/'results'/'reasoner_words.json').read_text(encoding='utf-8'))['shipped (words, spans)']['spans']
    place = json.loads((ROOT/'data'/'results'/'detector_words.json').read_text(encoding='utf-8'))['words']['test']['position in the turn']
    cards = [(f'{g["emotion_accuracy"]:.1%}', f'of emotions named right, out of 32 (guessing: {1 / 32:.1%})'),
             (f'{words["auc_within"]:.3f}', 'AUC of cause words within an utterance, on spans that people marked '
              f'(guessing: .500, place in the turn alone: {place["auc_within"]:.3f})'),
             (f'{g["perplexity"]:.1f}', f'perplexity; BLEU-4 {g["bleu4"]:.2f} with greedy decoding')]
    items = ''.join(f'<li><strong>{a}</strong><span>{html.escape(b)}</span></li>' for a, b in cards)
    return (f'<ul class="cards">{items}</ul><p class="from">Shipped model on the {greedy["examples"]:,} listener turns of the {greedy["split"]}ation split, seed {greedy["seed"]}, '
            'from data/results/default_valid_greedy.json; cause words: RECCON&#39;s test split, data/results/reasoner_words.json. <a href="#how-good-is-it">What these mean</a>.</p>')


HERO = """```{{raw}} html
<div class="hero"><p class="say">It reads a conversation, names the emotion, marks the words that it takes for the cause, and answers with these words in mind.
Touch the dialogue: point at a word, change the gate, choose a word of the response. Then try your own{where}:</p>
<pre>{clone}<b>$ </b>pip install -c constraints.txt -e '.[demo]'
<b>$ </b>ecgen demo</pre></div>
```"""
AFTER = """```{{raw}} html
<div class="hero"><p>This is what the model that ships with the package makes of a dialogue. The stronger a word's tint, the more probable that it belongs to the cause; the thicker its underline, the further its gate is open.</p>{figures}</div>
```"""
PICTURE = r'This is what the model that ships with the package makes of a dialogue:.*?underlined\.\s*'     # README.md's sentence about its picture


SHOT = r'!\[[^\]]*\]\(/?README_files/shot-(\w+)\.png\)'     # README.md shows pictures of widgets; the site has the widgets themselves
LIVE = dict(explorer='AttentionExplorer', playground='Playground')
ALIVE = '''```{raw} html
<p>Or let the model answer here, in this page: load it, type, close a gate, watch. Nothing that you type leaves the page. <a href="play.html">Open it alone</a>.</p>
<iframe class="ecgen-widget" title="Live playground" src="play.html" style="width:100%;height:1250px;border:0"></iframe>
```'''      # its page lies on the site, for a page inside the page may fetch the weights only from where it came from itself


def touchable(nbs):
    "Name of a picture -> the widget that it shows, as a notebook displays it"
    frames = [o.data['text/html'] for nb in nbs.values() for c in nb.cells for o in c.get('outputs', []) if 'ecgen-widget' in o.get('data', {}).get('text/html', '')]
    found = {name: next((f for f in frames if f'&quot;kind&quot;: &quot;{kind}&quot;' in f), None) for name, kind in LIVE.items()}
    if lost := [LIVE[n] for n, f in found.items() if not f]: sys.exit(f'No notebook displays {", ".join(lost)}, which the first page of the site wants: run 7_use/01_widgets and 7_use/03_playground.')
    return {name: f.replace('<iframe ', '<iframe loading="lazy" ', 1) for name, f in found.items()}


def with_widgets(text, widgets):
    "Text of a page, its pictures of widgets replaced by the widgets"
    return re.sub(SHOT, lambda m: f'```{{raw}} html\n{widgets[m[1]]}\n```', text)


def hero():
    "The commands are for a checkout; where that comes from can be said once the address is public"
    clone = f'<b>$ </b>git clone {html.escape(get_config().git_url)} ecgen && cd ecgen\n' if public() else ''
    return HERO.format(where='' if clone else ', in a checkout of the repository', clone=clone)


def landing(nb, widgets):
    "What the site's first page has and README.md has not: a sentence, the two commands, the main figures, widgets to be touched; one comes before all else"
    shown = next(i for i, c in enumerate(nb.cells) if any('ecgen-widget' in o.get('data', {}).get('text/html', '') for o in c.get('outputs', [])))
    widget = nb.cells.pop(shown)
    told = [c for c in nb.cells if c.cell_type == 'markdown' and re.search(PICTURE, c.source)]
    if len(told) != 1: sys.exit('index.ipynb: the sentence about the picture is another one than tools/pages.py (PICTURE) replaces on the site by one about the widget.')
    told[0].source = re.sub(PICTURE, '', told[0].source)
    for cell in (c for c in nb.cells if c.cell_type == 'markdown'): cell.source = with_widgets(cell.source, widgets)
    nb.cells[1:1] = [nbformat.v4.new_markdown_cell(hero()), nbformat.v4.new_markdown_cell(ALIVE), widget, nbformat.v4.new_markdown_cell(AFTER.format(figures=figures()))]


def signature(cell, near=()):
    """What show_doc printed as text of the page, so that its heading can be linked to; it begins with a rule and a link to the source.
    Of a symbol whose source stands beside it (`#| exports`) the heading is enough: the source begins with the same signature"""
    text = re.sub(r'^\s*---\s*', '', cell.outputs[0].data['text/markdown'] if cell.outputs else '')
    text = re.sub(r'(?s)```.*?```', lambda m: re.sub(r'\[(`\w+`)\]\([^)]*\)', r'\1', m[0]), text)      # code holds no links
    name = re.search(r'(?m)^#+ (\w+)\s*$', text)
    if name and any(re.search(rf'(?m)^(?:def|class) {name[1]}\b', c.source) for c in near): text = text.split('```')[0]
    return nbformat.v4.new_markdown_cell(re.sub(r'^\[source\]\((.*?)\)\{.*?\}', r'[source](\1)' if public() else '', text))


def toc(pages, names, caption=''):
    "A list of pages from which the theme makes a part of its sidebar"
    lines = '\n'.join('/' + names[p].removesuffix('.ipynb') for p in pages if p in names)
    return TOC.format(caption=f':caption: {caption}\n' if caption else '', pages=lines)


def of_part(part, pages):
    "Pages of a part, its opening first; those of a folder within it follow from that folder's first page"
    return sorted((p for p in pages if posixpath.dirname(p) == part), key=lambda p: (not p.endswith('/index.ipynb'), p)) + \
        sorted(p for p in pages if p.startswith(f'{part}/') and p.count('/') == 2 and posixpath.basename(p).startswith('00_'))


def sidebar(pages, names):
    "The route, what one looks up, and the parts"
    yield toc(ROUTE, names, 'The route: six pages')
    yield toc(LOOK_UP, names, 'Look up')
    for part, caption in PARTS.items(): yield toc(of_part(part, pages), names, caption)


def contents(page, pages, names, metas):
    "What the opening of a part shows on the site: each page with what it is about"
    def line(p): return f'- [{metas[p]["title"]}](/{names[p]}): {metas[p].get("description", "")}'
    return '\n'.join(['## Its pages\n', *(line(p) for p in of_part(posixpath.dirname(page), pages) if p != page)])


def docs():
    "Build the site: nbdev renders signatures and applies its directives, MyST-NB and Sphinx make the pages"
    cfg = get_config()
    src = proc_nbs(force=True, n_workers=0)
    paths = sorted(src.rglob('*.ipynb'))
    nbs = {p.relative_to(src).as_posix(): nbformat.read(p, as_version=4) for p in paths}
    metas = {p: presentable(nb, p if p == cfg.readme_nb else f'{cfg.nbs_path.name}/{p}') for p, nb in nbs.items()}
    names = {p: posixpath.join(posixpath.dirname(p), metas[p].get('output-file', p).replace('.html', '.ipynb')) for p in nbs}
    widgets = touchable(nbs)
    for page, nb in nbs.items():
        path = ROOT/(page if page == cfg.readme_nb else f'{cfg.nbs_path.name}/{page}')
        fold_tests(nb, path)
        show_imports(nb, path)
        shown = {i: c for i, c in enumerate(nb.cells) if c.cell_type == 'code' and not c.get('has_sd')}
        nb.cells = [signature(c, [shown[j] for j in range(i - 4, i + 5) if j in shown]) if c.pop('has_sd', None) else c
                    for i, c in enumerate(nb.cells)]
        for cell in (c for c in nb.cells if c.cell_type == 'markdown'):
            cell.source = local_links(cell.source, page, names).replace(f'{COLAB}/assets/colab-badge.svg', '/colab.svg')  # a page fetches nothing from elsewhere
        if page.endswith('/index.ipynb'): nb.cells.append(nbformat.v4.new_markdown_cell(contents(page, nbs, names, metas)))
        if posixpath.basename(page).startswith('00_') and page.count('/') == 2:      # a folder within a part
            rest = sorted(p for p in nbs if posixpath.dirname(p) == posixpath.dirname(page) and p != page)
            nb.cells.append(nbformat.v4.new_markdown_cell(toc(rest, names)))
        if page == cfg.readme_nb:
            landing(nb, widgets)
            nb.cells += [nbformat.v4.new_markdown_cell(t) for t in sidebar([p for p in names if p != page], names)]
        (src/page).unlink()
        nbformat.write(nb, src/names[page])
    shutil.copytree(ROOT/'README_files', src/'README_files', dirs_exist_ok=True, ignore=shutil.ignore_patterns('shot-*'))
    shutil.copy(ROOT/'tools'/'site'/'colab.svg', src)
    shutil.rmtree(ROOT/cfg.doc_path, ignore_errors=True)  # pages of notebooks that are gone
    subprocess.run([sys.executable, '-m', 'sphinx', '-q', '-b', 'html', '-c', ROOT/'tools', '-d', src/'.doctrees', src, ROOT/cfg.doc_path],
                   check=True)
    shutil.rmtree(ROOT/'jupyter_execute', ignore_errors=True)  # MyST-NB leaves it beside the site
    write_live(ROOT/cfg.doc_path)
    print(f'docs: open {cfg.doc_path.name}/index.html')


def quarto():
    """Build nbdev's own site with Quarto. Plain `nbdev_docs` stops at the first lesson cell that has an import, since it runs such cells without those
    before them; and it would write README.md anew in its own way"""
    if not shutil.which('quarto'): sys.exit('Quarto is missing: get it from quarto.org, or build the site without it by `python tools/nb.py docs`.')
    src, cfg, _ = nbdev.quarto._pre_docs(n_workers=0)
    subprocess.run(['quarto', 'render', '--no-cache'], cwd=src, check=True)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(src/cfg.doc_path.name, cfg.config_path)
    print(f'quarto: open {cfg.doc_path.name}/index.html')
