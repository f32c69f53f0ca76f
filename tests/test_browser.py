"""The widgets in a real browser: `pytest tests/test_browser.py`.

As pages over file://, on the built site (`python tools/nb.py docs` comes first), in JupyterLab
with a live kernel, and in `ecgen demo`. Each test fails if the page reports an error, or asks
anything of a machine but this one. Without a browser the tests are skipped, and say so; with
ECGEN_BROWSER=required, as in .ci/run, that is a failure.
"""
import base64
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from xml.dom import minidom

import pytest
import torch

from ecgen.data.dialogues import detokenize
from ecgen.model.attention_maps import cause_mass, trace
from ecgen.model.model import EmpatheticModel
from ecgen.use import widgets
from ecgen.use.live import LivePlayground, reference_answer, write_live
from ecgen.use.playground import SAMPLES, Playground, playground_answer
from ecgen.use.show import clean
from ecgen.use.widgets import AttentionExplorer, CauseHighlight, attention, gate_values

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'
REQUIRED = os.environ.get('ECGEN_BROWSER') == 'required'
BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync']
TURNS = [
    'My best friend is moving to another country next week.',
    'Oh no, you must be close.',
    'We have known each other since school. I feel so alone already.',
]
EVIL = [
    '<img src=x onerror="document.title=\'run\'"> </script><script>document.title="run"</script>'
    ' so <b>sad</b> \u202eevil\u202c {{7*7}}',
    '<style>*{display:none}</style> oh no',
    '\u200fשלום I am sad &lt;script&gt; <iframe src="http://example.invalid/">',
]
SISTER = 'My sister moved to Canada last month and the house feels so empty now.'

# Where a page may look
LOCAL = ('file:', 'data:', 'blob:', 'about:', 'http://127.0.0.1:', 'ws://127.0.0.1:',
         'http://localhost:', 'ws://localhost:')
# What a browser may report as an error
ALLOWED = [
    # extensions of JupyterLab's that Voila does not load
    r"Shared module @jupyter\S+ doesn't exist in shared scope",
    # a server of ours that was stopped while its page was open
    r'ERR_CONNECTION_REFUSED.*http://127\.0\.0\.1:\d+/(?:lab/)?api/',
    r'WebSocket connection to .ws://127\.0\.0\.1:\d+/',
    r'/favicon\.ico',
    # weights that a page from a file may not fetch
    r'file:///\S*/model-\w+\.safetensors',
]
DEADLINE = 30_000     # milliseconds that a page may take


def missing(why):
    if REQUIRED: pytest.fail(why)
    pytest.skip(why)


def find_browser():
    "A Chromium of the system: ECGEN_CHROMIUM names it, or it is on the path"
    for name in (os.environ.get('ECGEN_CHROMIUM', ''), *BROWSERS):
        if name and (found := shutil.which(name)): return found
    return None


@pytest.fixture(scope='module')
def browser():
    try: from playwright.sync_api import sync_playwright
    except ImportError: missing('needs playwright: pip install playwright')
    if not (path := find_browser()):
        missing('needs Chromium: apt-get install chromium, or ECGEN_CHROMIUM=/path/to/it')
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=FLAGS)
        yield b
        b.close()


