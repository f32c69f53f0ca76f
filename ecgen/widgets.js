// The widgets of ecgen: CauseHighlight, AttentionExplorer, Playground. live_page.js adds the
// playground with the model in the page.
//
// One ES module without dependencies. anywidget calls `render` in a notebook with a live kernel; a
// page of its own (a file, or an iframe of the site) calls `standalone` with the same state as
// plain data. What it shows was recorded by ecgen/use/widgets.py: cause log-odds and ungated
// attention weights. Gates and gated weights are computed here, so they need no kernel.
//
// Text of dialogues is data: it gets into the page only through `textContent` and attributes,
// never as markup.

// ---------------------------------------------------------------- numbers

export function sigmoid(z) {
  return 1 / (1 + Math.exp(-z));
}

/** Float32 numbers, little-endian, from base64. */
export function floats(base64) {
  const text = atob(base64 || ''),
    bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

/**
 * Cause logit of each word: its own, or where whole utterances are looked at that of its turn's
 * mean probability.
 */
export function causeLogits(scene, view) {
  if (view.level !== 'utterances') return scene.logit;
  const sum = {},
    many = {},
    { turn } = scene;
  for (let i = 1; i < turn.length; i++) {
    sum[turn[i]] = (sum[turn[i]] || 0) + sigmoid(scene.logit[i]);
    many[turn[i]] = (many[turn[i]] || 0) + 1;
  }
  return scene.logit.map((z, i) => {
    const p = sum[turn[i]] / many[turn[i]];
    return i ? Math.log(p / (1 - p)) : z;
  });
}

/** Gate of each word of the context; `ecgen.use.widgets.gate_values` is the same in Python. */
export function gateValues(scene, view, closed = []) {
  const kinds = {
    soft: (z) => sigmoid(z),
    hard: (z) => (sigmoid(z) > view.threshold ? 1 : 0),
    gumbel: (z, i) =>
      sigmoid((z + scene.noise[view.draw % scene.noise.length][i]) / view.temperature),
    open: () => 1,
  };
  const kind = kinds[view.gate] || ((z, i) => scene.fixed[view.gate][i]);
  const g = Float64Array.from(causeLogits(scene, view), kind);
  if (scene.cls_open) g[0] = 1;
  for (let i = 1; i < g.length; i++) if (closed.includes(scene.turn[i])) g[i] = 0;
  // as in the model: where nothing would be open, everything is
  return g.some((x) => x > 0) ? g : g.fill(1);
}

/** Eq. 5 on recorded weights: a_i g_i / sum_j a_j g_j. */
export function regate(before, g, out) {
  let sum = 0;
  for (let i = 0; i < g.length; i++) sum += out[i] = before[i] * g[i];
  for (let i = 0; i < g.length; i++) out[i] = sum > 0 ? out[i] / sum : 0;
  return out;
}

/**
 * The recorded attention of a scene. `head` -1 is the mean of all heads: each is gated, then they
 * are averaged.
 */
class Attention {
  constructor(scene) {
    // numbers, where the model is in the page
    this.before = typeof scene.before === 'string' ? floats(scene.before) : scene.before;
    [this.layers, this.heads, this.steps, this.words] = scene.shape;
    this.row = new Float64Array(this.words);
  }

  at(layer, head, step) {
    const begin = ((layer * this.heads + head) * this.steps + step) * this.words;
    return this.before.subarray(begin, begin + this.words);
  }

  /** Weights of one response word over the context; gated where `g` is given. */
  weights(layer, head, step, g, out = new Float64Array(this.words)) {
    const heads = head < 0 ? [...Array(this.heads).keys()] : [head];
    out.fill(0);
    for (const h of heads) {
      const a = g ? regate(this.at(layer, h, step), g, this.row) : this.at(layer, h, step);
      for (let i = 0; i < a.length; i++) out[i] += a[i] / heads.length;
    }
    return out;
  }

  /** All rows of a head, one after the other: steps x words. */
  map(layer, head, g) {
    const res = new Float64Array(this.steps * this.words);
    for (let m = 0; m < this.steps; m++)
      this.weights(layer, head, m, g, res.subarray(m * this.words, (m + 1) * this.words));
    return res;
  }
}

// ---------------------------------------------------------------- building the page

/** An element. Properties: `text`, `on…` handlers, else attributes. */
function make(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === null || v === undefined || v === false) continue;
    if (k === 'text') el.textContent = v;
    else if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else el.setAttribute(k, v === true ? '' : v);
  }
  // JupyterLab takes the arrow keys for itself unless the focused element says this (an ancestor
  // is not enough)
  if ('tabindex' in props || ['INPUT', 'SELECT', 'BUTTON', 'SUMMARY'].includes(el.tagName))
    el.setAttribute('data-lm-suppress-shortcuts', 'true');
  el.append(...children.filter((c) => c !== null && c !== undefined));
  return el;
}

const modelName = (name) => (name === 'ecgen-default' ? 'shipped model' : name);

/** How the response of a scene came about. */
function written(s) {
  if (s.note) return 'The model must not answer this, so no response was written.';
  const drawn = s.candidates > 1 ? `best of ${s.candidates}, ` : '';
  const how =
    s.k === undefined
      ? ''
      : s.k === 1
        ? 'greedy, '
        : `${drawn}top-k with k = ${s.k}, seed ${s.seed}, `;
  return `The response is recorded: ${how}gate ${s.gate}.`;
}

let count = 0; // so that ids differ where several widgets stand on a page
const newId = (name) => `ecgen-${name}-${++count}`;
const percent = (p) => (p < 0.005 && p > 0 ? '<1%' : `${Math.round(100 * p)}%`);
const fixed = (x, digits = 3) => x.toFixed(digits);

/**
 * The theme of the page that we are in: JupyterLab, Furo, Colab, VS Code say it; else what the
 * reader's system prefers.
 */
