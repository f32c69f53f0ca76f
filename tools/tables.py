"""Write the tables of data/results/README.md from the files beside it; `--check` only says whether they agree.

Tables of experiments, of reference points and of the shipped model come from JSON files that commands of `ecgen` wrote; no figure
is typed by hand. `--check` also looks whether the outputs that experiments, tables and comparison were saved with are those of today's files,
and whether the card of the shipped model is.
"""
import argparse, json, sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT/'data/results/README.md'
TABLES = 'ecgen.evaluation.tables'
NOTEBOOKS = {'index': TABLES, '5_evaluation/02_experiments': TABLES, '5_evaluation/03_tables': TABLES,     # and whose functions write their tables
             '6_baselines/08_comparison': 'ecgen.baselines.comparison'}


def shipped_table():
    "Figures of the shipped model, one column for each decoder"
    from ecgen.evaluation.stats import markdown
    files = {d: json.loads((ROOT/f'data/results/default_valid_{d}.json').read_text()) for d in ('topk', 'greedy')}
    keys = [k for k, v in files['topk'].items() if isinstance(v, float)]
    return markdown(['shipped model, validation', *files], [[k.replace('_', ' '), *(f'{f[k]:.3f}' for f in files.values())] for k in keys])


def declared(results):
    "The declared contrasts of each budget that has results, and the tables of `night`"
    from ecgen.evaluation.experiments import CONTRASTS, NIGHT
    from ecgen.evaluation.tables import contrasts, tables
    arms = tuple(n for n, r in NIGHT.items() if not {'epochs', 'pretrain_epochs'} & r['changes'].keys())
    parts = []
    for budget in CONTRASTS:
        folder = results/'experiments'/budget
        if not any(folder.glob('*.json')): continue
        parts += [f'### Declared contrasts of the budget `{budget}`', contrasts(budget, folder)]
        if budget == 'night': parts += ['### Its tables', tables(folder, arms)]
    return ['## The declared contrasts', *parts] if parts else []


def laptop(results, sections):
    "The grid of the laptop's budget: folded away once the night, which is larger, has rows"
    if not any((results/'experiments'/'night').glob('*.json')): return sections
    return ['## The small grid', '<details><summary>One pass over 10,000 examples on a laptop</summary>', *sections, '</details>']


def page():
    "All tables, as text"
    from ecgen.baselines.comparison import comparison
    from ecgen.evaluation.experiments import ROWS, TABLE2
    from ecgen.evaluation.tables import all_runs, cause_effect_table, reference_table, tables
    results = PAGE.parent
    small = ['## Does knowing the cause help?', cause_effect_table(), '## All systems', comparison(),
             '## Experiments', tables(names=(*TABLE2[:4], *ROWS)), '## Every run', all_runs()]
    return '\n\n'.join(['# Measured figures', '<!-- Written by tools/tables.py from the files in this folder: run it, do not edit. -->',
        'Each file here was written by a command: `ecgen evaluate`, `ecgen experiment run`, `ecgen reference-points`, `ecgen train`, `ecgen detector`, `ecgen bench` or a script in tools/. '
        'Figures of EmpatheticDialogues are of its validation split, and nothing was chosen on its test split. Those of the detector are also of RECCON\'s test split, '
        'on which its design was not found blindly (see detector).',
        *declared(results), *laptop(results, small), '## Reference points', reference_table(), '## The shipped model', shipped_table()]) + '\n'


def saved(notebook):
    "Markdown outputs of a notebook's cells that begin with `#| tables`"
    cells = [c for c in json.loads((ROOT/f'nbs/{notebook}.ipynb').read_text(encoding='utf-8'))['cells'] if ''.join(c['source']).startswith('#| tables')]
    return [(''.join(c['source']), ''.join(c['outputs'][-1]['data']['text/markdown']) if c['outputs'] else '') for c in cells]


def stale():
    "What does not agree with the files"
    res = [] if PAGE.exists() and PAGE.read_text(encoding='utf-8') == page() else [f'{PAGE.relative_to(ROOT)}: run `python tools/tables.py`']
    for notebook, module in NOTEBOOKS.items():
        for source, text in saved(notebook):
            call = source.strip().splitlines()[-1].removeprefix('Markdown(').removesuffix(')')
            if eval(call, vars(import_module(module))).strip() != text.strip(): res.append(f'nbs/{notebook}.ipynb, {call}: run `python tools/run.py nbs/{notebook}.ipynb`')
    return res + card_stale()


def card_stale():
    "Is the shipped model's card what the files beside it say?"
    import ship
    card = ROOT/'data/model/README.md'
    if card.read_text(encoding='utf-8') == ship.card_text(): return []
    return [f'{card.relative_to(ROOT)}: run `python tools/ship.py`']


def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--check', action='store_true', help='write nothing; fail if a table is not what the files say')
    if not a.parse_args().check: PAGE.write_text(page(), encoding='utf-8')
    if bad := stale(): sys.exit('\n'.join(['Tables that do not agree with data/results:', *bad]))
    print('The tables agree with data/results.')


if __name__ == '__main__': main()
