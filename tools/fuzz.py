"""Feed damaged files to every reader: each must be read or refused with `EcgenError`, and nothing
else may happen.

  python tools/fuzz.py                  20,000 inputs, each given to every reader
  python tools/fuzz.py --inputs 500     fewer of them

With atheris (`pip install atheris`) the inputs are guided by which lines of the readers they reach;
without it, or with --random, they are the sample's files with random changes. An input that fails
is kept in the folder named by --keep, with its traceback shown.
"""
import argparse
import json
import random
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
try: import atheris
except ImportError: atheris = None

TURN = {
    'turn': 1,
    'speaker': 'A',
    'utterance': 'The bus left without me .',
    'emotion': 'angry',
    'expanded emotion cause evidence': [1, 'b']}
ANSWER = TURN | {'turn': 2, 'speaker': 'B', 'emotion': 'neutral'}
RECCON = {'own_1': [[TURN, ANSWER]], 'own_2': [[TURN]]}
MESSAGES = [
    {'role': 'user', 'content': 'I won.'},
    {'role': 'assistant', 'content': 'Well done!'}]
CHATS = [
    {'id': 'a', 'emotion': 'sad', 'turns': ['We moved.', 'Where to?'], 'causes': [0],
     'situation': ''},
    {'emotion': 'proud', 'messages': MESSAGES}]
PIECES = [
    b'"', b',', b'\n', b'\r\n', b'\r', b'{', b'}', b'[', b']', b'[' * 3000,
    b'null', b'-1', b'1e999', b'NaN', b'true', b'9' * 5000, b'"\\ud800"', b'\\u0000',
    b'_comma_', b'\xef\xbb\xbf', b'\xff\xfe', b'\x1f\x8b', b'\0', b'\xe9', '\u2028'.encode(),
    b'PAR1', b'conv_id', b'"turns":', b'"utters":', b'"turn":', b'sad']
LONGEST = 30_000      # bytes of an input


def beginning(file):
    "The first lines of a file of the sample"
    lines = file.read_bytes().splitlines(keepends=True)
    return b''.join(lines[:9 if file.suffix == '.csv' else 2])


def short_files(sample):
    "A few dialogues in each layout"
    files = sorted(sample.rglob('*.csv')) + sorted(sample.rglob('*.json'))
    texts = [json.dumps(RECCON), json.dumps(RECCON, indent=1), '\n'.join(map(json.dumps, CHATS))]
    return [*map(beginning, files), *map(str.encode, texts)]


def as_a_spreadsheet_saves(row):
    "With quotes around what holds a comma"
    return re.sub('[^,]*_comma_[^,]*', r'"\g<0>"', row).replace('_comma_', ',')


def chat(i):
    "A line of a file of one's own chats"
    said = {'emotion': 'sad', 'turns': [f'Number {i}.', 'Oh.'], 'causes': [0]}
    return json.dumps(said) + '\n'


def labelled(i):
    "A line of a file of labels"
    words = [['number', str(i)], ['oh', '.']]
    line = {'conv_id': f'd{i}', 'utters': words, 'context': 'sad', 'emotion_cause': [0]}
    return json.dumps(line) + '\n'


def annotated(i): return TURN | {'utterance': f'Bus {i} left .'}


def long_files():
    "More than 100 lines in each layout"
    from ecgen.data.dialogues import HEADER
    row = 'd{0},{1},sad,We moved.,0,Number {0}_comma_ part {1}.,,\n'
    rows = [row.format(i, k) for i in range(60) for k in (1, 2)]
    again = [as_a_spreadsheet_saves(row) for row in rows]
    chats = [chat(i) for i in range(120)]
    labels = [labelled(i) for i in range(120)]
    many = {f'own_{i}': [[annotated(i)]] for i in range(110)}
    files = [[HEADER, '\n', *rows], [HEADER, '\n', *again], chats, labels]
    return [''.join(lines).encode() for lines in files] + [json.dumps(many, indent=0).encode()]


def seeds(sample):
    """Sound files of every layout; some short, some so long (more than 100 lines) that a bad line
    in them is skipped and not fatal"""
    return short_files(sample) + long_files()


def two_places(rng, raw): return sorted(rng.randint(0, len(raw)) for _ in range(2))


def change(rng, raw, sound):
    "One change of a file"
    start, end = two_places(rng, raw)
    other = rng.choice(sound)
    first, last = two_places(rng, other)
    before, after = raw[:start], raw[start:]

    def piece_put_in(): return before + rng.choice(PIECES) + after
    def piece_put_over(): return before + rng.choice(PIECES) + after[rng.randint(0, 9):]
    def part_left_out(): return before + raw[end:]
    def cut_short(): return raw[:end]
    def noise_put_in(): return before + rng.randbytes(rng.randint(1, 9)) + after
    def part_twice(): return raw[:end] + after
    def part_of_another(): return before + other[first:last] + raw[end:]

    way = rng.choice([piece_put_in, piece_put_over, part_left_out, cut_short, noise_put_in,
                      part_twice, part_of_another])
    return way()