function pageTheme() {
  const { body, documentElement: html } = document;
  // said for us, as by the page of `ecgen demo`
  if (['dark', 'light'].includes(html.dataset.ecgenTheme)) return html.dataset.ecgenTheme;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === 'true' ? 'light' : 'dark';
  for (const t of [body.dataset.theme, html.dataset.theme, html.getAttribute('theme')])
    if (t === 'dark' || t === 'light') return t;
  if (/vscode-(dark|high-contrast)/.test(body.className)) return 'dark';
  if (body.classList.contains('vscode-light')) return 'light';
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

/** Call back now and whenever the theme changes; returns what stops it. */
function followTheme(callback) {
  const media = matchMedia('(prefers-color-scheme: dark)'),
    tell = () => callback(pageTheme());
  const seen = new MutationObserver(tell);
  for (const el of [document.body, document.documentElement])
    seen.observe(el, { attributes: true });
  media.addEventListener('change', tell);
  tell();
  return () => {
    seen.disconnect();
    media.removeEventListener('change', tell);
  };
}

/** Colours for canvases and pictures; the style sheet has the same. */
const COLORS = {
  light: {
    page: '#ffffff',
    card: '#f5f3fb',
    ink: '#1c1a24',
    soft: '#5b566b',
    line: '#d9d5e6',
    less: '#b45309',
    zero: '#faf9fd',
    hues: {
      soft: { tint: '#a78bfa', mark: '#5b21b6', deep: '#4c1d95' },
      hard: { tint: '#7fb0fb', mark: '#1d4ed8', deep: '#1e3a8a' },
    },
  },
  dark: {
    page: '#17151f',
    card: '#221f2e',
    ink: '#f2f0fa',
    soft: '#b3adc6',
    line: '#3a3550',
    less: '#fbbf24',
    zero: '#221f2e',
    hues: {
      soft: { tint: '#6d4fc4', mark: '#c4b5fd', deep: '#d5c9ff' },
      hard: { tint: '#2c5fb2', mark: '#93c5fd', deep: '#bfdbfe' },
    },
  },
};
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const hueOf = (gate) => (gate === 'hard' || gate === 'gumbel' ? 'hard' : 'soft');

/** How strongly a word is tinted: by its probability, and not at all behind a closed gate. */
export function tint(gate, p, g) {
  if (gate === 'gumbel') return g;
  if (g === 0) return 0;
  return gate === 'soft' || gate === 'open' ? p : Math.max(p, 0.25);
}

// ---------------------------------------------------------------- controls

const GATES = {
  soft: 'soft: the probability',
  hard: 'hard: above a threshold',
  gumbel: 'hard as in training: Gumbel-Softmax',
  open: 'open: every word',
  rule: 'rule: last two speaker turns',
  random: 'random: as many as hard',
};

/** A gate, and what belongs to it, for a caption. */
function gateName(v) {
  const name = GATES[v.gate];
  if (v.gate === 'hard') return `${name} ${fixed(v.threshold, 2)}`;
  if (v.gate !== 'gumbel') return name;
  return `${name}, temperature ${fixed(v.temperature, 2)}, draw ${v.draw + 1}`;
}

/** Labelled controls that write into the model and are told when it changes. */
class Controls {
  constructor(model, changed) {
    Object.assign(this, {
      model,
      changed,
      parts: {},
      box: make('div', { class: 'ecgen-controls' }),
    });
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
    this.changed();
  }

  field(name, label, input, more) {
    const id = newId(name);
    input.id = id;
    input.dataset.control = name;
    const row = make(
      'div',
      { class: 'ecgen-field' },
      make('label', { for: id, text: label }),
      input,
      more,
    );
    this.box.append(row);
    return row;
  }

  slider(name, label, { min, max, step, say = (v) => fixed(v, 2), hint }) {
    const out = make('output', { class: 'ecgen-value' });
    const input = make('input', {
      type: 'range',
      min,
      max,
      step,
      oninput: () => this.set(name, +input.value),
    });
    const row = this.field(name, label, input, out);
    this.parts[name] = (disabled) => {
      const text = say(+this.model.get(name));
      input.value = this.model.get(name);
      if (out.textContent !== text) {
        out.textContent = text;
        input.setAttribute('aria-valuetext', text);
      }
      input.disabled = row.dataset.off = !!disabled;
      row.title = disabled ? hint : '';
    };
  }

  choice(name, label, options, number = false) {
    const input = make('select', {
      onchange: () => this.set(name, number ? +input.value : input.value),
    });
    for (const [value, text] of options) input.append(make('option', { value, text }));
    this.field(name, label, input);
    this.parts[name] = () => {
      input.value = this.model.get(name);
    };
  }

  button(text, label, action) {
    const el = make('button', {
      type: 'button',
      class: 'ecgen-button',
      'aria-label': label,
      text,
      onclick: action,
    });
    this.box.append(el);
    return el;
  }

  /** Which gate, and what belongs to it. */
  gating(scene) {
    this.choice('level', 'Cause of', [
      ['words', 'words'],
      ['utterances', 'whole utterances'],
    ]);
    this.choice(
      'gate',
      'Gate',
      Object.entries(GATES).filter(
        ([k]) => k in scene.fixed || ['soft', 'hard', 'gumbel', 'open'].includes(k),
      ),
    );
    this.slider('threshold', 'Threshold', { min: 0, max: 1, step: 0.01, hint: 'for hard gates' });
    this.slider('temperature', 'Gumbel temperature', {
      min: 0.1,
      max: 5,
      step: 0.05,
      hint: 'for Gumbel-Softmax gates',
    });
    this.again = this.button('Draw again', 'Draw other Gumbel noise', () =>
      this.set('draw', (this.model.get('draw') + 1) % scene.noise.length),
    );
  }

  where(shape) {
    const [layers, heads] = shape;
    this.choice(
      'layer',
      'Layer',
      Array.from({ length: layers }, (_, i) => [i, `${i + 1} of ${layers}`]),
      true,
    );
    this.choice(
      'head',
      'Head',
      [
        [-1, 'mean of all'],
        ...Array.from({ length: heads }, (_, i) => [i, `${i + 1} of ${heads}`]),
      ],
      true,
    );
  }

  sync() {
    const gate = this.model.get('gate');
    for (const [name, show] of Object.entries(this.parts))
      show(
        (name === 'threshold' && gate !== 'hard') || (name === 'temperature' && gate !== 'gumbel'),
      );
    if (this.again) this.again.hidden = gate !== 'gumbel';
  }
}

// ---------------------------------------------------------------- words and bars

/** A list of words of which one is current: by hovering, by a click, by the arrow keys. */
class Words {
  constructor(label, chosen, hovered = chosen) {
    Object.assign(this, { items: [], order: [], current: -1 });
    this.box = make('div', {
      role: 'listbox',
      'aria-label': label,
      'aria-orientation': 'horizontal',
    });
    const at = (e) => {
      const i = e.target.closest?.('[data-word]')?.dataset.word;
      return i === undefined ? null : +i;
    };
    this.box.addEventListener('mouseover', (e) => at(e) !== null && hovered(at(e)));
    this.box.addEventListener('click', (e) => at(e) !== null && chosen(at(e)));
    this.box.addEventListener('focusin', (e) => at(e) !== null && chosen(at(e)));
    this.box.addEventListener('keydown', (e) => {
      const i = at(e),
        order = this.order.filter((j) => this.items[j].getClientRects().length),
        n = order.indexOf(i); // tokens may be hidden
      const next = {
        ArrowRight: n + 1,
        ArrowDown: n + 1,
        ArrowLeft: n - 1,
        ArrowUp: n - 1,
        Home: 0,
        End: order.length - 1,
      }[e.key];
      if (i === null || next === undefined || !(next in order)) return;
      e.preventDefault();
      e.stopPropagation();
      this.items[order[next]].focus();
    });
  }

  add(i, text, cls = '') {
    const el = make('span', {
      class: `ecgen-word ${cls}`,
      role: 'option',
      tabindex: -1,
      'data-word': i,
      'aria-selected': 'false',
      text,
      dir: cls ? 'ltr' : null,
    }); // a token says nothing of the direction of its turn
    this.items[i] = el;
    this.order.push(i);
    if (!cls && !this.door) this.enter(el);
    return el;
  }

  /**
   * The one word that the tab key reaches: the current one, or the first; never a token, which may
   * be hidden.
   */
  enter(el) {
    if (this.door) this.door.tabIndex = -1;
    this.door = el;
    el.tabIndex = 0;
  }

  select(i) {
    if (i === this.current) return;
    this.items[this.current]?.setAttribute('aria-selected', false);
    this.items[i]?.setAttribute('aria-selected', true);
    if (this.items[i] && !this.items[i].classList.contains('ecgen-token'))
      this.enter(this.items[i]);
    this.current = i;
  }

  /** Tint and underline a word; `name` is what a screen reader says. */
  paint(i, alpha, under, name) {
    const el = this.items[i];
    if (!el) return;
    const a = fixed(alpha),
      u = `${Math.round(3 * under)}px`;
    if (el.dataset.tint !== a) {
      el.dataset.tint = a;
      el.style.setProperty('--p', a);
    }
    if (el.dataset.under !== u) {
      el.dataset.under = u;
      el.style.setProperty('--u', u);
    }
    if (name && el.getAttribute('aria-label') !== name) el.setAttribute('aria-label', name);
  }
}

/**
 * The turns of a dialogue as bubbles, their words in `words`; [CLS] and [SEP] are tokens, too, and
 * attention falls on them.
 */
function bubbles(scene, words, tokens = true) {
  const res = scene.turns.map((turn, t) => {
    const text = make('p', {
      dir: 'auto',
      role: 'group',
      'aria-label': `${turn.speaker}, turn ${t + 1}`,
    });
    if (tokens && t === 0) text.append(words.add(0, scene.context[0], 'ecgen-token'));
    for (const [piece, i] of turn.pieces) text.append(i < 0 ? piece : words.add(i, piece));
    if (tokens && turn.end !== undefined)
      text.append(words.add(turn.end, scene.context[turn.end], 'ecgen-token'));
    return make(
      'div',
      { class: `ecgen-turn ecgen-${turn.speaker}` },
      make('small', { text: turn.speaker, 'aria-hidden': 'true' }),
      text,
    );
  });
  words.box.append(...res);
  return res;
}

/** The response as it is read, each of its words in `words`; the last one is <end>. */
function spoken(scene, words) {
  const line = make('p', {
      dir: 'auto',
      role: 'group',
      'aria-label': scene.note ? 'note' : 'response',
    }),
    last = scene.words.length - 1,
    low = scene.response.toLowerCase(),
    cut = [];
  if (scene.note) {
    line.append(scene.note);
    words.box.append(line);
    return;
  } // it must not be answered
  let end = 0;
  for (const w of scene.words.slice(0, last)) {
    // where each word stands in the text; lower case is as long in all but a few scripts
    const begin = low.length === scene.response.length ? low.indexOf(w.toLowerCase(), end) : -1;
    if (begin < 0 || scene.response.slice(end, begin).trim()) {
      cut.length = 0;
      break;
    }
    cut.push([
      scene.response.slice(end, begin),
      scene.response.slice(begin, (end = begin + w.length)),
    ]);
  }
  if (cut.length === last && scene.response.slice(end).trim() === '')
    cut.forEach(([between, w], m) => line.append(between, words.add(m, w)));
  else scene.words.slice(0, last).forEach((w, m) => line.append(words.add(m, w), ' '));
  line.append(words.add(last, scene.words[last], 'ecgen-token'));
  words.box.append(line);
}

/** A switch for what the model reads and writes besides words: [CLS], [SEP], <end>. */
function tokenSwitch(root) {
  const input = make('input', {
    type: 'checkbox',
    'data-control': 'tokens',
    onchange: () => {
      root.dataset.tokens = input.checked;
    },
  });
  input.checked = root.dataset.tokens === 'true';
  return make('label', { class: 'ecgen-switch' }, input, ' show [CLS], [SEP] and <end>');
}

/** The 32 emotions, most probable first. */
function emotionBars(emotions, first = 5) {
  const row = ([name, p]) =>
    make(
      'li',
      {},
      make('span', { class: 'ecgen-name', text: name }),
      make('span', { class: 'ecgen-bar' }, make('i', { style: `width:${(100 * p).toFixed(1)}%` })),
      make('b', { text: percent(p) }),
    );
  const more = make(
    'details',
    {},
    make('summary', { text: `All ${emotions.length} emotions` }),
    make(
      'ol',
      { start: first + 1, 'aria-label': 'other emotions' },
      ...emotions.slice(first).map(row),
    ),
  );
  return make(
    'section',
    { class: 'ecgen-emotions', 'aria-label': 'emotion of the speaker' },
    make('h4', { text: 'Emotion of the speaker' }),
    make('ol', { 'aria-label': 'most probable emotions' }, ...emotions.slice(0, first).map(row)),
    more,
  );
}

// ---------------------------------------------------------------- pictures

const LETTER = /\p{L}/u,
  FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Which way a text is read: as its first letter is; '' where no letter tells. */
export function direction(text) {
  for (const c of text) if (LETTER.test(c)) return FROM_RIGHT.test(c) ? 'rtl' : 'ltr';
  return '';
}

/**
 * The order in which the texts of a line stand beside each other, from left to right;
 * `ecgen.use.show.visual` is the same in Python.
 */
export function visual(texts, base) {
  let last = base;
  const own = texts.map((t) => {
      const way = direction(t);
      last = way || last;
      return way || /\p{Nd}/u.test(t) ? last : '';
    }),
    runs = []; // a number goes with the word before it
  const ways = own.map((_, i) => {
    const before =
        own
          .slice(0, i + 1)
          .filter(Boolean)
          .at(-1) || base,
      after = own.slice(i).find(Boolean) || base;
    return before === after ? before : base; // what tells nothing goes with its neighbours
  });
  ways.forEach((way, i) => (i > 0 && way === ways[i - 1] ? runs.at(-1).push(i) : runs.push([i])));
  for (const run of runs) if (ways[run[0]] === 'rtl') run.reverse();
  return { order: (base === 'rtl' ? runs.reverse() : runs).flat(), ways };
}

const escape = (s) =>
  String(s)
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '');

