"""Runs cells of a page as if a reader pasted them into a fresh Python; shown.py calls it.

    python tools/paste.py CELLS.json FAILED.json     # one page
    python tools/paste.py --serve                    # pages by name, a line of JSON each on
                                                     # standard input

A server imports the large packages that most pages import, none of ours, and runs each page in a
fork of itself: that saves some four seconds a page. So a page that uses one of LARGE without
importing it fails, but one that relies on something else which these import in their turn may
pass. Of cells whose output alone is shown, the names are seen by other such cells only.
"""
import builtins
import json
import linecache
import os
import signal
import sys
import traceback
import types

LARGE = 'numpy', 'torch', 'matplotlib.pyplot'


def failure(source, file, space):
    "Run a cell; (error, traceback) if it fails"
    try: exec(compile(source, file, 'exec'), space)
    except (Exception, SystemExit) as e:
        trace = traceback.format_exception(type(e), e, e.__traceback__.tb_next)
        return f'{type(e).__name__}: {e}'.strip(), ''.join(trace)
    return None


def run_cells(cells):
    "(id, error, traceback) of each cell that fails; the cells share one `__main__`"
    main, hidden, failed = types.ModuleType('__main__'), {}, []
    sys.modules['__main__'] = main
    builtins.display = lambda *args, **options: None       # as in Jupyter, but nobody looks
    for name, kind, source in cells:
        file = f'<cell {name}>'
        lines = source.splitlines(keepends=True)
        linecache.cache[file] = len(source), None, lines, file
        space = main.__dict__ if kind == 'shown' else {**hidden, **main.__dict__}
        why = failure(source, file, space)
        if why: failed.append((name, *why))
        if kind == 'hidden': hidden = space
    return failed


def run_page(source, to):
    "The cells of one file; what failed goes to another"
    sys.path[0] = ''       # not this folder, but the one where the cells run
    sys.argv[1:] = []
    with open(source, encoding='utf-8') as f: cells = json.load(f)
    failed = run_cells(cells)
    with open(to, 'w', encoding='utf-8') as f: json.dump(failed, f)


def redirect(log):
    "No standard input for this process; its outputs go to a file"
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for old, new in ((nothing, 0), (out, 1), (out, 2)): os.dup2(old, new)


def fork_page(source, to, folder, log, env, limit):
    """`run_page` in a fork; its exit status.

    It has a folder, an environment and at most so many seconds.
    """
    if child := os.fork(): return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        redirect(log)
        os.environ.update(env)
        os.chdir(folder)
        signal.alarm(limit)
        sys.modules['numpy'].random.seed()     # else all pages would draw the same
        run_page(source, to)
        status = 0
    except BaseException: traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve():
    "Each line of standard input is a page; its exit status is a line of standard output"
    for name in LARGE:
        try: __import__(name)
        except ImportError: pass       # a page that needs it says so
    for line in sys.stdin: print(fork_page(**json.loads(line)), flush=True)


if __name__ == '__main__':
    if sys.argv[1:] == ['--serve']: serve()
    else: run_page(*sys.argv[1:])
