"""What this distribution is called, and what lies in its folder; written by tools/nb.py from settings.ini"""
from pathlib import Path

PIP_NAME = 'ecgen-dialogue'
OURS = frozenset("""
__init__.py __main__.py _modidx.py _notebook.py _project.py baselines causes cli data evaluation
model tests training use
""".split())


def refuse_others(folder=Path(__file__).parent):
    "`ImportError` if modules of another project lie among ours: on the package index there is one with our import name"
    if (folder.parent/'settings.ini').exists(): return     # a checkout may hold a module that has yet to be listed
    found = sorted(p.name for p in folder.iterdir() if p.name not in OURS and (p.suffix == '.py' or (p/'__init__.py').exists()))
    if not found: return
    raise ImportError(f'{folder} also holds modules of another project ({", ".join(found[:3])}), such as the package "ecgen" for ECG signals: '
                      f'pip uninstall ecgen {PIP_NAME}, remove what is left of that folder, and install {PIP_NAME} again.')