/** A picture, drawn piece by piece from the top. */
class Picture {
  constructor(colors, hue, width = 760) {
    Object.assign(this, { colors, hue: colors.hues[hue], width, y: 20, parts: [] });
    this.pen = make('canvas').getContext('2d');
  }

  wide(text, size = 15, bold = false) {
    this.pen.font = `${bold ? '600 ' : ''}${size}px system-ui, sans-serif`;
    return this.pen.measureText(text).width;
  }

  text(
    x,
    y,
    text,
    {
      size = 15,
      fill = this.colors.ink,
      bold = false,
      anchor = 'start',
      turn = 0,
      way = 'ltr',
    } = {},
  ) {
    const at = [x.toFixed(1), y.toFixed(1)];
    const side = way === 'rtl' ? 'end" direction="rtl' : anchor;
    const weight = bold ? ' font-weight="600"' : '';
    const turned = turn ? ` transform="rotate(${turn} ${at.join(' ')})"` : '';
    this.parts.push(
      `<text x="${at[0]}" y="${at[1]}" font-size="${size}" fill="${fill}" text-anchor="${side}"` +
        ` xml:space="preserve"${weight}${turned}>${escape(text)}</text>`,
    );
  }

  rect(x, y, w, h, fill, { opacity = 1, rx = 0, line = '' } = {}) {
    const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}"`;
    const size = `width="${w.toFixed(1)}" height="${h.toFixed(1)}"`;
    const faint = opacity < 1 ? ` fill-opacity="${opacity.toFixed(3)}"` : '';
    const edge = line ? ` stroke="${line}"` : '';
    this.parts.push(`<rect ${place} ${size} rx="${rx}" fill="${fill}"${faint}${edge}/>`);
  }

  /** Pieces [text, tint, underline] as lines in a bubble. */
  bubble(label, pieces, right, frame = false) {
    const room = this.width - 120,
      left = right ? 96 : 24,
      lines = [[]];
    let x = 0;
    for (const [text, a, u] of pieces.flatMap(([t, ...rest]) =>
      t
        .split(/(\s+)/)
        .filter(Boolean)
        .map((s) => [s.replace(/\s+/g, ' '), ...rest]),
    )) {
      const w = this.wide(text);
      if (x + w > room - 28 && x > 0) {
        lines.push([]);
        x = 0;
        if (text === ' ') continue;
      }
      lines.at(-1).push([text, x, w, a, u]);
      x += w;
    }
    const long = lines.map((l) => l.reduce((sum, [, , w]) => sum + w, 0)),
      inner = Math.max(...long);
    const base = direction(pieces.map(([t]) => t).join('')) || 'ltr',
      ways = [];
    lines.forEach((line, n) => {
      const { order, ways: of } = visual(
        line.map(([t]) => t),
        base,
      );
      let at = base === 'rtl' ? inner - long[n] : 0;
      for (const i of order) {
        line[i][1] = at;
        at += line[i][2];
      }
      ways.push(of);
    });
    const width = inner + 28,
      from = right ? this.width - 24 - width : left;
    this.text(right ? this.width - 24 : left, this.y + 8, label, {
      size: 12,
      fill: this.colors.soft,
      anchor: right ? 'end' : 'start',
    });
    this.rect(
      from,
      this.y + 14,
      width,
      26 * lines.length + 14,
      frame ? this.colors.page : this.colors.card,
      { rx: 14, line: frame ? this.hue.mark : '' },
    );
    lines.forEach((line, n) => {
      const y = this.y + 38 + 26 * n;
      for (const [, at, w, a] of line)
        if (a > 0) this.rect(from + 14 + at, y - 16, w, 22, this.hue.tint, { opacity: a, rx: 3 });
      for (const [, at, w, , u] of line)
        if (u > 0) this.rect(from + 14 + at, y + 4, w, Math.round(3 * u), this.hue.mark);
      line.forEach(([text, at], i) => this.text(from + 14 + at, y, text, { way: ways[n][i] }));
    });
    this.y += 26 * lines.length + 44;
  }

  bars(rows) {
    this.y += 8;
    rows.forEach(([name, p], n) => {
      this.text(24, this.y + 12, name, { bold: n === 0 });
      this.rect(150, this.y, this.width - 260, 14, this.colors.card, { rx: 3 });
      this.rect(150, this.y, (this.width - 260) * p, 14, this.hue.tint, { rx: 3 });
      this.text(this.width - 24, this.y + 12, percent(p), { bold: n === 0, anchor: 'end' });
      this.y += 24;
    });
  }

  svg(title) {
    const [width, height] = [this.width, Math.ceil(this.y + 16)];
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"` +
      ` viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" role="img">` +
      `<title>${escape(title)}</title>` +
      `<rect width="100%" height="100%" fill="${this.colors.page}"/>${this.parts.join('')}</svg>`
    );
  }
}

