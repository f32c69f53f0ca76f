"""The drawing of the model on the teaching pages:
`python tools/drawing.py` writes nbs/images/model*.svg.

One drawing, its parts as groups; model-PART.svg has one part lit, model.svg none. Emotions, tints
and response are what the shipped model makes of the tour's dialogue.
"""
import html
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ecgen.model.model import EmpatheticModel

TURNS = (
    'My dog ran away on Monday.',
    'Oh no! Did you look for him?',
    'Yes, and last night he came home again!')
PARTS = ('data', 'causes', 'attention', 'reasoner', 'gates', 'gated_attention', 'generator',
         'decoding', 'training', 'evaluation')
TITLE = (
    'The model: from a dialogue the emotion reasoner predicts an emotion and the probability '
    'of each word to belong to its cause; gates made of these probabilities weight the gated '
    'attention of the response generator')
LIGHT = dict(card='#ffffff', ink='#1c1a24', soft='#5b566b', panel='#f6f4fb', inner='#ffffff',
             line='#b9b3cc', lit='#ddd3fd', accent='#5b21b6')
DARK = dict(card='#1b1922', ink='#f1eefa', soft='#b4adc6', panel='#262330', inner='#1b1922',
            line='#5d5674', lit='#4a2f8a', accent='#c4b5fd')
STYLE = '''
text { fill: var(--ink) } .small { font-size: 11.5px; fill: var(--soft) } \
.title { font-weight: 600 }
.card { fill: var(--card); stroke: var(--line) } \
.panel { fill: var(--panel); stroke: var(--line) }
.inner { fill: var(--inner); stroke: var(--line) } .bar { fill: #a78bfa }
.arrow { fill: none; stroke: var(--soft); stroke-width: 1.5; marker-end: url(#tip) } \
#tip path { fill: var(--soft) }
.lit > .panel, .lit > .inner { fill: var(--lit); stroke: var(--accent); stroke-width: 3 }
.lit > .title, .lit > .small { fill: var(--ink) }
'''
SVG = '''\
<svg xmlns="http://www.w3.org/2000/svg" width="720" height="508" viewBox="0 0 720 508" role="img"
 font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13">
<title>{title}</title>
<style>svg {{ {light} }} @media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}\
{style}\
.word {{ font-size: 11px }} .said {{ font-size: 11px }}
</style>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 10 5 0 10z"/></marker></defs>
<rect class="card" x=".5" y=".5" width="719" height="507" rx="12"/>
{groups}
<g>
{arrows}
</g>
</svg>
'''
ARROWS = (
    'M200 94h36', 'M436 56h34', 'M436 142h34', 'M612 178v44', 'M512 264h-24v70h-34', 'M97 180v28',
    'M294 180v28', 'M172 298h46', 'M172 334h46', 'M464 370h44', 'M612 400v26', 'M350 400v26',
    'M200 465h36')


def colors(of): return ' '.join(f'--{name}: {value};' for name, value in of.items())


def box(kind, x, y, w, h, r=8):
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{r}"/>'


def text(x, y, words, kind='', anchor='start'):
    shown = html.escape(words)
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{shown}</text>'


def arrow(path): return f'<path class="arrow" d="{path}"/>'


def width(word, size=11):
    "About as wide as a word is in a system's font without serifs"
    ems = {**dict.fromkeys("iljt.,!' ", .36), **dict.fromkeys('mwMWO', .85)}
    return sum(ems.get(c, .6) for c in word) * size + 4


def tint(word, x, y):
    "The ground of a word, as strong as it is probable that the word belongs to the cause"
    place = f'x="{x:.1f}" y="{y - 12.5}" width="{width(word["text"]):.1f}" height="17"'
    return f'<rect class="bar" {place} opacity="{word["cause"]:.2f}"/>'


def tinted(words, x, y):
    "Words of a turn, each on its tint"
    for word in words:
        wide = width(word['text'])
        yield tint(word, x, y)
        yield text(f'{x + wide / 2:.1f}', y, word['text'], 'word', 'middle')
        x += wide


def turn(x, y, height, lines):
    "What one of the two says"
    yield box('inner', x, y, 177, height, 12)
    for i, line in enumerate(lines): yield text(x + 9, y + 20 + 17 * i, line, 'said')


def data():
    yield box('panel', 8, 8, 192, 172)
    yield text(22, 30, 'Dialogue', 'title')
    begin, end = TURNS[2].split('he ')
    yield from turn(13, 42, 30, [TURNS[0]])
    yield from turn(18, 80, 30, [TURNS[1]])
    yield from turn(13, 118, 50, [begin, f'he {end}'])


def head(x, of, what):
    "One of the two things that the reasoner tells"
    yield box('inner', x, 118, 81, 48)
    yield text(x + 40, 138, of, 'small', 'middle')
    yield text(x + 40, 156, what, '', 'middle')
    yield arrow(f'M{x + 40} 78v36')


