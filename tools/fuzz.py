"""Feed damaged files to every reader: each must be read or refused with `EcgenError`, and nothing else may happen.

  python tools/fuzz.py                  20,000 inputs, each given to every reader
  python tools/fuzz.py --inputs 500     fewer of them

With atheris (`pip install atheris`) the inputs are guided by which lines of the readers they reach; without it, or with --random,
they are the sample's files with random changes. An input that fails is kept in the folder named by --keep, with its traceback shown.
"""
import argparse, json, random, re, resource, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
try: import atheris
except ImportError: atheris = None

TURN = {'turn': 1, 'speaker': 'A', 'utterance': 'The bus left without me .', 'emotion': 'angry', 'expanded emotion cause evidence': [1, 'b']}
RECCON = {'own_1': [[TURN, TURN | {'turn': 2, 'speaker': 'B', 'emotion': 'neutral'}]], 'own_2': [[TURN]]}
CHATS = [{'id': 'a', 'emotion': 'sad', 'turns': ['We moved.', 'Where to?'], 'causes': [0], 'situation': ''},
         {'emotion': 'proud', 'messages': [{'role': 'user', 'content': 'I won.'}, {'role': 'assistant', 'content': 'Well done!'}]}]
PIECES = [b'"', b',', b'\n', b'\r\n', b'\r', b'{', b'}', b'[', b']', b'[' * 3000, b'null', b'-1', b'1e999', b'NaN', b'true', b'9' * 5000, b'"\\ud800"', b'\\u0000',
          b'_comma_', b'\xef\xbb\xbf', b'\xff\xfe', b'\x1f\x8b', b'\0', b'\xe9', '\u2028'.encode(), b'PAR1', b'conv_id', b'"turns":', b'"utters":', b'"turn":', b'sad']


def seeds(sample):
    "Sound files of every layout; some short, some so long (more than 100 lines) that a bad line in them is skipped and not fatal"
    from ecgen.data.dialogues import HEADER
    files = sorted(sample.rglob('*.csv')) + sorted(sample.rglob('*.json'))
    res = [b''.join(f.read_bytes().splitlines(keepends=True)[:9 if f.suffix == '.csv' else 2]) for f in files]
    res += [json.dumps(RECCON).encode(), json.dumps(RECCON, indent=1).encode(), '\n'.join(map(json.dumps, CHATS)).encode()]
    rows = [f'd{i},{k},sad,We moved.,0,Number {i}_comma_ part {k}.,,\n' for i in range(60) for k in (1, 2)]
    chats = [json.dumps({'emotion': 'sad', 'turns': [f'Number {i}.', 'Oh.'], 'causes': [0]}) + '\n' for i in range(120)]
    labels = [json.dumps({'conv_id': f'd{i}', 'utters': [['number', str(i)], ['oh', '.']], 'context': 'sad', 'emotion_cause': [0]}) + '\n' for i in range(120)]
    many = {f'own_{i}': [[TURN | {'utterance': f'Bus {i} left .'}]] for i in range(110)}
    again = [re.sub('[^,]*_comma_[^,]*', r'"\g<0>"', row).replace('_comma_', ',') for row in rows]     # as a spreadsheet saves them
    return res + [''.join(x).encode() for x in ([HEADER, '\n', *rows], [HEADER, '\n', *again], chats, labels)] + [json.dumps(many, indent=0).encode()]


def changed(rng, sound):
    "One of the sound files with up to eight changes"
    raw = rng.choice(sound)
    for _ in range(rng.choice([1, 1, 2, 8])):
        a, b = sorted(rng.randint(0, len(raw)) for _ in range(2))
        other = rng.choice(sound)
        c, d = sorted(rng.randint(0, len(other)) for _ in range(2))
        raw = rng.choice([lambda: raw[:a] + rng.choice(PIECES) + raw[a:], lambda: raw[:a] + rng.choice(PIECES) + raw[a + rng.randint(0, 9):], lambda: raw[:a] + raw[b:], lambda: raw[:b],
                          lambda: raw[:a] + rng.randbytes(rng.randint(1, 9)) + raw[a:], lambda: raw[:b] + raw[a:], lambda: raw[:a] + other[c:d] + raw[b:]])()[:30_000]
    return raw


class Fuzz:
    "Gives an input to every reader, and counts"

    def __init__(self, folder, keep, parquet):
        from ecgen.data import readers
        from ecgen.data.files import EcgenError
        from ecgen.data.dialogues import Report, read_dialogues
        self.error, self.report, self.path, self.keep = EcgenError, Report, folder/'input', keep
        self.readers = [read_dialogues, readers.read_recec, readers.read_chat, readers.read_reccon, readers.read_reccon_dialogues, readers.read_any]
        if parquet: self.readers.append(readers.read_parquet)
        self.inputs = self.read = self.refused = 0
        self.slowest, self.start = 0., time.monotonic()

    def __call__(self, raw):
        self.inputs += 1
        self.path.write_bytes(raw)
        for reader in self.readers:
            start = time.monotonic()
            try:
                got = reader(self.path, report=self.report())
                assert got and all(d.id and any(d.utterances) for d in got), 'neither dialogues nor an error'
                ''.join(u for d in got for u in d.utterances).encode()
                self.read += 1
            except self.error as e:
                assert str(self.path) in str(e), f'the message names no file: {e}'
                self.refused += 1
            except BaseException:
                self.keep.mkdir(parents=True, exist_ok=True)
                (self.keep/f'{reader.__name__}-{self.inputs}').write_bytes(raw)
                print(f'\n{reader.__name__} fails; input kept as {self.keep}/{reader.__name__}-{self.inputs}')
                raise
            self.slowest = max(self.slowest, time.monotonic() - start)

    def tell(self, how):
        print(f'{self.inputs} inputs ({how}) to {len(self.readers)} readers: {self.read} times read, {self.refused} times refused, nothing else; '
              f'{time.monotonic() - self.start:.0f} s, slowest {self.slowest:.2f} s, at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--inputs', type=int, default=20_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--random', action='store_true', help='random changes even where atheris is installed')
    parser.add_argument('--parquet', action='store_true', help='the parquet reader too (needs pyarrow)')
    parser.add_argument('--keep', type=Path, default=Path('runs/fuzz'), help='folder for inputs that fail')
    args = parser.parse_args()
    guided = atheris and not args.random
    if guided:
        with atheris.instrument_imports(include=['ecgen', 'json']): import ecgen.data.readers
    from ecgen.data.files import shipped
    with tempfile.TemporaryDirectory() as tmp:
        fuzz, sound = Fuzz(Path(tmp), args.keep, args.parquet), seeds(shipped('sample'))
        if not guided:
            rng = random.Random(args.seed)
            for _ in range(args.inputs): fuzz(changed(rng, sound))
            sys.exit(fuzz.tell('random changes'))
        (Path(tmp)/'seeds').mkdir()
        for i, raw in enumerate(sound): (Path(tmp)/'seeds'/str(i)).write_bytes(raw)

        def one_input(raw):
            fuzz(raw)
            if fuzz.inputs == args.inputs: fuzz.tell('guided by atheris')

        atheris.Setup([sys.argv[0], f'-runs={args.inputs + len(sound) + 2}', f'-seed={args.seed}', '-max_len=30000', '-timeout=20', '-verbosity=0',
                       f'{tmp}/seeds'], one_input)
        atheris.Fuzz()