function download(name, blob) {
  const url = URL.createObjectURL(blob),
    link = make('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function png(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = make('canvas', { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/png'));
}

/** Two buttons that save what `draw` returns. */
function exports(name, draw, say) {
  const save = async (kind) => {
    try {
      download(
        `${name}.${kind}`,
        kind === 'svg' ? new Blob([draw()], { type: 'image/svg+xml' }) : await png(draw()),
      );
    } catch (e) {
      say(`The picture could not be saved (${e.message}).`);
    }
  };
  const button = (kind) =>
    make('button', {
      type: 'button',
      class: 'ecgen-button',
      'data-export': kind,
      'aria-label': `Save as ${kind.toUpperCase()}`,
      text: kind.toUpperCase(),
      onclick: () => save(kind),
    });
  return make('span', { class: 'ecgen-exports' }, button('png'), button('svg'));
}

// ---------------------------------------------------------------- heat maps

/**
 * A heat map on a canvas, one pixel a cell, stretched by the style sheet; hovering and arrow keys
 * choose a cell.
 */
class HeatMap {
  constructor(title, scene, chosen) {
    const [, , rows, cols] = scene.shape;
    Object.assign(this, { title, rows, cols, scene, chosen, cell: [-1, -1] });
    this.canvas = make('canvas', { width: cols, height: rows, class: 'ecgen-cells' });
    this.names = make('canvas', { class: 'ecgen-columns', 'aria-hidden': 'true' });
    this.ring = make('div', { class: 'ecgen-ring', hidden: true });
    this.field = make(
      'div',
      {
        class: 'ecgen-field-cells',
        tabindex: 0,
        role: 'application',
        'aria-roledescription': 'heat map',
        'aria-label': `${title}: ${rows} response words by ${cols} dialogue words; arrow keys move`,
      },
      this.canvas,
      this.ring,
    );
    this.labels = make(
      'div',
      { class: 'ecgen-rows', 'aria-hidden': 'true' },
      ...scene.words.map((w) => make('span', { text: w, dir: 'auto' })),
    );
    this.frame = make(
      'div',
      { class: 'ecgen-map', style: `--rows:${rows};--cols:${cols}` },
      this.labels,
      this.field,
      this.names,
    );
    this.el = make(
      'figure',
      { class: 'ecgen-figure' },
      make('figcaption', { text: title }),
      make('div', { class: 'ecgen-scroll' }, this.frame),
    );
    const inside = (e) => {
      const box = this.canvas.getBoundingClientRect();
      return [
        Math.floor(((e.clientY - box.top) / box.height) * rows),
        Math.floor(((e.clientX - box.left) / box.width) * cols),
      ];
    };
    this.field.addEventListener('mousemove', (e) => {
      const [m, i] = inside(e);
      if (m >= 0 && m < rows && i >= 0 && i < cols) chosen(m, i);
    });
    this.field.addEventListener('focus', () => this.cell[0] < 0 && chosen(0, 0));
    this.field.addEventListener('keydown', (e) => {
      const [dm, di] =
        { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[e.key] ||
        [];
      if (dm === undefined) return;
      e.preventDefault();
      e.stopPropagation();
      chosen(
        Math.min(rows - 1, Math.max(0, this.cell[0] + dm)),
        Math.min(cols - 1, Math.max(0, this.cell[1] + di)),
      );
    });
  }

  /** `values` rows x cols; `color` a number -> [r, g, b]. */
  draw(values, color) {
    const pen = this.canvas.getContext('2d'),
      image = pen.createImageData(this.cols, this.rows);
    paintCells(image.data, values, color);
    pen.putImageData(image, 0, 0);
  }

  /** Names of the columns, turned, where there is room for them. */
  name(colors) {
    const width = this.field.clientWidth,
      step = width / this.cols,
      ratio = window.devicePixelRatio || 1;
    const high = step >= 11 ? 72 : 0,
      left = 28; // a turned name begins to the left of its column
    this.names.width = (width + left) * ratio;
    this.names.height = high * ratio;
    this.names.style.cssText = `width:${width + left}px;height:${high}px;margin-left:-${left}px`;
    if (!high) return;
    const pen = this.names.getContext('2d');
    pen.scale(ratio, ratio);
    pen.font = '11px system-ui, sans-serif';
    pen.textAlign = 'right';
    this.scene.context.forEach((w, i) => {
      pen.save();
      pen.fillStyle = i === this.cell[1] ? colors.ink : colors.soft;
      pen.translate(left + (i + 0.75) * step, 6);
      pen.rotate(-1.05);
      pen.fillText(w.length > 11 ? `${w.slice(0, 10)}…` : w, 0, 4);
      pen.restore();
    });
  }

  select(m, i) {
    this.cell = [m, i];
    this.ring.hidden = m < 0;
    if (m >= 0) this.ring.style.cssText = `--m:${m};--i:${i}`;
    [...this.labels.children].forEach((el, n) => el.classList.toggle('ecgen-current', n === m));
  }
}

function paintCells(data, values, color) {
  for (let n = 0, k = 0; n < values.length; n++) {
    const [r, g, b] = color(values[n]);
    data[k++] = r;
    data[k++] = g;
    data[k++] = b;
    data[k++] = 255;
  }
}

/** A table of colours from one to another, so that a cell costs a look-up. */
function ramp(from, to) {
  const [a, b] = [rgb(from), rgb(to)];
  return Array.from({ length: 256 }, (_, n) =>
    a.map((v, k) => Math.round(v + ((b[k] - v) * n) / 255)),
  );
}

/**
 * Colour of a weight: the root of its share of the largest, so that small weights can be seen
 * beside large ones.
 */
const weightColor = (table, top) => (v) =>
  table[Math.min(255, Math.round(255 * Math.sqrt(Math.max(0, v) / top)))];
const changeColor = (less, more, top) => (v) =>
  (v < 0 ? less : more)[Math.min(255, Math.round(255 * Math.sqrt(Math.abs(v) / top)))];

// ---------------------------------------------------------------- the widgets

/** What all widgets share: a root, its theme, one redraw a frame. */
class Widget {
  constructor(model, el, name) {
    Object.assign(this, { model, stops: [], pending: 0, draws: [] });
    this.root = make('div', {
      class: 'ecgen',
      'data-widget': name,
      role: 'region',
      'aria-label': name,
    });
    this.say = make('div', { class: 'ecgen-say', role: 'status', 'aria-live': 'polite' });
    this.later = () => {
      this.pending ||= requestAnimationFrame(() => {
        this.pending = 0;
        this.redraw();
      });
    };
    el.append(this.root);
  }

  listen(names) {
    for (const n of names) {
      this.model.on(`change:${n}`, this.later);
      this.stops.push(() => this.model.off(`change:${n}`, this.later));
    }
  }

  begin() {
    this.stops.push(
      followTheme((theme) => {
        this.root.dataset.theme = theme;
        this.later();
      }),
    );
    this.redraw();
  }

  redraw() {
    if (!this.draw) return;
    const start = performance.now();
    this.draw();
    this.root.dataset.drawMs = (performance.now() - start).toFixed(2);
    this.root.dataset.draws = +(this.root.dataset.draws || 0) + 1;
  }

  get colors() {
    return COLORS[this.root.dataset.theme] || COLORS.light;
  }
  get view() {
    return Object.fromEntries(
      ['gate', 'threshold', 'temperature', 'draw', 'layer', 'head', 'step', 'word'].map((k) => [
        k,
        this.model.get(k),
      ]),
    );
  }

  set(name, value) {
    if (this.model.get(name) === value) return;
    this.model.set(name, value);
    this.model.save_changes();
    this.later();
  }

