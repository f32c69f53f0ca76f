"""Which of two models names the reason better? A blind sheet over twenty dialogues of the sample,
and its score.

  python tools/blind_words.py make FOLDER --old MODEL --new MODEL
      sheet.md, sheet.html and key.json (which side is which, drawn by seed)
  python tools/blind_words.py score FOLDER --judge WHO
      from verdicts.json to data/results/blind_words.json

The dialogues are every fourth of the 96 in order of their ids, the first twenty of these. A judge
gets the sheet alone and writes verdicts.json: [{"item": 1, "verdict": "A", "why": "..."}, ...],
where a verdict is A, B or tie.
"""
import argparse
import html
import json
import random
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.files import shipped
from ecgen.data.readers import load_split
from ecgen.model.model import System

RESULTS = ROOT/'data'/'results'
HEAD = ('<meta charset="utf-8">'
        '<body style="font:15px sans-serif;max-width:1100px">')
CELL = '<td style="vertical-align:top;width:50%;padding:6px"><b>{}</b>{}</td>'
TINT = '<span style="background:rgba(214,69,65,{:.2f});padding:0 2px">{}</span>'


def dialogues():
    "Twenty, by a fixed rule"
    sample = shipped('sample')
    found = [*load_split('train', sample), *load_split('valid', sample)]
    found.sort(key=lambda d: d.id)
    return found[::max(len(found) // 20, 1)][:20]


def plain_word(word): return f'{word["text"]}({word["cause"]:.2f})'


def plain_turn(turn):
    "A turn in sheet.md: each word with its probability"
    return turn['speaker'] + ': ' + ' '.join(map(plain_word, turn['words']))


def tinted_word(word): return TINT.format(word['cause'], html.escape(word['text']))


def tinted_turn(turn):
    "A turn in sheet.html: each word on a tint as strong as its probability"
    return f'<p><b>{turn["speaker"]}</b> ' + ' '.join(map(tinted_word, turn['words'])) + '</p>'


def explained(model, dialogue):
    "The turns up to the last of the speaker, with the probability of each word"
    return model.explain(list(dialogue.utterances[:dialogue.last_speaker_turn + 1])).turns


def draw_sides(rng):
    "Which model stands at the left, which at the right"
    sides = ['old', 'new']
    rng.shuffle(sides)
    return sides


def make(folder, old, new):
    "The sheet in two forms, and the key"
    models = dict(old=System.from_pretrained(old), new=System.from_pretrained(new))
    rng = random.Random(0)
    key, sheet, page = [], [], []
    for k, dialogue in enumerate(dialogues(), 1):
        sides = draw_sides(rng)
        key.append(dict(item=k, id=dialogue.id, A=sides[0], B=sides[1]))
        sheet.append(f'## {k}. The speaker feels: {dialogue.emotion}')
        page.append(f'<h3>{k}. {dialogue.emotion}</h3><table><tr>')
        for name, side in zip('AB', sides):
            turns = explained(models[side], dialogue)
            sheet += [f'### {name}', *map(plain_turn, turns)]
            page.append(CELL.format(name, ''.join(map(tinted_turn, turns))))
        page.append('</tr></table>')
    write(folder, key, sheet, page)


def write(folder, key, sheet, page):
    "Both forms of the sheet, and the key"
    folder.mkdir(parents=True, exist_ok=True)
    (folder/'sheet.md').write_text('\n\n'.join(sheet), encoding='utf-8')
    (folder/'sheet.html').write_text(HEAD + ''.join(page), encoding='utf-8')
    (folder/'key.json').write_text(json.dumps(key, indent=1), encoding='utf-8')


def judged(verdict, key):
    "What was drawn, and which model the verdict is for"
    better = key.get(verdict['verdict'], 'tie')
    return dict(item=verdict['item'], id=key['id'], better=better)


def score(folder, judge):
    "How often each model was judged the better"
    key = {row['item']: row for row in json.loads((folder/'key.json').read_text())}
    verdicts = json.loads((folder/'verdicts.json').read_text())
    items = [judged(verdict, key[verdict['item']]) for verdict in verdicts]
    counts = dict(Counter(item['better'] for item in items))
    res = dict(judge=judge, dialogues=len(items), counts=counts, items=items)
    text = json.dumps(res, indent=1) + '\n'
    (RESULTS/'blind_words.json').write_text(text, encoding='utf-8')
    print(counts)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('make', 'score'))
    parser.add_argument('folder', type=Path)
    parser.add_argument('--old')
    parser.add_argument('--new')
    parser.add_argument('--judge', default='')
    args = parser.parse_args()
    if args.what == 'make': make(args.folder, args.old, args.new)
    else: score(args.folder, args.judge)
