"""What the first cell of each notebook imports; written by tools/nb.py.

In a checkout nothing happens. Elsewhere, as on Colab, cells marked `eval: false` or `slow` are left out until their mark is
taken away: they want data or time that such a place has not.
"""
import os, sys
from pathlib import Path

MARKS = '#| eval: false', '#| slow'


def leave_out(lines):
    "The lines of a cell, or one that says that it is left out"
    return ["print('left out')"] if any(x.startswith(MARKS) for x in lines) else lines


def main():
    checkout = (Path(__file__).resolve().parent.parent/'settings.ini').exists()
    if checkout and 'ECGEN_INSTALL' not in os.environ and 'google.colab' not in sys.modules: return
    from IPython import get_ipython
    if (shell := get_ipython()): shell.input_transformers_cleanup.append(leave_out)


main()