  /**
   * What one word of the response attends to: up without gates, down with them; on `this.strip`.
   */
  bars(before, after, word) {
    const width = this.strip.clientWidth || 600,
      high = 92,
      half = high / 2,
      ratio = window.devicePixelRatio || 1,
      n = before.length;
    if (this.strip.width !== Math.round(width * ratio)) {
      this.strip.width = Math.round(width * ratio);
      this.strip.height = high * ratio;
    }
    const pen = this.strip.getContext('2d'),
      top = Math.max(1e-9, ...before, ...after),
      step = width / n,
      { colors } = this,
      hue = colors.hues[this.root.dataset.hue];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, high);
    if (word >= 0) {
      pen.fillStyle = colors.line;
      pen.fillRect(word * step, 0, step, high);
    }
    for (let i = 0; i < n; i++) {
      const w = Math.max(1, step - 2),
        x = i * step + (step - w) / 2;
      pen.fillStyle = colors.soft;
      pen.fillRect(x, half - (half * before[i]) / top, w, (half * before[i]) / top);
      pen.fillStyle = hue.mark;
      pen.fillRect(x, half + 1, w, (half * after[i]) / top);
    }
    pen.fillStyle = colors.line;
    pen.fillRect(0, half, width, 1);
    this.strip.setAttribute('aria-label', this.caption.textContent);
  }

  stop() {
    cancelAnimationFrame(this.pending);
    this.stops.forEach((f) => f());
  }
}

const VIEW = [
  'level',
  'gate',
  'threshold',
  'temperature',
  'draw',
  'layer',
  'head',
  'step',
  'word',
  'scene',
];
const RECOMPUTED =
  'Gates and gated attention are computed in this page (Eq. 5) from the recorded weights of each ' +
  'layer. Another gate in one layer would also change what the layers above it see; that, and ' +
  'another response, needs the model.';

/**
 * Whether no word of an answer is left open: all turns closed by hand, or the others by their
 * gate.
 */
function allShut(a) {
  if (a.closed.length === a.turns.length) return true;
  if (a.gate !== 'hard' && a.gate !== 'random') return false;
  if (a.cls_open) return a.gates.every((g, i) => i === 0 || g === 0);
  return (
    a.turns.every(
      (turn, t) => a.closed.includes(t) || turn.pieces.every(([, i]) => i < 0 || a.cause[i] <= 0.5),
    ) && a.gates.every((g) => g === 1)
  );
}

/** A line that tells what the gates leave open. */
function openness(scene, g, closedAll) {
  const words = scene.context.length - 1,
    open = g.slice(1).filter((x) => x > 0.5).length;
  if (closedAll)
    return scene.cls_open
      ? 'Every word is closed: all attention goes to [CLS], which is always open.'
      : 'Every word would be closed, so all are opened: attention is as without gates.';
  return `${open} of ${words} gates are above one half.`;
}

class CauseHighlight extends Widget {
  constructor(model, el) {
    super(model, el, 'CauseHighlight');
    this.build();
    model.on(
      'change:scene',
      (this.renew = () => {
        this.build();
        this.later();
      }),
    );
    this.stops.push(() => model.off('change:scene', this.renew));
    this.listen(VIEW.filter((v) => v !== 'scene'));
    this.begin();
  }

  build() {
    const s = (this.scene = this.model.get('scene'));
    this.attention = new Attention(s);
    const [, , steps] = s.shape,
      last = steps - 1;
    this.words = new Words('words of the dialogue; arrow keys move', (i) => this.set('word', i));
    this.response = new Words(
      'words of the response; arrow keys choose the decoder step',
      (m) => this.set('step', m),
      () => {},
    );
    bubbles(s, this.words);
    spoken(s, this.response);
    this.controls = new Controls(this.model, this.later);
    this.controls.gating(s);
    this.controls.where(s.shape);
    this.controls.slider('step', 'Decoder step', {
      min: 0,
      max: last,
      step: 1,
      say: (m) => `${m + 1}: ${s.words[Math.min(m, last)]}`,
    });
    this.controls.box.append(tokenSwitch(this.root));
    this.state = make('p', { class: 'ecgen-state', role: 'status' });
    this.strip = make('canvas', { class: 'ecgen-strip', role: 'img' });
    this.strip.addEventListener('mousemove', (e) =>
      this.set(
        'word',
        Math.min(
          s.context.length - 1,
          Math.max(0, Math.floor((e.offsetX / this.strip.clientWidth) * s.context.length)),
        ),
      ),
    );
    this.caption = make('figcaption');
    this.root.replaceChildren(
      make(
        'header',
        { class: 'ecgen-head' },
        make('strong', { text: s.emotions[0][0] }),
        make('span', { text: `probability ${percent(s.emotions[0][1])} · ${modelName(s.model)}` }),
        exports(
          'cause',
          () => this.picture(),
          (t) => {
            this.say.textContent = t;
          },
        ),
      ),
      this.words.box,
      make(
        'div',
        { class: 'ecgen-turn ecgen-listener ecgen-response' },
        make('small', {
          text: s.note ? 'note' : 'response · choose a word',
          'aria-hidden': 'true',
        }),
        this.response.box,
      ),
      this.state,
      this.say,
      make('figure', { class: 'ecgen-attention' }, this.caption, this.strip),
      this.controls.box,
      emotionBars(s.emotions),
      make('footer', { text: `${written(s)} ${RECOMPUTED}` }),
    );
  }

  draw() {
    const s = this.scene,
      v = this.view,
      g = gateValues(s, v),
      logit = (this.logit = causeLogits(s, v)),
      { attention } = this;
    const layer = Math.min(v.layer, attention.layers - 1),
      head = Math.min(v.head, attention.heads - 1),
      step = Math.min(v.step, attention.steps - 1);
    const before = attention.weights(layer, head, step),
      after = attention.weights(layer, head, step, g);
    const shut = s.cls_open
      ? g.every((x, i) => i === 0 || x === 0)
      : v.gate === 'hard' && logit.every((z) => sigmoid(z) <= v.threshold);
    this.root.dataset.hue = hueOf(v.gate);
    this.root.dataset.closed = shut;
    this.controls.sync();
    for (const i of this.words.order) {
      const p = sigmoid(logit[i]);
      this.words.paint(
        i,
        tint(v.gate, p, g[i]),
        g[i],
        `${s.context[i]}, cause ${percent(p)}, gate ${fixed(g[i], 2)}`,
      );
    }
    this.words.select(v.word);
    this.response.select(step);
    this.state.textContent = openness(s, g, shut);
    const heads = head < 0 ? 'mean of all heads' : `head ${head + 1}`;
    this.caption.textContent =
      `What “${s.words[step]}” attends to: up, before gating; down, after. ` +
      `Layer ${layer + 1}, ${heads}.`;
    if (v.word >= 0 && v.word < g.length) {
      const cause = fixed(sigmoid(logit[v.word]));
      this.say.textContent =
        `${s.context[v.word]}: p(cause) ${cause}, gate ${fixed(g[v.word])}, ` +
        `attention before ${fixed(before[v.word], 4)}, after ${fixed(after[v.word], 4)}`;
    } else this.say.textContent = 'Point at a word, or move through the words with the arrow keys.';
    this.bars(before, after, v.word);
    this.shown = { g, before, after };
  }

  picture() {
    const s = this.scene,
      { g } = this.shown,
      v = this.view,
      pic = new Picture(this.colors, hueOf(v.gate));
    for (const turn of s.turns) {
      pic.bubble(
        turn.speaker,
        turn.pieces.map(([t, i]) =>
          i < 0 ? [t, 0, 0] : [t, tint(v.gate, sigmoid(this.logit[i]), g[i]), g[i]],
        ),
        turn.speaker === 'listener',
      );
    }
    pic.bubble(s.note ? 'note' : 'response', [[s.note || s.response, 0, 0]], true, true);
    pic.bars(s.emotions.slice(0, 5));
    pic.text(24, pic.y + 18, `${gateName(v)} · ${modelName(s.model)}`, {
      size: 12,
      fill: this.colors.soft,
    });
    pic.y += 24;
    return pic.svg(
      'A dialogue with the words tinted that the model takes for the cause of the emotion: ' +
        s.emotions[0][0],
    );
  }
}

