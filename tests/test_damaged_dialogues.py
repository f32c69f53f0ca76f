"""Every reader meets every damage that a file of its layout can suffer"""
import codecs
import gzip
import io
import json
import os
import re
import tempfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ecgen.data.dialogues import EMOTIONS, Dialogue, Report, read_dialogues
from ecgen.data.files import EcgenError
from ecgen.data.readers import read_any, read_chat, read_reccon, read_reccon_dialogues, read_recec
from ecgen.tests.test_data_readers import CHATS, RECCON, turn

pytestmark = pytest.mark.filterwarnings('ignore::ecgen.data.files.EcgenWarning')


def sound(i):
    "Dialogue number `i`"
    turns = f'Number {i}, at the café.', f'And then, {i}?', f'It was {i} times.', 'Oh.'
    return Dialogue(f'd:{i}', EMOTIONS[i % 32], f'Situation {i}', turns, (0, 2))

def as_official(d):
    texts = [u.replace(',', '_comma_') for u in d.utterances]
    return ''.join(f'{d.id},{i},{d.emotion},{d.situation},{i % 2},{text},,\n'
                   for i, text in enumerate(texts, 1))

def as_csv(d):
    quoted = re.sub('[^,\n]*_comma_[^,\n]*', r'"\g<0>"', as_official(d))
    return quoted.replace('_comma_', ',')

def as_recec(d):
    row = dict(conv_id=d.id, utters=[u.split() for u in d.utterances], context=d.emotion,
               emotion_cause=[0, 2])
    return json.dumps(row, ensure_ascii=False) + '\n'

def as_chat(d):
    row = dict(id=d.id, turns=d.utterances, emotion=d.emotion, causes=[0, 2])
    return json.dumps(row, ensure_ascii=False) + '\n'

def as_reccon(d):
    def marks(i): return ['happy', 1, i] if i % 2 else []
    return [[turn(i, 'BA'[i % 2], u, *marks(i)) for i, u in enumerate(d.utterances, 1)]]


HEAD = 'conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n'
DIALOGUES = [sound(i) for i in range(120)]
RECCON_LIKE = json.dumps({d.id: as_reccon(d) for d in DIALOGUES}, ensure_ascii=False, indent=0)
SOUND = {'official': (read_dialogues, HEAD + ''.join(map(as_official, DIALOGUES))),
         'saved again': (read_dialogues, HEAD + ''.join(map(as_csv, DIALOGUES))),
         'labelled': (read_recec, ''.join(map(as_recec, DIALOGUES))),
         'chat': (read_chat, ''.join(map(as_chat, DIALOGUES))),
         'reccon': (read_reccon, RECCON_LIKE + '\n')}


def packed(raw):
    with zipfile.ZipFile(f := io.BytesIO(), 'w') as z: z.writestr('a.csv', raw)
    return f.getvalue()

def line_changed(raw, every, new=b'???', first=9):
    "Line number `first`, and every so-manieth from there, becomes another"
    lines = raw.split(b'\n')
    for i in range(first, len(lines) - 2, every): lines[i] = new
    return b'\n'.join(lines)

HARMLESS = {
    'byte order mark': (lambda raw: codecs.BOM_UTF8 + raw, '1 x byte order mark'),
    'line ends of Windows': (lambda raw: raw.replace(b'\n', b'\r\n'), 'x line end of Windows'),
    'line ends doubled': (lambda raw: raw.replace(b'\n', b'\r\r\n'), 'x line end of Windows'),
    'line ends of an old Mac': (lambda raw: raw.replace(b'\n', b'\r'),
                                '1 x line ends of an old Mac'),
    'blank lines': (lambda raw: raw.replace(b'\n', b'\n\n'), 'x blank line'),
    'lines of blanks': (lambda raw: raw.replace(b'\n', b'\n  \t\n'), 'x blank line'),
    'no last line end': (lambda raw: raw[:-1], '1 x missing line end'),
    'blanks at line ends': (lambda raw: raw.replace(b'\n', b' \n'), '120 dialogues')}


