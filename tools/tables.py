"""Write the tables of data/results/README.md from the files beside it; `--check` only says whether
they agree.

Tables of experiments, of reference points and of the shipped model come from JSON files that
commands of `ecgen` wrote; no figure is typed by hand. `--check` also looks whether the outputs that
experiments, tables and comparison were saved with are those of today's files, and whether the card
of the shipped model is.
"""
import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT/'data/results/README.md'
TABLES = 'ecgen.evaluation.tables'
# notebooks with tables, and the modules whose functions write them
NOTEBOOKS = {
    'index': TABLES,
    '5_evaluation/02_experiments': TABLES,
    '5_evaluation/03_tables': TABLES,
    '5_evaluation/05_manipulation': TABLES,
    '6_baselines/08_comparison': 'ecgen.baselines.comparison'}
INTRODUCTION = """\
Each file here was written by a command: `ecgen evaluate`, `ecgen experiment run`, \
`ecgen reference-points`, `ecgen train`, `ecgen detector`, `ecgen bench` or a script in tools/. \
Figures of EmpatheticDialogues are of its validation split, and nothing was chosen on its test \
split. Those of the detector are also of RECCON's test split, on which its design was not found \
blindly (see detector)."""
NOTE = '<!-- Written by tools/tables.py from the files in this folder: run it, do not edit. -->'


def shipped_figures(decoder):
    "What the shipped model reached with a decoder"
    return json.loads((ROOT/f'data/results/default_valid_{decoder}.json').read_text())


def shipped_table():
    "Figures of the shipped model, one column for each decoder"
    from ecgen.evaluation.stats import markdown
    files = {decoder: shipped_figures(decoder) for decoder in ('topk', 'greedy')}
    rows = []
    for key, value in files['topk'].items():
        if not isinstance(value, float): continue
        cells = [f'{figures[key]:.3f}' for figures in files.values()]
        rows.append([key.replace('_', ' '), *cells])
    return markdown(['shipped model, validation', *files], rows)


def declared(results):
    "The declared contrasts of each budget that has results, and the tables of `night`"
    from ecgen.evaluation.experiments import CONTRASTS
    from ecgen.evaluation.tables import contrasts, night_tables, reasoner_table, swapped_table
    parts = ['## The declared contrasts']
    for budget in CONTRASTS:
        folder = results/'experiments'/budget
        if not any(folder.glob('*.json')): continue
        parts += [f'### Declared contrasts of the budget `{budget}`', contrasts(budget, folder)]
    night = results/'experiments'/'night'
    parts += ['## The budget `night`', night_tables(night)]
    parts += ['### Its reasoners alone', reasoner_table(night)]
    title = '### Other gates in its models, against soft ones, thousandths of a nat per word'
    return [*parts, title, swapped_table(night)]


def small_grid(sections):
    "The grid of the laptop's budget, folded away"
    from ecgen.evaluation.tables import folded
    title = 'One pass over 10,000 examples on a laptop'
    return ['## The small grid', folded(title, '\n\n'.join(sections))]


def laptop():
    "The experiments of the laptop's budget"
    from ecgen.baselines.comparison import comparison
    from ecgen.evaluation.experiments import ROWS, TABLE2
    from ecgen.evaluation.tables import all_runs, cause_effect_table, tables
    return [
        '### Does knowing the cause help?', cause_effect_table(),
        '### All systems', comparison(),
        '### Experiments', tables(names=(*TABLE2[:4], *ROWS)),
        '### Every run', all_runs()]


def page():
    "All tables, as text"
    from ecgen.baselines.comparison import comparison
    from ecgen.evaluation.tables import reference_table, verdict
    results = PAGE.parent
    return '\n\n'.join([
        '# Measured figures', NOTE, INTRODUCTION,
        '## Does knowing the cause help?', verdict(results/'experiments'),
        *declared(results),
        '## All systems', comparison(results/'experiments'/'night'),
        *small_grid(laptop()),
        '## Reference points', reference_table(),
        '## The shipped model', shipped_table()]) + '\n'


def saved_table(cell):
    "A cell's code, and the table that it was saved with"
    outputs = cell['outputs']
    text = ''.join(outputs[-1]['data']['text/markdown']) if outputs else ''
    return ''.join(cell['source']), text


def saved(notebook):
    "Markdown outputs of a notebook's cells that begin with `#| tables`"
    text = (ROOT/f'nbs/{notebook}.ipynb').read_text(encoding='utf-8')
    cells = json.loads(text)['cells']
    return [saved_table(c) for c in cells if ''.join(c['source']).startswith('#| tables')]


def page_stale():
    "Is the page what the files beside it say?"
    if PAGE.exists() and PAGE.read_text(encoding='utf-8') == page(): return []
    return [f'{PAGE.relative_to(ROOT)}: run `python tools/tables.py`']


def notebook_stale(notebook, module):
    "Tables of a notebook that are not what today's files say"
    names, res = vars(import_module(module)), []
    for source, text in saved(notebook):
        call = source.strip().splitlines()[-1].removeprefix('Markdown(').removesuffix(')')
        if eval(call, names).strip() == text.strip(): continue
        res.append(f'nbs/{notebook}.ipynb, {call}: run `python tools/run.py nbs/{notebook}.ipynb`')
    return res


def stale():
    "What does not agree with the files"
    res = page_stale()
    for notebook, module in NOTEBOOKS.items(): res += notebook_stale(notebook, module)
    return res + card_stale()


def card_stale():
    "Is the shipped model's card what the files beside it say?"
    import ship
    card = ROOT/'data/model/README.md'
    if card.read_text(encoding='utf-8') == ship.card_text(): return []
    return [f'{card.relative_to(ROOT)}: run `python tools/ship.py`']


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--check', action='store_true',
                        help='write nothing; fail if a table is not what the files say')
    args = parser.parse_args()
    if not args.check: PAGE.write_text(page(), encoding='utf-8')
    if bad := stale(): sys.exit('\n'.join(['Tables that do not agree with data/results:', *bad]))
    print('The tables agree with data/results.')


if __name__ == '__main__': main()