class AttentionExplorer extends Widget {
  constructor(model, el) {
    super(model, el, 'AttentionExplorer');
    this.build();
    model.on(
      'change:scene',
      (this.renew = () => {
        this.build();
        this.later();
      }),
    );
    this.stops.push(() => model.off('change:scene', this.renew));
    this.listen(VIEW.filter((v) => v !== 'scene'));
    const size = new ResizeObserver(() => this.maps.forEach((m) => m.name(this.colors)));
    size.observe(this.root);
    this.stops.push(() => size.disconnect());
    this.begin();
  }

  build() {
    const s = (this.scene = this.model.get('scene')),
      at = (this.attention = new Attention(s));
    const choose = (m, i) => {
      this.maps.forEach((map) => {
        map.cell = [m, i];
      });
      this.set('step', m);
      this.set('word', i);
    }; // the cell at once, for keys may come faster than frames
    this.words = new Words('words of the dialogue; arrow keys move', (i) => this.set('word', i));
    bubbles(s, this.words);
    this.response = new Words('words of the response; arrow keys move', (m) => this.set('step', m));
    spoken(s, this.response);
    this.controls = new Controls(this.model, this.later);
    this.controls.where(s.shape);
    this.controls.gating(s);
    this.controls.box.append(tokenSwitch(this.root));
    this.maps = ['Before gating', 'After gating', 'Difference: after minus before'].map(
      (title) => new HeatMap(title, s, choose),
    );
    this.scale = make('p', { class: 'ecgen-scale' });
    this.which = make(
      'select',
      { 'aria-label': 'what the small maps show', 'data-control': 'small', onchange: this.later },
      ...['after gating', 'before gating', 'difference'].map((t) => make('option', { text: t })),
    );
    this.small = [];
    const grid = make('div', { class: 'ecgen-small', style: `--heads:${at.heads}` });
    for (let l = 0; l < at.layers; l++) {
      for (let h = 0; h < at.heads; h++) {
        const canvas = make('canvas', { width: at.words, height: at.steps });
        const button = make(
          'button',
          {
            type: 'button',
            'aria-label': `Layer ${l + 1}, head ${h + 1}`,
            onclick: () => {
              this.set('layer', l);
              this.set('head', h);
            },
          },
          canvas,
          make('span', { text: `${l + 1}·${h + 1}` }),
        );
        grid.append(button);
        this.small.push({ l, h, canvas, button });
      }
    }
    this.state = make('p', { class: 'ecgen-state', role: 'status' });
    this.root.replaceChildren(
      make(
        'header',
        { class: 'ecgen-head' },
        make('strong', { text: 'Attention before and after gating' }),
        make('span', { text: modelName(s.model) }),
        exports(
          'attention',
          () => this.picture(),
          (t) => {
            this.say.textContent = t;
          },
        ),
      ),
      this.words.box,
      make(
        'div',
        { class: 'ecgen-turn ecgen-listener ecgen-response' },
        make('small', { text: s.note ? 'note' : 'response', 'aria-hidden': 'true' }),
        this.response.box,
      ),
      this.state,
      this.say,
      this.controls.box,
      make('div', { class: 'ecgen-pair' }, this.maps[0].el, this.maps[1].el),
      this.scale,
      this.maps[2].el,
      make(
        'section',
        { class: 'ecgen-heads' },
        make('h4', {}, 'All layers and heads, ', this.which),
        make('p', {
          class: 'ecgen-hint',
          text: 'Numbers are layer·head; choose one to see it large.',
        }),
        grid,
      ),
      make('footer', { text: `${written(s)} ${RECOMPUTED}` }),
    );
  }

  draw() {
    const s = this.scene,
      v = this.view,
      at = this.attention,
      g = gateValues(s, v),
      { colors } = this,
      hue = colors.hues[hueOf(v.gate)];
    const layer = Math.min(v.layer, at.layers - 1),
      head = Math.min(v.head, at.heads - 1),
      step = Math.min(v.step, at.steps - 1),
      n = at.words;
    const before = at.map(layer, head),
      after = at.map(layer, head, g),
      change = after.map((x, k) => x - before[k]);
    const top = Math.max(
        1e-9,
        before.reduce((a, b) => Math.max(a, b), 0),
        after.reduce((a, b) => Math.max(a, b), 0),
      ),
      most = Math.max(
        1e-9,
        change.reduce((a, b) => Math.max(a, Math.abs(b)), 0),
      );
    if (this.tables?.key !== this.root.dataset.theme + hueOf(v.gate))
      this.tables = {
        key: this.root.dataset.theme + hueOf(v.gate),
        weight: ramp(colors.card, hue.deep),
        less: ramp(colors.zero, colors.less),
        more: ramp(colors.zero, hue.deep),
      };
    const { weight, less, more } = this.tables;
    this.root.dataset.hue = hueOf(v.gate);
    this.controls.sync();
    this.maps[0].draw(before, weightColor(weight, top));
    this.maps[1].draw(after, weightColor(weight, top));
    this.maps[2].draw(change, changeColor(less, more, most));
    this.multiples(g, this.which.selectedIndex);
    const named = `${this.root.dataset.theme} ${v.word} ${this.maps[0].field.clientWidth}`;
    if (this.named !== named)
      this.maps.forEach((m) => {
        m.cell = [step, v.word];
        m.name(colors);
      });
    this.named = named;
    this.maps.forEach((m) => m.select(v.word < 0 ? -1 : step, v.word));
    // linked: a response word tints the dialogue by where it looks, a dialogue word tints the
    // response by who looks at it
    const row = after.subarray(step * n, (step + 1) * n),
      best = Math.max(1e-9, ...row);
    for (const i of this.words.order)
      this.words.paint(
        i,
        row[i] / best,
        g[i],
        `${s.context[i]}, attention after gating ${fixed(row[i], 3)}`,
      );
    const column = s.words.map((_, m) => (v.word < 0 ? 0 : after[m * n + v.word])),
      far = Math.max(1e-9, ...column);
    column.forEach((x, m) =>
      this.response.paint(m, v.word < 0 ? 0 : (0.9 * x) / far, 0, s.words[m]),
    );
    this.words.select(v.word);
    this.response.select(step);
    const shut = g.every((x, i) => i === 0 || x === 0);
    this.root.dataset.closed = shut;
    this.state.textContent = openness(s, g, shut);
    const fewer = this.root.dataset.theme === 'dark' ? 'yellow' : 'brown';
    const larger = hueOf(v.gate) === 'hard' ? 'blue' : 'purple';
    this.scale.textContent =
      `Colour goes with the root of the weight, from 0 to ${fixed(top, 2)} in both maps; ` +
      `the difference reaches ${fixed(most, 2)}, with less in ${fewer} and more in ${larger}. ` +
      `A dialogue word's tint is its share of what “${s.words[step]}” attends to after gating; ` +
      'its underline is its gate.';
    this.say.textContent =
      v.word < 0
        ? 'Point at a cell or a word, or move with the arrow keys.'
        : `${s.words[step]} → ${s.context[v.word]}: before ${fixed(before[step * n + v.word], 4)}, ` +
          `after ${fixed(after[step * n + v.word], 4)}, gate ${fixed(g[v.word])}`;
    this.shown = { g, before, after, change, top, most };
  }

  multiples(g, which) {
    const at = this.attention,
      { weight, less, more } = this.tables,
      v = this.view;
    for (const { l, h, canvas, button } of this.small) {
      const b = which === 0 ? null : at.map(l, h),
        a = which === 1 ? null : at.map(l, h, g);
      const values = which === 0 ? a : which === 1 ? b : a.map((x, k) => x - b[k]);
      const top = Math.max(
          1e-9,
          values.reduce((x, y) => Math.max(x, Math.abs(y)), 0),
        ),
        pen = canvas.getContext('2d'),
        image = pen.createImageData(canvas.width, canvas.height);
      paintCells(
        image.data,
        values,
        which === 2 ? changeColor(less, more, top) : weightColor(weight, top),
      );
      pen.putImageData(image, 0, 0);
      button.setAttribute('aria-pressed', l === v.layer && (v.head < 0 || h === v.head));
    }
  }