CUT, NO_JSON = 'for the file ends in the middle of it', 'refused: is not JSON'
HARMFUL = {   # what is done, what comes of it, what comes of it for RECCON if that differs
    'cut in the last line': (lambda raw: raw[:-12], CUT, NO_JSON),
    'cut in half': (lambda raw: raw[:len(raw) // 2 + 7], CUT, NO_JSON),
    'one bad line': (lambda raw: line_changed(raw, 10**9), 'skipped', NO_JSON),
    'one line in Latin-1': (lambda raw: line_changed(raw, 10**9, b'caf\xe9'),
                            'line 10 is not UTF-8', 'refused: line 10 is not UTF-8'),
    'many bad lines': (lambda raw: line_changed(raw, 20), 'refused: bad of', NO_JSON),
    'all in Latin-1': (lambda raw: raw.decode().encode('latin-1'), 'refused: is not UTF-8'),
    'UTF-16': (lambda raw: raw.decode().encode('utf-16'), 'refused: line 1 begins like UTF-16'),
    'UTF-16, no mark': (lambda raw: raw.decode().encode('utf-16-be'),
                        'refused: line 1 has a zero byte'),
    '0 bytes': (lambda raw: b'', 'refused: line 1 is missing'),
    'only a mark': (lambda raw: codecs.BOM_UTF8, 'refused: line 1'),
    'only blank lines': (lambda raw: b'\n\n \n', 'refused: line'),
    'zeros at the end': (lambda raw: raw + bytes(9), 'refused: has a zero byte'),
    'binary': (lambda raw: bytes(range(1, 256)) * 40, 'refused: line'),
    'gzip archive': (gzip.compress, 'refused: line 1 begins like a gzip archive'),
    'zip archive': (packed, 'refused: line 1 begins like a zip archive'),
    'web page': (lambda raw: b'\n<!DOCTYPE html><title>404</title>',
                 'refused: line 1 begins like a web page'),
    'LFS pointer': (lambda raw: b'version https://git-lfs.github.com/spec/v1\noid',
                    'refused: line 1 begins like a Git LFS pointer'),
    'a poem': (lambda raw: b'O wild west wind\nthou breath\n', 'refused: line 1'),
    'twice in one file': (lambda raw: raw * 2, 'x repeated', NO_JSON)}


def swap(old, new, n=1): return lambda raw: raw.replace(old.encode(), new.encode(), n)

def add(line): return lambda raw: raw + line.encode() + b'\n'

def shuffled(raw, step=7):
    head, *lines = raw.splitlines(keepends=True)
    return head + b''.join(b''.join(lines[start::step]) for start in range(step))

def backwards(raw):
    head, *lines = raw.splitlines(keepends=True)
    return head + b''.join(lines[::-1])

def from_zero(raw):
    return re.sub(rb'(d:\d+),(\d)', lambda m: b'%s,%d' % (m[1], int(m[2]) - 1), raw)


third = as_official(sound(3))
OFFICIAL = {
    'ninth field': (swap(',,\nd:', ',,,a|b\nd:', -1), '479 x ninth field'),
    'seven fields': (swap('Oh.,,', 'Oh.,'), 'line 5 has 7 fields'),
    'ten fields': (swap('Oh.,,', 'Oh.,,,,'), 'line 5 has 10 fields'),
    'opening quote': (swap('Oh.', '"Oh.', -1), '480 utterances'),
    'lines shuffled': (shuffled, 'x line apart from its conversation'),
    'lines reversed': (backwards, 'x line out of order'),
    'a line twice': (swap(third, third * 2), '4 x repeated line'),
    'second text': (swap('d:1,2', 'd:1,1'), 'a second time, with other words'),
    'utterance missing': (swap('d:5,2', 'd:555,2'), 'is utterance 2 of'),
    'index 0': (swap('d:4,1', 'd:4,0'), "index '0'"),
    'index huge': (swap('d:4,1', 'd:4,' + '9' * 5000), 'utterance index'),
    'all from 0': (from_zero, 'refused: utterance index'),
    'every second line': (lambda raw: b''.join(raw.splitlines(True)[::2]),
                          'refused: is utterance 2')}


OFFICIAL |= {
    'no id': (swap('d:9,2', ',2'), 'has no conversation id'),
    'unknown emotion': (swap(',afraid', ',scared'), "'scared'"),
    'second emotion': (swap(',2,afraid', ',2,sad'), '1 x conversation with a second emotion'),
    'empty utterance': (swap('And then_comma_ 3?', ''), '1 x empty utterance'),
    'silent dialogue': (add('e,1,sad,s,0,,,'), 'without a word'),
    'copied dialogue': (lambda raw: raw + third.replace('d:3', 'e:3').encode(),
                        '1 x repeated dialogue'),
    'no header': (lambda raw: raw.partition(b'\n')[2], 'refused: line 1 is not the header'),
    'other header': (swap('context', 'emotion'), 'refused: line 1 is not the header'),
    'semicolons': (swap(',', ';', -1), '480 utterances'),
    'tabs': (swap(',', '\t', -1), '480 utterances'),
    'bars': (swap(',', '|', -1), 'refused: line 1'),
    'header quoted': (swap('conv_id', '"conv_id"'), '480 utterances'),
    'a comma put back': (swap('And then_comma_ 3?', 'And then, 3?'), 'has the self-evaluation'),
    'commas put back': (swap('_comma_', ',', -1), 'refused: has the self-evaluation'),
    'header only': (lambda raw: raw.partition(b'\n')[0], 'refused: no dialogue'),
    'index column': (lambda raw: b',' + raw.replace(b'\n', b'\n0,'), '480 utterances')}


NESTED = '[' * 100_000

def as_array(raw): return b'[' + raw.replace(b'\n', b',\n') + b'{}]'

def copied(raw): return raw + raw[:raw.index(b'\n') + 1].replace(b'd:0', b'e')

JSON_LINES = {
    'array': (as_array, 'refused: line 1 begins a JSON array'),
    'list on a line': (add('[]'), 'but not an object'),
    'nested': (lambda raw: NESTED.encode() + b'\n' + raw, 'usable size or depth'),
    'huge number': (lambda raw: b'9' * 5000 + b'\n' + raw, 'usable size or depth'),
    'half an emoji': (swap('Oh.', '\\ud83d'), 'half a character'),
    'id twice': (swap('"d:3"', '"d:4"'), "gives the id 'd:4'"),
    'id a list': (swap('"d:3"', '["d:3"]'), 'of type list where a text belongs'),
    'single quotes': (swap('"', "'", -1), 'refused: line 1 is not JSON'),
    'unknown emotion': (swap('"afraid"', '"scared"'), "'scared'"),
    'no emotion': (swap('"afraid"', 'null'), 'has no emotion'),
    'emotion a number': (swap('"afraid"', '3'), 'of type int'),
    'cause beyond': (swap('[0, 2]', '[0, 99]'), '1 x cause index beyond'),
    'cause negative': (swap('[0, 2]', '[-1]'), '1 x cause index beyond'),
    'cause a text': (swap('[0, 2]', '"0"'), 'has no "causes"'),
    'cause true': (swap('[0, 2]', '[true]'), 'has no "causes"'),
    'empty object': (add('{}'), 'skipped 1: line 121'),
    'copied dialogue': (copied, '1 x repeated dialogue')}


LABELLED = JSON_LINES | {
    'wrong field': (swap('"utters"', '"text"', -1), 'refused: line 1 has no "utters"'),
    'no words': (swap('["Oh."]', '[]'), '1 x empty utterance'),
    'a number for a word': (swap('"Oh."', '5'), 'of type int')}

CHAT = JSON_LINES | {
    'wrong field': (swap('"turns"', '"text"', -1), 'refused: line 1 has no "turns"'),
    'empty turn': (swap('"Oh."', '" "'), '1 x empty utterance'),
    'no turns': (add('{"emotion": "sad", "turns": []}'), 'has no "turns"'),
    'unknown role': (add('{"emotion": "sad", "messages": [{"role": "cat", "content": "Purr."}]}'),
                     'unknown role')}


happy = '"happy",\n"expanded emotion cause evidence": [\n'
REC = {
    'list': (lambda raw: b'[]', 'refused: line 1 begins JSON, but not'),
    'nested': (lambda raw: NESTED.encode(), 'refused: line 1'),
    'empty object': (lambda raw: b'{}', 'refused: line 1'),
    'turn number': (swap('"turn": 2', '"turn": 7'), 'turns are not numbered'),
    'no turns': (lambda raw: b'{"a": [], ' + raw[1:], '120 dialogues'),
    'turns a text': (lambda raw: b'{"a": ["x"], ' + raw[1:], 'skipped 1: line 1 has no "turns"'),
    'evidence a text': (swap(happy + '1', happy + '"c"'), 'skipped 1: line 2 has evidence'),
    'evidence 0': (swap('evidence": [\n1', 'evidence": [\n0'), 'before the first'),
    'evidence later': (swap('evidence": [\n1', 'evidence": [\n4'), '1 x cause after its target'),
    'no emotion': (swap('"neutral"', 'null'), 'nothing where a text'),
    'many': (swap('"turn": 2', '"turn": 7', 9), 'refused: 9 bad of 120')}


CASES = [(layout, name, *case[:2]) for layout in SOUND for name, case in HARMLESS.items()]
for layout in SOUND:
    for name, case in HARMFUL.items():
        CASES.append((layout, name, case[0], case[-1] if layout == 'reccon' else case[1]))
for layout, cases in dict(official=OFFICIAL, labelled=LABELLED, chat=CHAT, reccon=REC).items():
    CASES += [(layout, name, *case) for name, case in cases.items()]

def outcome(read, raw):
    "How a reader takes a file; whatever it does, the folder is as it was before"
    with tempfile.TemporaryDirectory() as tmp:
        (path := Path(tmp)/'demo').write_bytes(raw)
        before = path.stat().st_mtime_ns
        try: res = read(path, r := Report()) and str(r)
        except EcgenError as e: res = f'refused: {e}'.replace(f'{tmp}/', '')
        assert path.read_bytes() == raw and path.stat().st_mtime_ns == before
        assert os.listdir(tmp) == ['demo']
    return res


def short_id(x): return x if isinstance(x, str) and len(x) < 30 else ''

@pytest.mark.parametrize('layout, name, damage, want', CASES, ids=short_id)
def test_damage_is_repaired_and_counted_or_refused_with_its_line(layout, name, damage, want):
    read, text = SOUND[layout]
    sound_file = text.encode()
    changed = damage(sound_file)
    assert changed != sound_file and ': 120 dialogues' in outcome(read, sound_file)
    res = outcome(read, changed)
    assert want.removeprefix('refused: ') in res, res
    assert res.startswith('refused: ') == want.startswith('refused: '), res
    if want.startswith('refused'): assert re.match(r'refused: demo: line \d+ ', res), res


def test_no_reader_swallows_a_gigabyte_of_zeros():
    with tempfile.TemporaryDirectory() as tmp:
        with open(path := Path(tmp)/'demo', 'wb') as f: f.truncate(2**30)
        for read in (read_dialogues, read_recec, read_chat, read_reccon, read_any):
            tracemalloc.start()
            start = time.process_time()
            with pytest.raises(EcgenError, match='demo: line 1 has a zero byte'): read(path)
            assert time.process_time() - start < 1
            assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
            tracemalloc.stop()


READERS = (read_dialogues, read_recec, read_chat, read_reccon, read_reccon_dialogues, read_any)
PIECES = st.binary(max_size=6) | st.sampled_from(
    [b'"', b',', b'\n', b'\r\n', b'{', b'}', b'[', b']', b'null', b'-1', b'1e999', b'NaN',
     b'"\\ud800"', b'_comma_', b'sad', b'true', b'99999'])

def only_ecgen_errors(raw):
    with tempfile.TemporaryDirectory() as tmp:
        (path := Path(tmp)/'demo').write_bytes(raw)
        for read in READERS:
            try: res = read(path, report=Report())
            except EcgenError as e: assert 'demo' in str(e)
            else: assert res and all(d.id and any(d.utterances) for d in res)


def test_arbitrary_bytes_raise_nothing_else():
    given(st.binary(max_size=200))(only_ecgen_errors)()


def test_changed_files_raise_nothing_else():
    small = [text.encode()[:2000] for _, text in SOUND.values()] + [RECCON.encode(), CHATS.encode()]
    change = st.tuples(st.integers(0, 1999), st.integers(0, 9), PIECES)

    @given(st.sampled_from(small), st.lists(change, max_size=5))
    def check(raw, changes):
        for at, gone, piece in changes: raw = raw[:at] + piece + raw[at + gone:]
        only_ecgen_errors(raw)
    check()