def reasoner(answer):
    yield box('panel', 240, 8, 196, 172)
    yield text(254, 30, 'Emotion reasoner', 'title')
    yield text(339, 100, 'Eqs. 1–4', 'small', 'middle')
    yield box('inner', 254, 44, 170, 34) + text(339, 66, 'Transformer encoder', '', 'middle')
    yield from head(254, 'of [CLS]:', 'emotion')
    yield from head(343, 'of a word:', 'cause?')
    yield from told(answer)


def told(answer):
    "What the reasoner says of the dialogue: emotions with their bars, and tinted words"
    yield text(476, 20, 'one of 32 emotions', 'small')
    likely = sorted(answer.emotions, key=answer.emotions.get)[:-4:-1]
    for i, name in enumerate(likely):
        long = f'{150 * answer.emotions[name]:.0f}'
        yield text(476, 41 + 18 * i, name) + box('bar', 562, 31 + 18 * i, long, 11, 3)
    yield text(476, 106, 'cause probability of each word', 'small')
    for i, said in enumerate(answer.turns): yield from tinted(said['words'], 476, 126 + 21 * i)


def gates():
    yield box('panel', 512, 226, 200, 76)
    yield text(612, 248, 'Gates', 'title', 'middle')
    yield text(612, 269, 'soft: the probability', 'small', 'middle')
    yield text(612, 287, 'hard: 0 or 1, by Gumbel-Softmax', 'small', 'middle')


def generator():
    yield box('panel', 8, 212, 456, 188)
    yield text(22, 234, 'Response generator', 'title')
    yield text(452, 234, 'one of its decoder blocks', 'small', 'end')
    yield box('inner', 22, 248, 150, 138) + text(97, 274, 'Transformer encoder', '', 'middle')
    yield text(97, 294, 'words + emotion', 'small', 'middle')
    yield box('inner', 222, 354, 228, 32) + text(336, 375, 'feed-forward', '', 'middle')


def labelled(x, y, wide, words):
    "A box with words in its middle"
    return box('inner', x, y, wide, 32) + text(x + wide / 2, y + 21, words, '', 'middle')


def attention():
    yield labelled(36, 334, 122, 'self-attention')
    yield labelled(222, 246, 228, 'self-attention')
    yield labelled(222, 282, 228, 'cross attention')


def gated_attention():
    yield box('inner', 222, 318, 228, 32) + text(
        336, 339, 'gated attention, Eq. 5', 'title', 'middle')


def decoding(answer):
    yield box('panel', 512, 322, 200, 78)
    yield text(612, 344, 'Response, word by word', 'title', 'middle')
    yield box('inner', 518, 352, 188, 42, 12)
    lines = textwrap.wrap(answer.response, 30)
    if len(lines) > 2: sys.exit('The response is too long for its box: make the box larger.')
    for i, line in enumerate(lines):
        yield text(612, 384 - 7 * len(lines) + 15 * i, line, 'said', 'middle')


def causes():
    yield box('panel', 8, 430, 192, 70)
    yield text(22, 453, 'Cause labels', 'title')
    yield text(22, 472, '0 or 1 for each word, made', 'small')
    yield text(22, 488, 'by a detector, for training', 'small')


def training():
    yield box('panel', 240, 430, 224, 70)
    yield text(254, 453, 'Training', 'title')
    yield text(452, 453, 'Eq. 7', 'small', 'end')
    yield text(254, 472, 'loss of the reasoner', 'small')
    yield text(254, 488, '+ loss of the generator', 'small')


def evaluation():
    yield box('panel', 512, 430, 200, 70)
    yield text(526, 453, 'Evaluation', 'title')
    yield text(526, 472, 'accuracy, perplexity, BLEU, ...', 'small')
    yield text(526, 488, 'does knowing the cause help?', 'small')


def arrows():
    for path in ARROWS: yield arrow(path)
    yield text(302, 200, 'emotion', 'small')


def group(name, parts, lit):
    "A part of the drawing"
    kind = f'{name} lit' if name == lit else name
    return '\n'.join([f'<g class="{kind}">', *parts, '</g>'])


def drawing(answer, lit=''):
    "The drawing as SVG, with one part lit"
    made = dict(
        data=data(),
        reasoner=reasoner(answer),
        gates=gates(),
        generator=generator(),
        attention=attention(),
        gated_attention=gated_attention(),
        decoding=decoding(answer),
        causes=causes(),
        training=training(),
        evaluation=evaluation())
    groups = [group(name, parts, lit) for name, parts in made.items()]
    title = f'{TITLE}. Lit: {lit.replace("_", " ")}' if lit else TITLE
    return SVG.format(
        title=title,
        light=colors(LIGHT),
        dark=colors(DARK),
        style=STYLE,
        groups='\n'.join(groups),
        arrows='\n'.join(arrows()))


if __name__ == '__main__':
    answer = EmpatheticModel.from_pretrained().respond(list(TURNS), seed=0)
    folder = ROOT/'nbs'/'images'
    folder.mkdir(exist_ok=True)
    for lit in ('', *PARTS):
        name = f'model-{lit}' if lit else 'model'
        (folder/f'{name}.svg').write_text(drawing(answer, lit), encoding='utf-8')
    print(f'drawing: {len(PARTS) + 1} drawings in nbs/images')
