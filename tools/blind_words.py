"""Which of two models names the reason better? A blind sheet over twenty dialogues of the sample, and its score.

  python tools/blind_words.py make FOLDER --old MODEL --new MODEL     sheet.md, sheet.html and key.json (which side is which, drawn by seed)
  python tools/blind_words.py score FOLDER --judge WHO                from verdicts.json to data/results/blind_words.json

The dialogues are every fourth of the 96 in order of their ids, the first twenty of these. A judge gets the sheet alone and writes
verdicts.json: [{"item": 1, "verdict": "A", "why": "..."}, ...], where a verdict is A, B or tie.
"""
import argparse, html, json, random, sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ecgen.data.files import shipped
from ecgen.data.readers import load_split
from ecgen.model.model import System

TINT = '<span style="background:rgba(214,69,65,{:.2f});padding:0 2px">{}</span>'


def dialogues():
    "Twenty, by a fixed rule"
    found = sorted((d for s in ('train', 'valid') for d in load_split(s, shipped('sample'))), key=lambda d: d.id)
    return found[::max(len(found) // 20, 1)][:20]


def make(folder, old, new):
    models, rng, key, sheet, page = dict(old=System.from_pretrained(old), new=System.from_pretrained(new)), random.Random(0), [], [], []
    for k, d in enumerate(dialogues(), 1):
        sides = ['old', 'new']
        rng.shuffle(sides)
        key.append(dict(item=k, id=d.id, A=sides[0], B=sides[1]))
        sheet.append(f'## {k}. The speaker feels: {d.emotion}')
        page.append(f'<h3>{k}. {d.emotion}</h3><table><tr>')
        for name, side in zip('AB', sides):
            turns = models[side].explain(list(d.utterances[:d.last_speaker_turn + 1])).turns
            sheet.append(f'### {name}')
            sheet += [t['speaker'] + ': ' + ' '.join(f'{w["text"]}({w["cause"]:.2f})' for w in t['words']) for t in turns]
            lines = [f'<p><b>{t["speaker"]}</b> ' + ' '.join(TINT.format(w['cause'], html.escape(w['text'])) for w in t['words']) + '</p>' for t in turns]
            page.append(f'<td style="vertical-align:top;width:50%;padding:6px"><b>{name}</b>{"".join(lines)}</td>')
        page.append('</tr></table>')
    folder.mkdir(parents=True, exist_ok=True)
    (folder/'sheet.md').write_text('\n\n'.join(sheet), encoding='utf-8')
    (folder/'sheet.html').write_text('<meta charset="utf-8"><body style="font:15px sans-serif;max-width:1100px">' + ''.join(page), encoding='utf-8')
    (folder/'key.json').write_text(json.dumps(key, indent=1), encoding='utf-8')


def score(folder, judge):
    key = {k['item']: k for k in json.loads((folder/'key.json').read_text())}
    rows = [dict(item=v['item'], id=key[v['item']]['id'], better=key[v['item']].get(v['verdict'], 'tie'), why=v['why']) for v in json.loads((folder/'verdicts.json').read_text())]
    res = dict(judge=judge, dialogues=len(rows), counts=dict(Counter(r['better'] for r in rows)), items=[{k: r[k] for k in ('item', 'id', 'better')} for r in rows])
    (ROOT/'data/results/blind_words.json').write_text(json.dumps(res, indent=1) + '\n', encoding='utf-8')
    print(res['counts'])


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('what', choices=('make', 'score'))
    a.add_argument('folder', type=Path)
    a.add_argument('--old')
    a.add_argument('--new')
    a.add_argument('--judge', default='')
    a = a.parse_args()
    make(a.folder, a.old, a.new) if a.what == 'make' else score(a.folder, a.judge)