  picture() {
    const s = this.scene,
      { before, after, change, top, most } = this.shown,
      [, , rows, cols] = s.shape,
      { weight, less, more } = this.tables,
      v = this.view;
    const cell = Math.max(4, Math.min(18, 560 / cols)),
      pic = new Picture(this.colors, hueOf(v.gate), Math.max(420, 130 + cell * cols));
    for (const [name, values, color] of [
      ['before gating', before, weightColor(weight, top)],
      ['after gating', after, weightColor(weight, top)],
      ['difference', change, changeColor(less, more, most)],
    ]) {
      pic.text(
        110,
        pic.y,
        `${name}, layer ${v.layer + 1}, ${v.head < 0 ? 'mean of all heads' : `head ${v.head + 1}`}`,
        { bold: true, size: 13 },
      );
      pic.y += 8;
      for (let m = 0; m < rows; m++) {
        pic.text(104, pic.y + 12, s.words[m], { size: 11, anchor: 'end' });
        for (let i = 0; i < cols; i++)
          pic.rect(110 + i * cell, pic.y, cell, 16, `rgb(${color(values[m * cols + i])})`);
        pic.y += 16;
      }
      if (cell >= 9)
        s.context.forEach((w, i) =>
          pic.text(110 + (i + 0.8) * cell, pic.y + 10, w.length > 11 ? `${w.slice(0, 10)}…` : w, {
            size: 10,
            anchor: 'end',
            turn: -60,
            fill: this.colors.soft,
          }),
        );
      pic.y += cell >= 9 ? 86 : 30;
    }
    pic.text(24, pic.y + 4, `${gateName(v)} · ${modelName(s.model)}`, {
      size: 12,
      fill: this.colors.soft,
    });
    pic.text(24, pic.y + 22, written(s), { size: 12, fill: this.colors.soft });
    pic.y += 28;
    return pic.svg(`Attention before and after gating: ${s.response}`);
  }
}

/**
 * Type or pick a dialogue; toggle the gate of a turn. Live it asks the model; a recording looks
 * its answers up.
 */
class Playground extends Widget {
  constructor(model, el) {
    super(model, el, 'Playground');
    this.live = model.get('live');
    this.samples = model.get('samples');
    this.turns = this.samples[0];
    this.asked = 0;
    this.said = 'Ready.';
    Object.assign(this, {
      closed: [],
      gate: model.get('gate'),
      busy: false,
      answer: null,
      bare: null,
      base: '',
    });
    this.stops.push(() => clearTimeout(this.timer));
    this.build();
    if (this.live) {
      this.hear = (message) => this.heard(message);
      model.on('msg:custom', this.hear);
      this.stops.push(() => model.off('msg:custom', this.hear));
    }
    this.answer = model.get('first');
    this.turns = this.answer ? this.answer.said : this.turns;
    this.bare = this.answer;
    this.begin();
    if (!this.answer) this.ask();
  }

  build() {
    const name = (t) => {
      const s = t.at(-1);
      return s.length > 60 ? `${s.slice(0, 58)}…` : s;
    };
    this.pick = make(
      'select',
      {
        'data-control': 'sample',
        onchange: () => {
          if (this.pick.value) this.start(this.samples[+this.pick.value]);
        },
      },
      this.live ? make('option', { value: '', text: 'choose …' }) : null,
      ...this.samples.map((t, i) =>
        make('option', { value: i, text: `${t.length > 1 ? '… ' : ''}${name(t)}` }),
      ),
    );
    this.pick.id = newId('sample');
    this.gates = make(
      'select',
      {
        'data-control': 'gate',
        onchange: () => {
          this.gate = this.gates.value;
          this.ask();
        },
      },
      ...this.model.get('gates').map((k) => make('option', { value: k, text: GATES[k] })),
    );
    this.gates.id = newId('gate');
    this.input = make('input', {
      type: 'text',
      dir: 'auto',
      maxlength: 60000,
      autocomplete: 'off',
      placeholder: 'What happened? How do you feel?',
      'data-control': 'message',
    });
    this.input.id = newId('message');
    this.send = make('button', { type: 'submit', class: 'ecgen-button ecgen-main', text: 'Send' });
    this.form = make(
      'form',
      {
        class: 'ecgen-form',
        onsubmit: (e) => {
          e.preventDefault();
          this.typed();
        },
      },
      make('label', { for: this.input.id, text: 'Say something' }),
      this.input,
      this.send,
    );
    this.undo = make('button', {
      type: 'button',
      class: 'ecgen-button',
      text: 'Undo',
      onclick: () => {
        this.turns = this.turns.slice(0, -2);
        this.leaveGates();
        this.ask();
      },
    });
    this.reset = make('button', {
      type: 'button',
      class: 'ecgen-button',
      text: 'New dialogue',
      onclick: () => {
        this.forget();
        this.turns = [];
        this.answer = null;
        this.leaveGates();
        this.said = 'A new dialogue begins: say something.';
        this.later();
        this.input.focus();
      },
    });
    this.stage = make('div', { class: 'ecgen-stage' });
    this.state = make('p', { class: 'ecgen-state' });
    this.side = make('div', { class: 'ecgen-side' });
    const from = this.live
      ? this.model.get('from') ||
        'Live: the model answers on this machine; nothing is sent elsewhere.'
      : 'Recorded: these responses were written by the model beforehand; ' +
        'the gates choose among them.';
    const how = this.live
      ? null
      : make(
          'p',
          { class: 'ecgen-hint' },
          'Recorded with ',
          make('code', { text: this.model.get('command') }),
          '; to type your own dialogue: ',
          make('code', { text: 'ecgen demo' }),
          '.',
        );
    this.root.replaceChildren(
      ...[
        make(
          'header',
          { class: 'ecgen-head' },
          make('strong', { text: 'Playground' }),
          make('span', { text: modelName(this.model.get('name')) }),
        ),
        make('p', { class: 'ecgen-badge', 'data-live': String(this.live), text: from }),
        how,
        make(
          'div',
          { class: 'ecgen-controls' },
          make(
            'div',
            { class: 'ecgen-field ecgen-wide' },
            make('label', { for: this.pick.id, text: 'A dialogue' }),
            this.pick,
          ),
          make(
            'div',
            { class: 'ecgen-field' },
            make('label', { for: this.gates.id, text: 'Gate' }),
            this.gates,
          ),
          this.live ? this.undo : null,
          this.live ? this.reset : null,
        ),
        make(
          'div',
          { class: 'ecgen-play' },
          make('div', {}, this.stage, this.state, this.live ? this.form : null, this.say),
          this.side,
        ),
        make('footer', {
          text:
            'It is a small research model that strings likely words together, and no counsellor. ' +
            'Tint and underline: probability of being a cause, and gate. ' +
            'A closed turn takes away an emphasis; other attention still sees it.',
        }),
      ].filter(Boolean),
    );
  }

  /** No gate is set by hand any more. */
  leaveGates() {
    this.closed = [];
  }

  /** Was any gate of this answer set by hand? */
  touched(a) {
    return a.closed.length > 0;
  }

  /** What the model is asked. */
  question() {
    return { turns: this.turns, closed: this.closed, gate: this.gate };
  }

  start(turns) {
    this.turns = turns;
    this.leaveGates();
    this.ask();
  }

  typed() {
    const text = this.input.value.trim();
    if (!text || this.busy) return;
    // a note stays in the dialogue, and so stands again
    const heard = this.answer?.response || this.answer?.note;
    const said = this.turns.length && heard ? [...this.turns, heard] : [];
    this.before = { turns: this.turns, closed: this.closed };
    this.turns = [...said, text];
    this.leaveGates();
    this.input.value = '';
    this.ask();
  }