def changed(rng, sound):
    "One of the sound files with up to eight changes"
    raw = rng.choice(sound)
    for _ in range(rng.choice([1, 1, 2, 8])): raw = change(rng, raw, sound)[:LONGEST]
    return raw


def all_readers(parquet):
    "What reads files; parquet only where it is asked for"
    from ecgen.data import readers
    from ecgen.data.dialogues import read_dialogues
    found = [
        read_dialogues,
        readers.read_recec,
        readers.read_chat,
        readers.read_reccon,
        readers.read_reccon_dialogues,
        readers.read_any]
    return [*found, readers.read_parquet] if parquet else found


def has_texts(dialogue): return dialogue.id and any(dialogue.utterances)


class Fuzz:
    "Gives an input to every reader, and counts"

    def __init__(self, folder, keep, parquet):
        from ecgen.data.dialogues import Report
        from ecgen.data.files import EcgenError
        self.error, self.report = EcgenError, Report
        self.path, self.keep = folder/'input', keep
        self.readers = all_readers(parquet)
        self.inputs = self.read = self.refused = 0
        self.slowest, self.start = 0., time.monotonic()

    def __call__(self, raw):
        self.inputs += 1
        self.path.write_bytes(raw)
        for reader in self.readers:
            start = time.monotonic()
            self.try_reader(reader, raw)
            self.slowest = max(self.slowest, time.monotonic() - start)

    def try_reader(self, reader, raw):
        "Read or refused, and nothing else"
        try:
            self.check(reader(self.path, report=self.report()))
            self.read += 1
        except self.error as e:
            assert str(self.path) in str(e), f'the message names no file: {e}'
            self.refused += 1
        except BaseException:
            self.keep_input(reader.__name__, raw)
            raise

    def check(self, got):
        "Are they dialogues, and can their texts be written?"
        assert got and all(map(has_texts, got)), 'neither dialogues nor an error'
        ''.join(text for d in got for text in d.utterances).encode()

    def keep_input(self, reader, raw):
        "An input that fails"
        self.keep.mkdir(parents=True, exist_ok=True)
        file = self.keep/f'{reader}-{self.inputs}'
        file.write_bytes(raw)
        print(f'\n{reader} fails; input kept as {file}')

    def tell(self, how):
        "What came of all inputs"
        took = time.monotonic() - self.start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f'{self.inputs} inputs ({how}) to {len(self.readers)} readers: '
              f'{self.read} times read, {self.refused} times refused, nothing else; '
              f'{took:.0f} s, slowest {self.slowest:.2f} s, at most {memory} MB', flush=True)


def fuzz_at_random(fuzz, sound, inputs, seed):
    "Random changes of sound files"
    rng = random.Random(seed)
    for _ in range(inputs): fuzz(changed(rng, sound))
    fuzz.tell('random changes')


def fuzz_guided(fuzz, sound, inputs, seed, folder):
    "Inputs by atheris, which ends the process"
    folder.mkdir()
    for i, raw in enumerate(sound): (folder/str(i)).write_bytes(raw)

    def one_input(raw):
        fuzz(raw)
        if fuzz.inputs == inputs: fuzz.tell('guided by atheris')

    runs = inputs + len(sound) + 2
    options = [f'-runs={runs}', f'-seed={seed}', f'-max_len={LONGEST}', '-timeout=20',
               '-verbosity=0']
    atheris.Setup([sys.argv[0], *options, str(folder)], one_input)
    atheris.Fuzz()


def arguments():
    "What the command line says"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--inputs', type=int, default=20_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--random', action='store_true',
                        help='random changes even where atheris is installed')
    parser.add_argument('--parquet', action='store_true',
                        help='the parquet reader too (needs pyarrow)')
    parser.add_argument('--keep', type=Path, default=Path('runs/fuzz'),
                        help='folder for inputs that fail')
    return parser.parse_args()


def main():
    args = arguments()
    guided = atheris and not args.random
    if guided:
        with atheris.instrument_imports(include=['ecgen', 'json']):
            import ecgen.data.readers      # noqa: F401
    from ecgen.data.files import shipped
    with tempfile.TemporaryDirectory() as tmp:
        fuzz = Fuzz(Path(tmp), args.keep, args.parquet)
        sound = seeds(shipped('sample'))
        if guided: fuzz_guided(fuzz, sound, args.inputs, args.seed, Path(tmp)/'seeds')
        else: fuzz_at_random(fuzz, sound, args.inputs, args.seed)


if __name__ == '__main__': main()
