"""How far it is from a command to the heart of the matter:
`python tools/frames.py [respond|train]`.

Two commands run with a recorded stack, in a folder of their own:

  respond   `ecgen respond`, until Eq. 5 is computed for the first time
            (`GatedAttention.forward`, which fuses it with the sum of the values where no gradient
            flows, or `gated_weights`, which has it in the open)
  train     `ecgen train --preset tiny` on the sample, until the optimiser moves the weights for
            the first time

For each, the functions of ours that are open at that moment (frames), and how many different
functions of ours were called until then. Functions without a name of their own (lambdas,
comprehensions, bodies of classes and modules) are not counted.
"""
import argparse
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OURS = str(ROOT/'ecgen') + '/'
TEXT = (
    'My sister moved to Canada last month.',
    'Oh no, do you talk a lot?',
    'We do, but the house feels so empty now.')
COMMANDS = dict(
    respond=['respond', *TEXT],
    train=['train', '--preset', 'tiny', '--data', str(ROOT/'data'/'sample'), '--out', 'run'])


class Reached(BaseException):
    "The place was reached; nothing of ours catches it"


def is_ours(code):
    "Is it a function of ours with a name of its own?"
    if not code.co_filename.startswith(OURS): return False
    return code.co_name[0] != '<' and code.co_flags & 0x2     # bodies of classes: no fast locals


def name(code):
    "Module and name of a function of ours"
    module = Path(code.co_filename).relative_to(ROOT/'ecgen').with_suffix('')
    return f'{module}.{getattr(code, "co_qualname", code.co_name)}'     # Python 3.10: no qualname


def is_target(frame):
    "Is it Eq. 5, or a step of an optimiser?"
    code = frame.f_code
    if is_ours(code) and code.co_filename.endswith('gated_attention.py'):
        return code.co_name in ('gated_weights', 'forward')
    return code.co_name == 'step' and code.co_filename.endswith('torch/optim/adam.py')


def open_functions(frame):
    "Names of our functions that are open where a frame is, outermost first"
    found = []
    while frame:
        if is_ours(frame.f_code): found.insert(0, name(frame.f_code))
        frame = frame.f_back
    return found


def run_command(args, watch):
    "Run `ecgen` with a profiler until it ends or the target is reached; what it printed"
    # before the profiler is set, so that what happens at import is not counted
    import ecgen.training.runs  # noqa: F401
    import ecgen.use.chat  # noqa: F401
    from ecgen.cli.app import main
    sys.argv = ['ecgen', *args]
    out = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        sys.setprofile(watch)
        try: main()
        except (Reached, SystemExit): pass
        finally: sys.setprofile(None)
    out.flush()
    return out.buffer.getvalue().decode()


def record(args):
    "The open functions where the target is reached, and all that were called before"
    called, found = {}, []

    def watch(frame, event, arg):
        if event != 'call' or found: return
        if is_ours(frame.f_code): called.setdefault(frame.f_code)
        if not is_target(frame): return
        found.extend(open_functions(frame))
        raise Reached
    printed = run_command(args, watch)
    if not found: sys.exit(f'The target was not reached:\n{printed}')
    return found, [name(code) for code in called]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', nargs='*', help='respond, train, or both (the default)')
    parser.add_argument('--list', action='store_true',
                        help='list the functions that were called before, too')
    args = parser.parse_args()
    for what in args.what or COMMANDS:
        with tempfile.TemporaryDirectory() as tmp:
            os.chdir(tmp)
            frames, called = record(COMMANDS[what])
            os.chdir(ROOT)
        print(f'ecgen {what}: {len(frames)} frames, {len(called)} functions called')
        print('  ' + '\n  '.join(frames))
        if args.list: print('before:\n  ' + '\n  '.join(called))


if __name__ == '__main__': main()