  ask() {
    const wanted = this.question();
    if (!this.turns.length) return this.later();
    if (this.live) {
      this.busy = true;
      this.said = 'The model is writing …';
      this.model.send({ ask: ++this.asked, ...wanted });
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.unanswered(), 1000 * (this.model.get('patience') || 60));
      return this.later();
    }
    const found = this.model
      .get('records')
      .find(
        (r) =>
          JSON.stringify([r.said, r.closed, r.gate]) ===
          JSON.stringify([wanted.turns, wanted.closed, wanted.gate]),
      );
    if (found) this.show(found);
    else {
      this.said = 'There is no recording of this; other gates have one.';
      this.later();
    }
  }

  heard(message) {
    if (message.to !== this.asked) return; // an answer to what was asked before
    this.busy = false;
    clearTimeout(this.timer);
    if (message.error) return this.failed(message.error);
    this.before = null;
    this.show(message.answer);
  }

  /** Say why there is no answer; what was typed goes back to where it was typed. */
  failed(why) {
    this.said = why;
    if (this.before) {
      this.input.value = this.turns.at(-1);
      this.turns = this.before.turns;
      this.closed = this.before.closed;
    }
    this.before = null;
    this.later();
  }

  /** What was asked is of no interest any more. */
  forget() {
    clearTimeout(this.timer);
    this.asked += 1;
    this.busy = false;
    this.before = null;
  }

  /** The kernel is silent: it may be dead, and nobody would tell. */
  unanswered() {
    if (!this.busy) return;
    this.busy = false;
    this.asked += 1; // what comes now comes too late
    this.failed(
      'There was no answer: the model may have been stopped. ' +
        'Reload the page (in a notebook, run its cells again) and try once more.',
    );
  }

  show(answer) {
    // what is compared with is the answer to the same dialogue behind the same gate with no turn
    // closed, if there was one
    const bare = (r) =>
      r &&
      !this.touched(r) &&
      r.gate === answer.gate &&
      JSON.stringify(r.asked) === JSON.stringify(answer.asked) &&
      JSON.stringify(r.said) === JSON.stringify(answer.said);
    this.bare =
      [answer, this.bare, ...(this.live ? [] : this.model.get('records'))].find(bare) || null;
    this.base = this.bare?.response || '';
    this.answer = answer;
    const told = answer.note
      ? 'There is a note and no response.'
      : this.touched(answer) && this.base
        ? answer.response === this.base
          ? 'The response stays the same.'
          : 'The response changed.'
        : `${answer.emotions[0][0]}, ${percent(answer.emotions[0][1])}. ${answer.response}`;
    this.said = told;
    this.later();
  }

  toggle(t) {
    this.closed = this.closed.includes(t)
      ? this.closed.filter((x) => x !== t)
      : [...this.closed, t].sort((a, b) => a - b);
    this.ask();
  }

  /** What the button of a turn says: its kind for the style sheet, its text, what a press does. */
  turnState(a, t) {
    const hand = this.closed.includes(t),
      gate = !hand && a.turns[t].pieces.every(([, i]) => i < 0 || a.gates[i] === 0);
    const text = hand ? 'closed by hand' : gate ? `closed by the ${a.gate} gate` : 'open';
    return {
      kind: hand ? 'hand' : gate ? 'gate' : 'no',
      text,
      title: hand ? 'leave this turn to its gate' : 'close this turn by hand',
    };
  }

  /** A word of the dialogue is pointed at, or reached by the arrow keys. */
  pointed(a, words, i) {
    words.select(i);
    const [cause, gate] = [fixed(a.cause[i]), fixed(a.gates[i])];
    this.say.textContent = `${a.context[i]}: p(cause) ${cause}, gate ${gate}`;
  }

  responseTurn(a) {
    return plainTurn('response', a.response, 'ecgen-listener ecgen-response');
  }

  allShut(a) {
    return allShut(a);
  }

  draw() {
    const a = this.answer,
      v = { gate: this.gate };
    this.root.dataset.hue = hueOf(this.gate);
    this.root.dataset.busy = this.busy;
    this.say.textContent = this.said;
    this.gates.value = this.gate;
    this.pick.value = Math.max(
      ...this.samples.map((t, i) => (JSON.stringify(t) === JSON.stringify(this.turns) ? i : -1)),
    );
    if (this.live) {
      if (this.pick.selectedIndex < 0) this.pick.value = '';
      this.send.disabled = this.busy;
      this.undo.disabled = this.busy || this.turns.length < 3;
    }
    if (this.shown === a && a && this.busy) return;
    const shut = !!a && this.allShut(a);
    this.root.dataset.closed = shut;
    this.state.textContent = a ? openness(a, a.gates, shut) : '';
    if (!a) {
      this.stage.replaceChildren(
        ...this.turns.map((t, i) => plainTurn(i % 2 ? 'listener' : 'speaker', t)),
      );
      this.side.replaceChildren();
      return;
    }
    const words = new Words('words of the dialogue; arrow keys move', (i) =>
      this.pointed(a, words, i),
    );
    const at = document.activeElement?.dataset?.turn,
      inside = this.root.contains(document.activeElement);
    bubbles(a, words, false).forEach((turn, t) => {
      const { kind, text, title } = this.turnState(a, t);
      turn.append(
        make('button', {
          type: 'button',
          class: 'ecgen-toggle',
          'data-turn': t,
          'data-closed': kind,
          'aria-label': `turn ${t + 1}: ${text}`,
          title,
          text,
          onclick: () => this.toggle(t),
        }),
      );
    });
    for (const i of words.order)
      words.paint(
        i,
        tint(v.gate, a.cause[i], a.gates[i]),
        a.gates[i],
        `${a.context[i]}, cause ${percent(a.cause[i])}, gate ${fixed(a.gates[i], 2)}`,
      );
    const response = a.note ? noteTurn(a.note) : this.responseTurn(a);
    const changed = !a.note && this.touched(a) && this.base && this.base !== a.response;
    const was = changed
      ? make(
          'p',
          { class: 'ecgen-was' },
          make('small', { text: 'with no gate set by hand: ' }),
          make('span', { dir: 'auto', text: this.base }),
        )
      : null;
    this.stage.replaceChildren(words.box, response, ...(was ? [was] : []));
    if (at !== undefined && inside) this.stage.querySelector(`[data-turn="${at}"]`)?.focus();
    this.side.replaceChildren(
      a.note ? '' : emotionBars(a.emotions),
      make('p', {
        class: 'ecgen-hint',
        text: a.dropped ? `The first ${a.dropped} words are beyond what the model can read.` : '',
      }),
    );
    this.shown = a;
  }
}

function plainTurn(label, text, cls = `ecgen-${label}`) {
  return make(
    'div',
    { class: `ecgen-turn ${cls}` },
    make('small', { text: label }),
    make('p', { dir: 'auto', text }),
  );
}

/** It is said at once to who cannot see it. */
function noteTurn(text) {
  const res = plainTurn('note', text, 'ecgen-note');
  res.lastChild.setAttribute('role', 'alert');
  return res;
}

// ---------------------------------------------------------------- ways in

const WIDGETS = { CauseHighlight, AttentionExplorer, Playground };

function render({ model, el }) {
  const start = performance.now(),
    widget = new WIDGETS[model.get('kind')](model, el);
  widget.root.dataset.renderMs = (performance.now() - start).toFixed(2);
  return () => widget.stop();
}

/** Without any notebook: plain data in the place of the kernel's model. */
export function standalone(el, state) {
  const heard = {};
  const model = {
    get: (k) => state[k],
    set: (k, v) => {
      state[k] = v;
      (heard[`change:${k}`] || []).forEach((f) => f());
    },
    on: (e, f) => {
      (heard[e] ||= []).push(f);
    },
    off: (e, f) => {
      heard[e] = (heard[e] || []).filter((x) => x !== f);
    },
    save_changes() {},
    send() {},
  };
  if (window.parent !== window) {
    // in an iframe: tell the page around how high we are, and hear which theme it has
    addEventListener('message', (e) => {
      if (e.source === window.parent && ['light', 'dark'].includes(e.data?.ecgenTheme))
        document.documentElement.dataset.ecgenTheme = e.data.ecgenTheme;
    });
    new ResizeObserver(() =>
      window.parent.postMessage(
        { ecgenHeight: Math.ceil(el.getBoundingClientRect().height + 2) },
        '*',
      ),
    ).observe(el);
    window.parent.postMessage({ ecgenReady: true }, '*');
  }
  return render({ model, el });
}

export default { render };