@pytest.fixture
def open_page(browser):
    "Opens pages that neither fail nor ask anything of other machines; checked when the test ends"
    contexts, outside, errors = [], [], []

    def asked(url):
        if not url.startswith(LOCAL): outside.append(url)

    def logged(message):
        if message.type != 'error': return
        text, url = message.text, message.location['url']
        if any(re.search(a, text + url) for a in ALLOWED): return
        errors.append(f'{text} ({url})')

    def popped_up(dialog):
        errors.append(f'dialog: {dialog.message}')
        dialog.dismiss()

    def open_page(url, **options):
        context = browser.new_context(**{'viewport': {'width': 1100, 'height': 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        context.on('request', lambda r: asked(r.url))
        page.on('websocket', lambda w: asked(w.url))
        page.on('pageerror', lambda e: errors.append(str(e)))
        page.on('console', logged)
        page.on('dialog', popped_up)
        page.goto(url)
        return page

    yield open_page
    for c in contexts: c.close()
    assert not outside and not errors, '\n'.join([*outside, *errors])


@cache
def model():
    return EmpatheticModel.from_pretrained()


def make(kind, turns):
    "A widget of a kind that shows a dialogue"
    if kind == 'Playground': return Playground(model(), [turns])
    return getattr(widgets, kind)(model(), turns)


@pytest.fixture
def show(open_page, tmp_path):
    "Saves a widget as a page, opens it over file://"
    def show(widget, **options):
        widget.save(tmp_path/'widget.html')
        page = open_page((tmp_path/'widget.html').as_uri(), **options)
        page.wait_for_selector('.ecgen[data-draws]')
        return page
    return show


# ---------------------------------------------------------------- what is done on a page

STARTS = '([where, text]) => document.querySelector(where).textContent.startsWith(text)'
INCLUDES = '([where, text]) => document.querySelector(where).textContent.includes(text)'
EQUALS = '([where, text]) => document.querySelector(where)?.textContent === text'
HAS_DATA = '([where, key, value]) => document.querySelector(where).dataset[key] === value'
REDRAWN = 'n => +document.querySelector(".ecgen").dataset.draws > n'
CONTROLS_ARE = '''(wanted) => Object.entries(wanted).every(([name, value]) =>
  document.querySelector(`[data-control=${name}]`).value === value)'''

SAY, RESPONSE = '.ecgen-say', '.ecgen-response p'


def wait_starts(page, where, text): page.wait_for_function(STARTS, arg=[where, text])
def wait_includes(page, where, text): page.wait_for_function(INCLUDES, arg=[where, text])
def wait_equals(page, where, text): page.wait_for_function(EQUALS, arg=[where, text])
def wait_data(page, where, key, value): page.wait_for_function(HAS_DATA, arg=[where, key, value])
def wait_controls(page, **wanted): page.wait_for_function(CONTROLS_ARE, arg=wanted)
def wait_drawn(page, before): page.wait_for_function(REDRAWN, arg=before)
def draws(page): return int(page.get_attribute('.ecgen', 'data-draws'))


def press(page, control, *keys):
    "Keys for a control of the page, which redraws"
    for k in keys:
        n = draws(page)
        page.press(f'[data-control="{control}"]', k)
        wait_drawn(page, n)


def choose(page, control, value):
    page.select_option(f'[data-control={control}]', value)


def close_turn(page, i=0):
    "Close the gate of a turn; below the new response stands what it was"
    page.press(f'[data-turn="{i}"]', 'Enter')
    page.wait_for_selector('.ecgen-was')


def send(page, text):
    "Type a message and send it"
    page.fill('[data-control=message]', text)
    page.press('[data-control=message]', 'Enter')


def saved(page, kind):
    "The picture that a page saves, as a download"
    with page.expect_download() as d: page.click(f'[data-export={kind}]')
    return d.value


def numbers(page, pattern=r'[ ](\d+\.\d+)'):
    "The numbers in what a page says"
    return [float(x) for x in re.findall(pattern, page.inner_text(SAY))]


def answer(turns, *closed, **options):
    "The response that the playground gives, by Python"
    return playground_answer(model(), turns, *closed, **options)['response']


# ---------------------------------------------------------------- what a page shows

SEEN = '''(root) => {
  const words = '[aria-label^="words of the dialogue"] [data-word]';
  const seen = (e) => [+e.dataset.tint, e.dataset.under, e.getAttribute('aria-label')];
  const all = [...document.querySelector(root).querySelectorAll(words)];
  return Object.fromEntries(all.map((e) => [e.dataset.word, seen(e)]));
}'''

BARS = '''() => [...document.querySelectorAll('.ecgen .ecgen-emotions li')].map((li) => {
  const text = (part) => li.querySelector(part).textContent;
  const width = (part) => li.querySelector(part).getBoundingClientRect().width;
  return [text('.ecgen-name'), text('b'), width('.ecgen-bar i') / width('.ecgen-bar')];
})'''

BUT_THE_LAST = '(e) => [...e.childNodes].slice(0, -1).map((n) => n.textContent).join("")'
WITHOUT_TOKENS = '''(e) => [...e.childNodes]
  .filter((n) => !n.classList?.contains('ecgen-token'))
  .map((n) => n.textContent)
  .join('')'''


def tint_of(gate, p, g):
    "How strongly a word is tinted that the model takes for a cause with probability p"
    if gate == 'gumbel': return g
    if g == 0: return 0
    return p if gate in ('soft', 'open') else max(p, .25)


def same_as_python(page, scene, gate, word=-1, root='.ecgen', step=0, layer=0, head=-1,
                   **options):
    "Tints, underlines and weights of a page against what Python computes"
    g, seen = gate_values(scene, gate, **options), page.evaluate(SEEN, root)
    for i, (tint, under, name) in seen.items():
        i = int(i)
        assert under == f'{int(3 * g[i] + .5)}px', (i, seen[str(i)], g[i])
        assert f'gate {g[i]:.2f}' in name, (i, seen[str(i)], g[i])
        p = 1 / (1 + math.exp(-scene['logit'][i]))
        assert tint == pytest.approx(tint_of(gate, p, g[i].item()), abs=6e-4), (i, tint, p)

    if word >= 0:
        a, b = attention(scene)[layer], attention(scene, g)[layer]
        a, b = (x.mean(0) if head < 0 else x[head] for x in (a, b))
        wanted = [g[word].item(), a[step, word].item(), b[step, word].item()]
        said = numbers(page)
        assert said[1:] == pytest.approx(wanted, abs=6e-4), (said, word)
    return g


# ---------------------------------------------------------------- pages of their own

def test_cause_highlight_by_keyboard(show):
    w = CauseHighlight(model(), TURNS)
    page, s = show(w), w.state['scene']
    same_as_python(page, s, 'soft')

    # hard gates, a higher threshold
    press(page, 'gate', 'ArrowDown')
    press(page, 'threshold', 'ArrowRight', 'ArrowRight', 'ArrowRight')
    assert page.get_attribute('.ecgen', 'data-hue') == 'hard'
    assert page.locator('.ecgen-token:visible').count() == 0

    # from word to word
    page.focus('[data-word="1"]')
    for _ in range(4): page.keyboard.press('ArrowRight')
    wait_starts(page, SAY, 'moving:')
    same_as_python(page, s, 'hard', threshold=.53, word=5)

    # another step, layer and head
    press(page, 'step', 'ArrowRight', 'ArrowRight')
    press(page, 'layer', 'ArrowDown')
    press(page, 'head', 'ArrowDown')
    place = dict(word=5, step=2, layer=1, head=0)
    same_as_python(page, s, 'hard', threshold=.53, **place)

    # Gumbel gates, drawn again
    press(page, 'gate', 'ArrowDown')
    press(page, 'temperature', 'ArrowLeft', 'ArrowLeft')
    page.click('text=Draw again')
    page.wait_for_timeout(100)
    same_as_python(page, s, 'gumbel', temperature=.9, draw=1, **place)

    # emotions and response
    assert page.locator('.ecgen-emotions li').count() == 32
    assert page.locator(RESPONSE).evaluate(BUT_THE_LAST) == s['response']
    assert page.locator('.ecgen-response [data-word]').count() == len(s['words'])

    # tokens
    page.check('[data-control=tokens]')
    tokens = page.locator('.ecgen-token:visible').all_inner_texts()
    assert tokens == ['[CLS]', '[SEP]', '[SEP]', '[SEP]', '<end>']
    assert 'greedy, gate soft' in page.inner_text('footer')


@pytest.mark.parametrize('gate', ['open', 'rule', 'random'])
def test_gates_of_controls(show, gate):
    "At an open and a closed word, a page recomputes what the model itself weighs with this gate"
    made, real = CauseHighlight(model(), TURNS, gate=gate), trace(model(), TURNS, gate=gate)
    page, s, g = show(made), made.state['scene'], real.gate.tolist()
    words = [i for i, _ in enumerate(g) if s['context'][i] not in ('[CLS]', '[SEP]')]
    def least_weight(i): return real.maps.before[:, :, 0, i].mean(1).min()
    def heaviest(value): return max((i for i in words if g[i] == value), key=least_weight)
    shown = [heaviest(value) for value in ((1,) if gate == 'open' else (1, 0))]

    # each layer
    for layer in range(s['shape'][0]):
        if layer: press(page, 'layer', 'ArrowDown')
        before, after = real.maps.before[layer].mean(0)[0], real.maps.after[layer].mean(0)[0]
        for i in shown:
            page.hover(f'[data-word="{i}"]')
            wait_starts(page, SAY, f'{s["context"][i]}: ')
            same_as_python(page, s, gate, word=i, layer=layer)
            wanted = [x[i].item() for x in (real.cause, real.gate, before, after)]
            said = numbers(page)
            assert said == pytest.approx(wanted, abs=6e-4)
            assert said[2] > 0
            assert (said[1], said[3] > 0) == ((1, True) if g[i] else (0, False))

    # chosen in a page that was written with another gate
    w = CauseHighlight(model(), TURNS)
    page, s = show(w), w.state['scene']
    n = draws(page)
    choose(page, 'gate', gate)
    wait_drawn(page, n)
    same_as_python(page, s, gate)
    opened = sum(gate_values(s, gate)[1:] > .5)
    assert page.inner_text('.ecgen-state').startswith(f'{opened} of {len(g) - 1} gates')

    # in the explorer
    i = shown[-1]
    w = AttentionExplorer(model(), TURNS, gate=gate, word=i, layer=1, head=2, step=3)
    page, s = show(w), w.state['scene']
    a, b = (attention(s, x)[1, 2, 3, i].item() for x in (None, gate_values(s, gate)))
    assert numbers(page, r'\d+\.\d+')[:2] == pytest.approx((a, b), abs=6e-5)


@pytest.mark.parametrize('kind', ['CauseHighlight', 'Playground'])
def test_emotion_bars(show, kind):
    "Names, percentages and drawn lengths of all 32 bars against the model's own answer"
    turns = TURNS[:1]       # the model is not sure of its emotion, so many bars can be seen
    said = model().explain(turns).emotions
    page = show(make(kind, turns))
    page.click('.ecgen-emotions summary')
    bars = page.evaluate(BARS)
    assert len(bars) == 32
    assert [b[0] for b in bars] == sorted(said, key=lambda e: -said[e])
    assert sum(said.values()) == pytest.approx(1, abs=1e-3)

    def in_percent(p): return '<1%' if p < .005 else f'{int(100 * p + .5)}%'
    for name, percent, length in bars:
        assert length == pytest.approx(said[name], abs=2e-3), name  # in whole 64ths of a pixel
        near = [said[name] + d for d in (-5e-5, 5e-5)]              # the playground sends 4 digits
        assert percent in [in_percent(p) for p in near], name

    # drawn, and not all alike
    lengths = [b[2] for b in bars]
    assert max(lengths) > 3 * min(lengths)
    assert len({round(x, 3) for x in lengths}) > 8


def test_every_word_closed_is_said(show):
    w = CauseHighlight(model(), TURNS, gate='hard', threshold=1., word=3)
    page = show(w)
    assert page.get_attribute('.ecgen', 'data-closed') == 'true'
    assert 'all attention goes to [CLS]' in page.inner_text('.ecgen-state')
    same_as_python(page, w.state['scene'], 'hard', threshold=1., word=3)
    press(page, 'threshold', 'Home')
    assert page.get_attribute('.ecgen', 'data-closed') == 'false'


def test_attention_explorer_links_words(show):
    w = AttentionExplorer(model(), TURNS, gate='soft')
    page, s = show(w), w.state['scene']
    a, b = attention(s).mean(1), attention(s, gate_values(s)).mean(1)

    # keys move in the first map
    page.locator('.ecgen-field-cells').first.focus()
    for key in ('ArrowDown', 'ArrowRight', 'ArrowRight'): page.keyboard.press(key)
    page.wait_for_function(f'() => /friend|best/.test(document.querySelector("{SAY}").textContent)')
    before, after, _ = numbers(page, r'\d+\.\d+')
    assert (before, after) == pytest.approx((a[0, 1, 2].item(), b[0, 1, 2].item()), abs=6e-5)
    selected = page.locator('[aria-selected=true]').all_inner_texts()
    assert [t.lower() for t in selected] == ['best', s['words'][1]]

    # hovering in the second map moves the first
    box = page.locator('.ecgen-field-cells').nth(1).bounding_box()
    page.mouse.move(box['x'] + box['width'] * 5.5 / s['shape'][3], box['y'] + 17 * 3.5)
    wait_includes(page, SAY, 'moving')
    assert page.locator('.ecgen-ring').first.get_attribute('style') == '--m: 3; --i: 5;'

    # a small map is shown large
    assert page.locator('.ecgen-small button').count() == 8
    page.locator('.ecgen-small button').nth(6).press('Enter')
    wait_controls(page, head='2', layer='1')

    # a third canvas, and the footer
    assert page.evaluate('''() => {
      const canvas = document.querySelectorAll('.ecgen-cells')[2];
      return canvas.getContext('2d').getImageData(0, 0, 1, 1).data.length;
    }''') == 4
    assert 'computed in this page' in page.inner_text('footer')


THREE_TURNS_AND_HARD = """() => document.querySelectorAll('[data-turn]').length === 3
  && document.querySelector('.ecgen').dataset.hue === 'hard'"""


def test_playground_shows_recorded_responses(show):
    page = show(Playground(model(), SAMPLES[:2]))
    turns = ['Someone broke into my car last night and took my bag.']
    with_all, closed = answer(turns), answer(turns, [0])
    sample = page.eval_on_selector('[data-control=sample]', 'e => e.options[e.value].textContent')
    assert sample.startswith(turns[0][:40])
    assert 'Recorded' in page.inner_text('.ecgen-badge')
    assert 'ecgen demo --page FILE' in page.inner_text('.ecgen')
    assert page.inner_text(RESPONSE) == with_all

    # a turn is closed
    close_turn(page)
    assert page.inner_text(RESPONSE) == closed
    assert closed != with_all
    assert page.inner_text('.ecgen-was span') == with_all
    assert page.evaluate('document.activeElement.dataset.turn') == '0'
    assert page.inner_text('[data-turn="0"]') == 'closed by hand'
    assert page.get_attribute('.ecgen', 'data-closed') == 'true'
    assert 'Every word is closed' in page.inner_text('.ecgen-state')
    assert 'null' not in page.inner_text('body')

    # another dialogue, another gate
    choose(page, 'sample', '1')
    choose(page, 'gate', 'hard')
    page.wait_for_function(THREE_TURNS_AND_HARD)
    assert page.inner_text(RESPONSE) == answer(SAMPLES[1], gate='hard')


def test_playground_compares_within_a_gate(show):
    p = Playground(model(), SAMPLES[:1]).record()
    for r in p.recorded['records']:
        r['response'] = f'{r["gate"]} {r["closed"]}'       # so that none is like another
    p.state['first'] = p.recorded['records'][0]
    page = show(p)
    page.press('[data-turn="0"]', 'Enter')
    wait_equals(page, '.ecgen-was span', 'soft []')
    choose(page, 'gate', 'hard')
    wait_equals(page, RESPONSE, 'hard [0]')
    assert page.inner_text('.ecgen-was span') == 'hard []'
    assert 'changed' in page.inner_text(SAY)


def test_playground_says_what_a_gate_closes(show):
    p = Playground(model(), [TURNS]).record()
    for r in p.recorded['records']:
        if r['gate'] == 'hard': r['gates'] = [1] + [0] * (len(r['gates']) - 1)
    page = show(p)
    assert page.get_attribute('.ecgen', 'data-closed') == 'false'
    assert page.locator('[data-turn]').all_inner_texts() == ['open'] * 3

    choose(page, 'gate', 'hard')
    page.wait_for_selector('.ecgen[data-closed=true]')
    assert page.locator('[data-turn]').all_inner_texts() == ['closed by the hard gate'] * 3
    assert 'all attention goes to [CLS]' in page.inner_text('.ecgen-state')


def test_playground_without_an_answer_says_so(show):
    p = Playground(model(), [TURNS])
    p.recorded = dict(live=True, patience=1)     # a page that thinks it has a kernel, and has none
    page = show(p)
    send(page, 'I am so sad.')
    page.wait_for_selector('.ecgen[data-busy=true]')
    assert 'writing' in page.inner_text(SAY)

    page.wait_for_selector('.ecgen[data-busy=false]')
    assert 'no answer' in page.inner_text(SAY)
    assert page.input_value('[data-control=message]') == 'I am so sad.'
    assert page.is_enabled('text=Send')


def test_a_note_is_said(show):
    page = show(Playground(model(), [TURNS[:1], ['I want to die']]))
    choose(page, 'sample', '1')
    page.wait_for_selector('.ecgen-note')
    page.wait_for_selector('.ecgen-note [role=alert]')
    assert page.inner_text(SAY) == 'There is a note and no response.'
    assert page.text_content('.ecgen-play').count('crisis line') == 1


# Texts that stand out from what is behind them by less than 4.5
CONTRAST = r'''() => {
  const parse = (c) => {
    const m = c.match(/[\d.]+/g).map(Number);
    return [m[0], m[1], m[2], m[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map((k) => a[k] * a[3] + b[k] * (1 - a[3]));
  const linear = (v) => {
    v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const light = (c) => {
    const [r, g, b] = c.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (ink, back) => {
    const [x, y] = [light(ink), light(back)].sort((a, b) => b - a);
    return (x + 0.05) / (y + 0.05);
  };
  const isText = (n) => n.nodeType === 3 && n.textContent.trim();
  const bad = [];
  for (const el of document.querySelectorAll('.ecgen *')) {
    if (![...el.childNodes].some(isText)) continue;
    if (!el.checkVisibility() || el.closest('[data-off=true], :disabled')) continue;
    const chain = [];
    for (let e = el; e; e = e.parentElement) chain.push(e);
    let back = [255, 255, 255];
    for (const e of chain.reverse()) back = over(parse(getComputedStyle(e).backgroundColor), back);
    const ink = over(parse(getComputedStyle(el).color), back);
    const ratio = contrast(ink, back);
    if (ratio < 4.5) bad.push([el.textContent.slice(0, 30), el.className, ratio.toFixed(2)]);
  }
  return bad;
}'''

# Controls that a screen reader cannot name
NAMELESS = '''() => {
  const roles = '[role=option], [role=application], canvas[role=img]';
  const isNamed = (e) => e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim();
  return [...document.querySelectorAll(`.ecgen :is(button, select, input, ${roles})`)]
    .filter((e) => e.checkVisibility() && !isNamed(e))
    .map((e) => e.outerHTML.slice(0, 120));
}'''


def width_of(page): return page.evaluate('document.documentElement.scrollWidth')


@cache
def all_widgets():
    return (
        CauseHighlight(model(), TURNS, word=4),
        CauseHighlight(model(), TURNS, gate='hard', threshold=0.),
        AttentionExplorer(model(), TURNS),
        Playground(model(), [TURNS]).record(),
    )


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1100, 390])
def test_contrast_names_and_width(show, theme, width):
    for w in all_widgets():
        page = show(w, color_scheme=theme, viewport={'width': width, 'height': 900})
        assert page.get_attribute('.ecgen', 'data-theme') == theme
        page.wait_for_timeout(200)                          # tints fade in
        assert page.evaluate(CONTRAST) == [], w.title
        assert page.evaluate(NAMELESS) == [], w.title
        assert width_of(page) <= width, w.title


def big_scene(words=150, steps=20, layers=4, heads=4):
    "A scene of a given size, with random weights: for timing only"
    s, rng = widgets.scene(model(), TURNS), torch.Generator().manual_seed(0)
    a = torch.randn(layers, heads, steps, words, generator=rng).softmax(-1)
    names = [f'word{i}' for i in range(words)]
    pieces = []
    for i in range(1, words - 1): pieces += [names[i], i], [' ', -1]
    return s | dict(
        turns=[dict(speaker='speaker', end=words - 1, pieces=pieces)],
        context=names,
        turn=[0] * words,
        logit=torch.randn(words, generator=rng).tolist(),
        noise=torch.randn(8, words, generator=rng).tolist(),
        fixed={},
        words=[f'r{m}' for m in range(steps)],
        shape=[layers, heads, steps, words],
        before=base64.b64encode(a.numpy().tobytes()).decode(),
    )


# Where other work shares the machine, a redraw is measured by a yardstick: work of a fixed size
# in the same page, which takes YARD_MS on two quiet cores. Only what makes the machine slower
# makes the limit wider.
YARD_MS, FRAME_MS = 14, 1000 / 60
REDRAWS = """async () => {
  const slider = document.querySelector('[data-control=threshold]');
  const root = document.querySelector('.ecgen');
  const frame = () => new Promise(requestAnimationFrame);
  const yardstick = () => {
    const begin = performance.now();
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    for (let i = 0; i < 2000; i++) {
      const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      rect.setAttribute('x', i % 50);
      rect.setAttribute('y', i / 50);
      rect.setAttribute('fill', `rgb(${i % 256}, 0, 0)`);
      svg.append(rect);
    }
    return performance.now() - begin;
  };
  const times = { draw: [], yard: [] };
  for (let i = 0; i < 24; i++) {
    slider.value = 0.2 + i / 40;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await frame();
    await frame();
    times.draw.push(+root.dataset.drawMs);
    times.yard.push(yardstick());
  }
  return times;
}"""


@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer'])
def test_redraws_within_a_frame(show, kind, record_property):
    w = getattr(widgets, kind)(model(), TURNS, gate='hard')
    w.state['scene'] = big_scene()
    page = show(w)
    def median_of(times): return sorted(times)[len(times) // 2]
    medians = []
    for _ in range(3):                          # other work on the machine slows some of them
        times = page.evaluate(REDRAWS)
        medians.append((median_of(times['draw']), median_of(times['yard'])))
    median, yard = min(medians, key=lambda m: m[0] / max(1, m[1] / YARD_MS))
    median_here = median / max(1, yard / YARD_MS)
    record_property('redraw_ms', median)
    first = page.get_attribute('.ecgen', 'data-render-ms')
    print(f'{kind}: redraw median {median:.1f} ms, yardstick {yard:.1f} ms, '
          f'page {len(w.to_html()) // 1024} KB; first render {first} ms')
    assert median_here < FRAME_MS


# ---------------------------------------------------------------- hostile and long text

@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer', 'Playground'])
def test_text_is_data(show, kind):
    page = show(make(kind, EVIL))
    title = page.title()
    assert page.locator('.ecgen :is(img, script, style, iframe, b[class])').count() == 0
    shown = [p.evaluate(WITHOUT_TOKENS) for p in page.locator('.ecgen .ecgen-turn p').all()[:3]]
    assert [t.strip() for t in shown] == [clean(t).strip() for t in EVIL]
    assert title != 'run'
    assert page.title() == title

    # in a picture that is saved
    if page.locator('[data-export=svg]').count():
        text = Path(saved(page, 'svg').path()).read_text(encoding='utf-8')
        assert '<img' not in text
        assert '<script' not in text
        assert kind == 'AttentionExplorer' or 'onerror' in text
        assert minidom.parseString(text.encode())


DIRECTIONS = '''() => [...document.querySelectorAll('.ecgen-turn p')]
  .slice(0, 3)
  .map((p) => getComputedStyle(p).direction)'''


def test_each_turn_takes_its_direction_from_its_own_text(show):
    turns = ['אחותי חזרה הביתה (היום).', 'Oh, how nice!', 'اليوم Rex bit 5 dogs.']
    for kind in ('CauseHighlight', 'AttentionExplorer', 'Playground'):
        found = show(make(kind, turns)).evaluate(DIRECTIONS)
        assert found == ['rtl', 'ltr', 'rtl'], (kind, found)

    # the places of words in a picture, from left to right
    page = show(CauseHighlight(model(), turns))
    picture = minidom.parse(str(saved(page, 'svg').path()))
    words = {t.firstChild.data: t for t in picture.getElementsByTagName('text') if t.firstChild}
    at = {word: float(t.getAttribute('x')) for word, t in words.items()}
    assert at['הביתה'] < at['חזרה'] < at['אחותי']
    assert at['Rex'] < at['bit'] < at['5'] < at['dogs'] < at['اليوم']
    assert at['Oh'] < at['how'] < at['nice']

    # how they are written there
    def written(word): return [words[word].getAttribute(k) for k in ('direction', 'text-anchor')]
    assert written('חזרה') == ['rtl', 'end']
    assert written('Oh') == ['', 'start']


@pytest.mark.parametrize('kind', ['CauseHighlight', 'AttentionExplorer'])
def test_the_note_stands_in_place_of_a_response(show, kind):
    page = show(make(kind, ['I don‘t want to live anymore.']))
    assert 'crisis line' in page.inner_text('.ecgen-response')
    assert page.locator('.ecgen-response [data-word]').count() == 0
    page.hover('text=live')
    wait_includes(page, SAY, 'live')
    assert 'no response was written' in page.inner_text('.ecgen footer')


def test_markup_in_any_field_is_text(show):
    "Words as the model never makes them: each field that holds text holds markup"
    evil = '<img src=x onerror="document.title=\'run\'"><b>bold</b>'

    def spoil(scene):
        scene['context'][1] = scene['emotions'][0][0] = scene['response'] = evil
        scene['turns'][0]['pieces'][0][0] = scene['turns'][0]['speaker'] = evil
        if 'words' in scene: scene['words'][0] = scene['model'] = evil

    p = Playground(model(), [TURNS[:1]], command=evil).record()
    for r in p.recorded['records']: spoil(r)
    spoil(p.state['first'])
    p.state['name'] = evil
    made = CauseHighlight(model(), TURNS, word=1), AttentionExplorer(model(), TURNS, word=1)
    for w in made: spoil(w.state['scene'])

    for w in (*made, p):
        page = show(w)
        page.hover('[data-word="1"]')
        page.wait_for_timeout(200)
        assert page.locator('.ecgen :is(img, b b, p b, span b)').count() == 0
        assert page.title() != 'run'
        assert page.inner_text('.ecgen').count('<b>bold</b>') >= 4, w.title


def test_five_thousand_words(show):
    page = show(CauseHighlight(model(), ['so ' * 5000, 'Oh no!', 'I am sad.']))
    words = page.locator('[aria-label^="words of the dialogue"] [data-word]')
    assert words.count() == 512
    assert page.inner_text('.ecgen-turn p').count('so') > 490
    assert width_of(page) <= 1100
    page.hover('text=sad')
    wait_starts(page, SAY, 'sad:')


def test_pictures_are_saved(show):
    for kind in ('CauseHighlight', 'AttentionExplorer'):
        page = show(make(kind, TURNS))
        png = saved(page, 'png')
        data = Path(png.path()).read_bytes()
        assert data[:8] == b'\x89PNG\r\n\x1a\n'
        assert int.from_bytes(data[16:20], 'big') >= 800           # pixels wide
        assert png.suggested_filename.endswith('.png')

        svg = minidom.parse(str(saved(page, 'svg').path()))
        assert svg.documentElement.tagName == 'svg'
        assert len(svg.getElementsByTagName('text')) > 20


# ---------------------------------------------------------------- servers

def answers(url):
    "Does a server answer, be it with an error?"
    try: urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError: return True
    except OSError: return False
    return True


@contextmanager
def server(command, url, log, **options):
    "A server of this machine, stopped at the end"
    options |= dict(stderr=subprocess.STDOUT)
    with log.open('w') as out, subprocess.Popen(command, stdout=out, **options) as p:
        try:
            end = time.monotonic() + 90
            while not answers(url):
                time.sleep(.2)
                if p.poll() is not None or time.monotonic() > end:
                    pytest.fail(f'{command[2]} did not start:\n{log.read_text()[-2000:]}')
            yield
        finally:
            p.terminate()
            try: p.wait(15)
            except subprocess.TimeoutExpired: p.kill()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@contextmanager
def served(folder):
    "A folder as any host would serve it"
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as s:
        Thread(target=s.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{s.server_port}'
        s.shutdown()


def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def private(tmp):
    "Folders of Jupyter's that are not the user's own"
    names = ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTERLAB_SETTINGS_DIR',
             'JUPYTERLAB_WORKSPACES_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR', 'MPLCONFIGDIR')
    folders = {n: str(tmp/n.lower()) for n in names}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return os.environ | folders | dict(PYTHONPATH=path)


LAB_READY = '''async (name) => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const app = window.jupyterapp;
  await app.restored;
  let w;
  for (let i = 0; i < 600 && !w; i++) {
    w = [...app.shell.widgets('main')].find((x) => x.context?.path === name);
    if (!w) await wait(50);
  }
  await w.context.ready;
  await w.revealed;
  await w.sessionContext.ready;
  app.shell.activateById(w.id);
  await wait(100);
  window.ecgenKernel = w.sessionContext.session.kernel;
  return app.commands.execute('notebook:run-all-cells');
}'''

ASK = r'''(code) => new Promise((done) => {
  const future = window.ecgenKernel.requestExecute({ code });
  let text = '';
  future.onIOPub = (m) => {
    if (m.header.msg_type === 'stream') text += m.content.text;
    if (m.header.msg_type === 'error') text += m.content.traceback.join('\n');
  };
  future.done.then(() => done(text));
})'''

LAB_OPTIONS = [
    '--no-browser', '--allow-root', '--ip=127.0.0.1', '--ServerApp.port_retries=0',
    '--IdentityProvider.token=', '--LabApp.news_url=', '--LabApp.expose_app_in_browser=True',
    '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
]


def lesson(source, target, keep):
    """A notebook's library and lesson cells up to the one that contains `keep`, without saved
    outputs and tests"""
    nb = json.loads(source.read_text(encoding='utf-8'))
    def text(cell): return ''.join(cell['source'])
    def is_wanted(cell): return cell['cell_type'] == 'code' and not text(cell).startswith('#| test')
    last = max(i for i, c in enumerate(nb['cells']) if keep in text(c))
    nb['cells'] = [c for c in nb['cells'][:last + 1] if is_wanted(c)]
    for c in nb['cells']: c['outputs'] = []
    target.write_text(json.dumps(nb), encoding='utf-8')


@contextmanager
def jupyterlab(tmp):
    "JupyterLab with the folder nb/ of a temporary one; its address"
    n = port()
    options = [*LAB_OPTIONS, f'--port={n}', f'--ServerApp.root_dir={tmp}/nb']
    command = [sys.executable, '-m', 'jupyterlab', *options]
    with server(command, f'http://127.0.0.1:{n}/api', tmp/'log', env=private(tmp)):
        yield f'http://127.0.0.1:{n}'


@pytest.mark.slow
def test_jupyterlab_with_a_live_kernel(open_page, tmp_path):
    if not find_spec('jupyterlab'):
        missing('needs JupyterLab: pip install -c constraints.txt -e ".[dev]"')
    (tmp_path/'nb').mkdir()
    source, target = ROOT/'nbs'/'7_use'/'01_widgets.ipynb', tmp_path/'nb'/'widgets.ipynb'
    lesson(source, target, 'AttentionExplorer(model, turns')
    cause = '[data-widget=CauseHighlight]'
    with jupyterlab(tmp_path) as address:
        page = open_page(f'{address}/lab/tree/widgets.ipynb?reset')
        page.set_default_timeout(90_000)
        def ask(code): return page.evaluate(ASK, code).strip()

        # all cells run, and several widgets are on the page
        page.wait_for_selector('.jp-Notebook .jp-Cell')
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        assert page.evaluate(LAB_READY, 'widgets.ipynb') is True
        page.wait_for_selector(f'{cause}[data-draws]')
        page.wait_for_selector('[data-widget=AttentionExplorer][data-draws]', state='attached')

        # numbers of the kernel
        scene = json.loads(ask('print(json.dumps(s))'))
        same_as_python(page, scene, 'soft', root=cause)

        # a gate and a threshold are chosen
        root = page.locator(cause)
        root.locator('[data-control=gate]').focus()
        page.keyboard.press('ArrowDown')
        root.locator('[data-control=threshold]').focus()
        for _ in range(3): page.keyboard.press('ArrowRight')
        wait_controls(page, threshold='0.53')
        wait_data(page, cause, 'hue', 'hard')

        # Python knows of them, and computes the same underlines
        page.wait_for_timeout(300)
        seen = page.evaluate(SEEN, cause)
        gate, threshold, gates = json.loads(ask('''
v = highlight.live()
print(json.dumps([v.gate, v.threshold, gate_values(s, v.gate, v.threshold).tolist()]))'''))
        assert [gate, threshold] == ['hard', .53]
        underlines = {int(i): under for i, (_, under, _) in seen.items()}
        assert underlines == {i: f'{int(3 * g)}px' for i, g in enumerate(gates)}

        # and the same attention
        root.locator('[data-word="5"]').first.hover()
        wait_starts(page, f'{cause} {SAY}', 'moving')
        said = root.locator(SAY).inner_text()
        before, after = map(float, re.findall(r'(?:before|after) ([\d.]+)', said))
        weights = json.loads(ask('''
g = gate_values(s, v.gate, v.threshold)
print([a[0, :, 0, 5].mean().item() for a in (attention(s), attention(s, g))])'''))
        assert [before, after] == pytest.approx(weights, abs=6e-5)
        assert 'null' not in root.inner_text()

        # Python moves the page, too
        ask("highlight.live().gate = 'soft'")
        wait_data(page, cause, 'hue', 'soft')


def door(log):
    "The address with its token, once the demo has printed it"
    end = time.monotonic() + 60
    def printed(): return re.search(r'http://127\.0\.0\.1:\d+/\?token=\S+', log.read_text())
    while not (found := printed()) and time.monotonic() < end: time.sleep(.2)
    assert found, 'the demo has not printed its address'
    return found[0]


@contextmanager
def demo(tmp):
    "`ecgen demo`; its address without and with the token"
    n = port()
    command = [sys.executable, '-m', 'ecgen.cli', 'demo', '--no-browser', '--port', str(n)]
    url = f'http://127.0.0.1:{n}'
    with server(command, f'{url}/voila/static/', tmp/'log', env=private(tmp), cwd=tmp):
        yield f'{url}/', door(tmp/'log')


@pytest.mark.slow
def test_demo_answers_a_typed_dialogue(open_page, tmp_path):
    if not find_spec('voila'): missing('needs Voila: pip install -c constraints.txt -e ".[dev]"')
    with demo(tmp_path) as (closed, opened):
        # without the token there is only a door
        with urllib.request.build_opener().open(closed) as login:
            assert 'login' in login.url
            assert b'Playground' not in login.read()

        # the first dialogue
        page = open_page(opened)
        page.wait_for_selector('[data-widget=Playground][data-draws]', timeout=60_000)
        assert 'Live' in page.inner_text('.ecgen-badge')
        assert page.inner_text(RESPONSE) == answer(SAMPLES[0])
        assert 'null' not in page.inner_text('body')

        # a dialogue that is typed
        page.click('text=New dialogue')
        page.keyboard.type(SISTER)
        page.keyboard.press('Enter')
        first = answer([SISTER])
        wait_equals(page, RESPONSE, first)

        # the turn's gate is closed, and opened
        page.press('[data-turn="0"]', 'Space')
        wait_equals(page, RESPONSE, answer([SISTER], [0]))
        page.press('[data-turn="0"]', 'Space')
        wait_equals(page, RESPONSE, first)

        # markup
        send(page, EVIL[0])
        last = answer([SISTER, first, EVIL[0]])
        wait_equals(page, RESPONSE, last)
        assert page.locator('.ecgen :is(img, script, style)').count() == 0

        # danger: a note stands in place of a response
        send(page, 'I want to die')
        page.wait_for_selector('.ecgen-note')
        assert 'crisis line' in page.inner_text('.ecgen-note p')
        assert page.locator('.ecgen-response').count() == 0

        # after another message, too
        send(page, 'I am glad.')
        page.wait_for_selector('.ecgen-stage :text("glad")')
        assert 'crisis line' in page.inner_text('.ecgen-note p')
        assert page.locator('.ecgen-response').count() == 0

        # until its message is taken back
        for _ in range(2):
            page.wait_for_selector('text=Undo >> visible=true')
            page.click('text=Undo')
            page.wait_for_selector('.ecgen[data-busy=false]')
        wait_equals(page, RESPONSE, last)

        # the page around is dark, too
        page.emulate_media(color_scheme='dark')
        page.wait_for_selector('[data-widget=Playground][data-theme=dark]')
        background = page.evaluate('getComputedStyle(document.body).backgroundColor')
        assert background == 'rgb(15, 14, 21)'


# ---------------------------------------------------------------- the model in the page

@pytest.fixture(scope='module')
def live_folder(tmp_path_factory):
    "The page with the weights in it, and the page with the weights beside it"
    folder = tmp_path_factory.mktemp('live')
    LivePlayground().save(folder/'alone.html')
    write_live(folder)
    return folder


@pytest.fixture(scope='module')
def live_server(live_folder):
    with served(live_folder) as address: yield address


IS_ANSWERED = '''() => document.querySelector('.ecgen').dataset.busy === 'false'
  && document.querySelector('.ecgen-response [data-word], .ecgen-note')'''

# How often the page became busy or idle since this was asked first
CHANGES = '''() => {
  const el = document.querySelector('.ecgen');
  if (window.busyChanges === undefined) {
    window.busyChanges = 0;
    new MutationObserver((records) => { window.busyChanges += records.length; })
      .observe(el, { attributes: true, attributeFilter: ['data-busy'] });
  }
  return window.busyChanges;
}'''

HAS_TURN = '''(text) => [...document.querySelectorAll('.ecgen-turn')]
  .some((e) => e.textContent.includes(text))'''


def wait_answered(page): page.wait_for_function(IS_ANSWERED)


def wait_ready(page):
    page.wait_for_selector('.ecgen[data-ready-ms]')
    wait_answered(page)


def answered(page, act):
    """Do something that asks the model, and wait for its answer; an answer may come faster than
    one can look"""
    before = page.evaluate(CHANGES)
    act()
    page.wait_for_function('n => window.busyChanges > n', arg=before)
    wait_answered(page)


def say_live(page, text):
    send(page, text)
    page.wait_for_function(HAS_TURN, arg=text[:20])
    wait_answered(page)


def response_of(page): return page.locator(RESPONSE).evaluate(WITHOUT_TOKENS).strip()


def by_python(turns, **question):
    ids = reference_answer(model(), turns, **question)['ids']
    return detokenize(model().vocab.decode(ids))


@pytest.mark.slow
@pytest.mark.parametrize('where', ['file', 'http'])
def test_live_page_answers_as_python_does(open_page, live_folder, live_server, where):
    url = (live_folder/'alone.html').as_uri() if where == 'file' else f'{live_server}/play.html'
    page = open_page(url)
    if where == 'http':
        page.wait_for_selector('.ecgen[data-draws]')
        assert page.get_attribute('.ecgen-badge', 'data-live') == 'false'
        assert page.inner_text('[data-control=load]') == 'Load the model (20 MB)'
        page.click('[data-control=load]')
    wait_ready(page)

    # a typed dialogue; nothing more is needed from the network
    page.click('text=New dialogue')
    say_live(page, SISTER)
    page.context.set_offline(True)
    assert response_of(page) == by_python([SISTER])

    # the turn is closed, opened, and left to the gate
    for hand in (dict(turns={0: 0}), dict(turns={0: 1}), {}):
        answered(page, lambda: page.press('[data-turn="0"]', 'Enter'))
        assert response_of(page) == by_python([SISTER], hand=hand), hand

    # words are closed and opened
    for i, words in ((13, {13: 0}), (12, {13: 0, 12: 0}), (12, {13: 0, 12: 1})):
        word = page.locator(f'.ecgen-stage > [role=listbox] [data-word="{i}"]').first
        answered(page, word.click)
        assert response_of(page) == by_python([SISTER], hand=dict(words=words)), words

    # other gates
    hand = dict(words={13: 0, 12: 1})
    for gate in ('hard', 'open', 'rule'):
        answered(page, lambda: choose(page, 'gate', gate))
        assert response_of(page) == by_python([SISTER], gate=gate, hand=hand), gate

    # the next message
    turns = [SISTER, response_of(page), 'I call her every night, but it is not the same.']
    say_live(page, turns[-1])
    assert response_of(page) == by_python(turns, gate='rule')


COMPARED = '''() => document.querySelectorAll('.ecgen-card').length === 2
  && document.querySelector('.ecgen-compare').textContent.includes('turn 3 closed')'''

GATE_NAMES = '''() => [...document.querySelectorAll('.ecgen-stage [aria-label*=gate]')]
  .map((e) => e.getAttribute('aria-label'))'''

OTHER_GATE_NAMES = f'''(before) => {{
  const names = {GATE_NAMES};
  return JSON.stringify(names()) !== JSON.stringify(before);
}}'''


@pytest.mark.slow
def test_live_page_shows_numbers_of_python(open_page, live_folder):
    turns = SAMPLES[1]
    w, said = trace(model(), turns), model().explain(turns).emotions
    page = open_page((live_folder/'alone.html').as_uri())
    wait_ready(page)
    choose(page, 'sample', '1')
    page.wait_for_function('() => document.querySelectorAll("[data-turn]").length === 3')
    wait_answered(page)

    # emotion bars
    page.click('.ecgen-emotions summary')
    for name, _, length in page.evaluate(BARS):
        assert length == pytest.approx(said[name], abs=2e-3), name

    # cause, gate, attention before and after, for the word under the pointer
    for step in (0, 2):
        page.locator('.ecgen-response [data-word]').nth(step).click()
        page.hover('.ecgen-stage > [role=listbox] >> nth=0 >> [data-word="4"]')
        wait_starts(page, SAY, f'{turns[0].split()[3]}: ')
        before, after = w.maps.before[0].mean(0)[step], w.maps.after[0].mean(0)[step]
        wanted = [x[4].item() for x in (w.cause, w.gate, before, after)]
        assert numbers(page) == pytest.approx(wanted, abs=6e-4)

    # two settings beside each other
    page.click('[data-control=keep]')
    page.press('[data-turn="2"]', 'Enter')
    page.wait_for_function(COMPARED)
    before, after = cause_mass(w).mean((1, 2)).tolist()
    card = page.locator('.ecgen-card').first.inner_text()
    assert f'{100 * before:.0f}% without gates, {100 * after:.0f}% with' in card
    responses = page.locator('.ecgen-card .ecgen-response p').all_inner_texts()
    assert responses == [w.response, by_python(turns, hand=dict(turns={2: 0}))]

    # Gumbel gates, drawn again
    page.click('[data-control=keep]')
    choose(page, 'gate', 'gumbel')
    wait_answered(page)
    gates = page.evaluate(GATE_NAMES)
    page.click('text=Draw again')
    page.wait_for_function(OTHER_GATE_NAMES, arg=gates)


def test_live_page_takes_text_as_text_and_notes_danger(open_page, live_folder):
    page = open_page((live_folder/'alone.html').as_uri())
    wait_ready(page)
    title = page.title()
    page.click('text=New dialogue')
    say_live(page, EVIL[0])
    assert response_of(page) == by_python([EVIL[0]])
    assert page.locator('.ecgen :is(img, script, style, iframe)').count() == 0
    assert page.title() == title

    # danger
    say_live(page, 'I don‘t want to live anymore.')
    assert 'crisis line' in page.inner_text('.ecgen-note')
    assert page.locator('.ecgen-response').count() == 0

    # the note stands until its message is taken back
    say_live(page, 'I am glad.')
    page.wait_for_selector('text=I am glad.')
    assert page.locator('.ecgen-response').count() == 0
    assert page.locator('.ecgen-emotions').count() == 0
    assert page.inner_text('.ecgen-play').count('crisis line') == 2

    # another dialogue
    page.click('text=New dialogue')
    say_live(page, 'I am glad.')
    assert response_of(page) == by_python(['I am glad.'])


def keeps_answers(page):
    "The recorded answers are there and can be chosen"
    assert 'the recorded answers stay' in page.inner_text('.ecgen-loader')
    assert 'Recorded' in page.inner_text('.ecgen-badge')
    close_turn(page)
    assert page.inner_text(RESPONSE) == answer(SAMPLES[0], [0])


def test_live_page_that_is_cut_short_keeps_recorded_answers(open_page, live_folder, tmp_path):
    cut_short = (live_folder/'alone.html').read_bytes()[:15_000_000]
    (tmp_path/'live.html').write_bytes(cut_short)
    page = open_page((tmp_path/'live.html').as_uri())
    wait_includes(page, '.ecgen-loader', 'could not be loaded')
    keeps_answers(page)


def test_live_page_beside_damaged_weights_keeps_recorded_answers(open_page, live_folder, tmp_path):
    shutil.copy(live_folder/'play.html', tmp_path)
    weights = next(live_folder.glob('model-*'))
    (tmp_path/weights.name).write_bytes(weights.read_bytes()[:9_000_000])
    with served(tmp_path) as address:
        page = open_page(f'{address}/play.html')
        page.click('[data-control=load]')
        wait_includes(page, '.ecgen-loader', 'could not be loaded')

        # mended: another try succeeds
        shutil.copy(weights, tmp_path)
        keeps_answers(page)
        page.click('[data-control=load]')
        wait_ready(page)


@pytest.mark.parametrize('theme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1100, 390])
def test_live_page_contrast_names_and_width(open_page, live_folder, theme, width):
    url, viewport = (live_folder/'alone.html').as_uri(), {'width': width, 'height': 1200}
    page = open_page(url, color_scheme=theme, viewport=viewport)
    wait_ready(page)
    page.click('[data-control=keep]')
    page.press('[data-turn="0"]', 'Enter')
    page.wait_for_selector('.ecgen-card')
    page.wait_for_timeout(300)
    assert page.get_attribute('.ecgen', 'data-theme') == theme
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS) == []
    assert width_of(page) <= width


# ---------------------------------------------------------------- the site

def need_page(name):
    if not (DOCS/name).exists(): missing('needs the site: python tools/nb.py docs')


@pytest.fixture(scope='module')
def site():
    "The built site, served as any host would serve it"
    need_page('index.html')
    with served(DOCS) as address: yield address


def widget_in(page, i=0): return page.frame_locator('iframe.ecgen-widget').nth(i)
def frame_of(page, i=0): return page.locator('iframe.ecgen-widget').nth(i)


def test_site_has_widgets_that_can_be_touched(site, open_page):
    for url in (f'{site}/index.html', (DOCS/'index.html').as_uri()):
        page = open_page(url)
        widget = widget_in(page, 1)
        widget.locator('[data-control=gate]').press('ArrowDown')
        widget.locator('.ecgen[data-hue=hard]').wait_for()
        widget.locator('[data-control=threshold]').press('End')
        widget.locator('.ecgen[data-closed=true]').wait_for()

        # the page around follows its height
        tall = frame_of(page, 1).bounding_box()['height']
        assert abs(tall - widget.locator('.ecgen').bounding_box()['height']) < 12


def test_first_page_has_widgets_and_no_pictures_of_them(site, open_page):
    page = open_page(f'{site}/index.html')
    assert page.locator('iframe.ecgen-widget').count() == 4
    assert page.locator('img[src*="shot-"]').count() == 0

    # loaded when somebody comes near
    for i in (2, 3):
        frame_of(page, i).scroll_into_view_if_needed()
        widget_in(page, i).locator('.ecgen[data-draws]').wait_for()

    # they work
    game = widget_in(page, 2)
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()
    assert game.locator(RESPONSE).inner_text() == answer(SAMPLES[0], [0])
    widget_in(page, 3).locator('.ecgen-small button').nth(5).press('Enter')


def test_first_page_has_the_model_itself(site, open_page):
    game = widget_in(open_page(f'{site}/index.html'))
    game.locator('[data-control=load]').click()
    game.locator('.ecgen[data-ready-ms]').wait_for()
    game.locator('.ecgen-response [data-word]').first.wait_for()
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()
    assert game.locator('.ecgen-badge').get_attribute('data-live') == 'true'
    assert game.locator('.ecgen-was span').inner_text() == answer(SAMPLES[0])

    # from a file nothing can be fetched
    game = widget_in(open_page((DOCS/'index.html').as_uri()))
    game.locator('[data-control=load]').click()
    game.locator('text=ecgen demo --page FILE --live writes one').wait_for()
    game.locator('[data-turn="0"]').press('Enter')
    game.locator('.ecgen-was').wait_for()


def test_site_pages_work_without_network(site, open_page):
    # maths, from this site's own files
    page = open_page(f'{site}/3_model/gated_attention.html')
    page.wait_for_selector('mjx-container')
    assert page.locator('#gated-weights, #gated_weights').count()
    assert page.locator('.next-page').count() == 1
    assert page.locator('.prev-page').count() == 1

    # search
    page.goto(f'{site}/search.html?q=gumbel')
    page.wait_for_selector('#search-results li a')

    # widgets
    page.goto(f'{site}/7_use/widgets.html')
    assert page.locator('iframe.ecgen-widget').count() == 2
    assert widget_in(page, 1).locator('.ecgen-small button').count() == 8


# ---------------------------------------------------------------- the width of pages

TEACHING = ['tour', '2_causes/*', '3_model/*']
CUT_OFF = '''() => {
  for (const d of document.querySelectorAll('article details')) d.open = true;
  return [...document.querySelectorAll('article pre')]
    .filter((e) => e.scrollWidth > e.clientWidth + 1)
    .map((e) => e.innerText.slice(0, 80));
}'''


@pytest.mark.slow
def test_code_is_not_cut_off_and_pages_do_not_scroll_sideways(open_page):
    need_page('tour.html')
    pages = []
    for name in TEACHING: pages += sorted(DOCS.glob(f'{name}.html'))
    assert len(pages) > 15
    wide = open_page('about:blank', viewport=dict(width=1280, height=900))
    narrow = open_page('about:blank', viewport=dict(width=390, height=900))
    cut, sideways = {}, []
    for path in pages:
        wide.goto(path.as_uri())
        if found := wide.evaluate(CUT_OFF): cut[path.name] = found
        narrow.goto(path.as_uri())
        if width_of(narrow) > 390: sideways.append(path.name)
    assert not cut and not sideways
