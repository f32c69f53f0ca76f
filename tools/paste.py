"""Runs cells of a page as if a reader pasted them: `python tools/paste.py CELLS.json FAILED.json`, which shown.py calls.

Of cells whose output alone is shown, the names are lent to their like only.
"""
import builtins, json, linecache, sys, traceback, types


def run_cells(cells):
    "(id, error, traceback) of each cell that fails; the cells share one `__main__`"
    main, hidden, failed = types.ModuleType('__main__'), {}, []
    sys.modules['__main__'] = main
    builtins.display = lambda *a, **k: None       # as in Jupyter, but nobody looks
    for name, kind, source in cells:
        file = f'<cell {name}>'
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        space = main.__dict__ if kind == 'shown' else {**hidden, **main.__dict__}
        try: exec(compile(source, file, 'exec'), space)
        except BaseException as e:
            trace = traceback.format_exception(type(e), e, e.__traceback__.tb_next)
            failed.append((name, f'{type(e).__name__}: {e}'.strip(), ''.join(trace)))
        if kind == 'hidden': hidden = space
    return failed


if __name__ == '__main__':
    source, to = sys.argv[1:]
    sys.path[0], sys.argv[1:] = '', []                    # not this folder, but the one where the cells run
    with open(source, encoding='utf-8') as f: cells = json.load(f)
    failed = run_cells(cells)
    with open(to, 'w', encoding='utf-8') as f: json.dump(failed, f)
