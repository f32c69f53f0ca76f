// The playground with the model in the page. It follows widgets.js in the same module and extends
// its Playground.
//
// Until the model is loaded the recorded answers are shown. Then a worker that runs live.js takes
// the place of the kernel: it gets the same questions and gives the same answers, and more of them
// while a response is written.

const FROM_A_FILE = ' A page that was opened from a file may fetch nothing: '
  + 'ecgen demo --page FILE --live writes one that holds the model.';
const LIVE = 'Live: the model runs in this page; nothing that you type leaves it.';
const OFFER = 'Then type what you like: the model answers in this page, '
  + 'and nothing that you type leaves it.';
const HELP = 'Click a word, or press Enter on it, to close its gate; once more opens it, and once '
  + 'more leaves it to the gate above. The buttons below a turn do the same for all its words.';
const SETTINGS = ['threshold', 'temperature', 'draw', 'k', 'seed']; // of an answer, besides gates
const sameJson = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Share of attention on words of the cause, without and with gates, as
 * `ecgen.model.attention_maps.cause_mass`.
 */
export function causeMass(a) {
  const at = new Attention(a), on = a.cause.map((p, i) => p > 0.5 && a.context[i] !== '[CLS]');
  const mass = (gates) => {
    let sum = 0;
    for (let layer = 0; layer < at.layers; layer++) {
      at.map(layer, -1, gates).forEach((w, k) => { if (on[k % at.words]) sum += w; });
    }
    return sum / (at.layers * at.steps);
  };
  return [mass(null), mass(a.gates)];
}

class LivePlayground extends Playground {
  constructor(model, el) {
    super(model, el); // builds the page with the recorded answers
    this.stops.push(() => this.worker?.terminate());
    if (!this.weights.url) this.load(); // they are in the page
  }

  get weights() { return this.model.get('settings').weights; }

  // ---------------------------------------- loading

  load() {
    this.phase = 'loading';
    this.share = 0;
    this.later();
    try {
      // no module: on a page from a file, browsers start no worker that is one
      const plain = this.model.get('engine').replace(/^export /gm, '');
      this.worker = new Worker(URL.createObjectURL(new Blob([plain], { type: 'text/javascript' })));
    } catch (e) { this.broken(e.message); return; }
    this.worker.onerror = (e) => this.broken(e.message || 'the browser stopped it');
    this.worker.onmessage = ({ data }) => this.told(data);
    this.give();
  }

  /** What the worker needs; weights in the page go part by part, so that the page stays alive. */
  async give() {
    const where = this.weights.url && new URL(this.weights.url, document.baseURI).href;
    const weights = { ...this.weights, url: where, again: this.again };
    this.worker.postMessage({ settings: { ...this.model.get('settings'), weights } });
    for (const part of document.querySelectorAll('script.ecgen-weights')) {
      this.worker.postMessage({ part: part.textContent });
      part.remove(); // its memory is wanted elsewhere
      await new Promise((done) => { setTimeout(done); });
    }
    this.worker.postMessage({ load: true });
  }

  told(message) {
    if (message.progress !== undefined) { this.share = message.progress; this.later(); }
    else if (message.failed !== undefined) this.broken(message.failed);
    else if (message.ready !== undefined) this.ready(message.ready);
    else this.heard(message);
  }

  broken(why) {
    this.worker?.terminate();
    this.phase = 'failed';
    this.again = true; // what the browser kept may be damaged: next time, ask the server
    this.why = `The model could not be loaded (${why}), so the recorded answers stay.`;
    if (location.protocol === 'file:' && this.weights.url) this.why += FROM_A_FILE;
    this.later();
  }

  ready(ms) {
    this.phase = 'ready';
    this.root.dataset.readyMs = ms.toFixed(0);
    this.live = true;
    this.model.set('live', true);
    this.model.set('from', LIVE);
    this.model.set('gates', this.model.get('liveGates'));
    this.model.send = (question) => this.worker.postMessage(question);
    const { turns, gate } = this;
    this.build();
    Object.assign(this, { turns, gate, answer: null, bare: null });
    this.ask();
  }

  // ---------------------------------------- controls

  build() { // is called by the constructor of the playground, before anything of ours is there
    this.phase ??= 'offer';
    this.leaveGates();
    super.build();
    const size = Math.round(this.weights.size / 1e6);
    const button = (name, text, onclick, more = '') => make('button', {
      type: 'button', class: `ecgen-button ${more}`, 'data-control': name, text, onclick,
    });
    const load = `Load the model (${size} MB)`;
    this.loadButton = button('load', load, () => this.load(), 'ecgen-main');
    this.bar = make('progress', { max: 1, 'aria-label': 'how much of the model is here' });
    this.news = make('p', { class: 'ecgen-hint', role: 'status' });
    this.loader = make('div', { class: 'ecgen-loader' }, this.loadButton, this.bar, this.news);
    this.root.querySelector('.ecgen-badge').after(this.loader);
    if (!this.live) return;
    this.more = new Controls(this.model, () => this.changed());
    const line = { min: 0, max: 1, step: 0.01, hint: 'for hard gates' };
    this.more.slider('threshold', 'Threshold', line);
    const heat = { min: 0.1, max: 5, step: 0.05, hint: 'for Gumbel-Softmax gates' };
    this.more.slider('temperature', 'Gumbel temperature', heat);
    const next = (name) => () => this.more.set(name, this.model.get(name) + 1);
    this.more.again = this.more.button('Draw again', 'Draw other Gumbel noise', next('draw'));
    this.more.choice('k', 'Words', [[1, 'the most probable'], [3, 'drawn from the top 3']], true);
    this.other = this.more.button('Other words', 'Draw other words', next('seed'));
    const { layers, heads } = this.model.get('settings').config.generator;
    this.more.where([layers, heads]);
    this.strip = make('canvas', { class: 'ecgen-strip', role: 'img' });
    this.caption = make('figcaption');
    this.figure = make('figure', { class: 'ecgen-attention' }, this.caption, this.strip);
    this.keep = button('keep', 'Compare with other gates', () => {
      this.kept = this.kept ? null : this.answer;
      this.later();
    });
    const name = 'two settings of the gates';
    this.pair = make('section', { class: 'ecgen-compare', 'aria-label': name });
    const help = make('p', { class: 'ecgen-hint', text: HELP });
    const parts = [help, this.figure, this.more.box, this.keep, this.pair];
    this.root.querySelector('.ecgen-play').after(...parts);
  }

  get settings() { return Object.fromEntries(SETTINGS.map((k) => [k, this.model.get(k)])); }

  question() { return { ...super.question(), hand: this.hand, ...this.settings }; }

  /** A control moved: some need another answer, others only another view of it. */
  changed() {
    const now = JSON.stringify(this.settings);
    if (now === this.settled) this.later();
    else { this.settled = now; this.ask(); }
  }

  // ---------------------------------------- gates by hand

  leaveGates() { super.leaveGates(); this.hand = { turns: {}, words: {} }; }

  /** Left to the gate -> closed -> open -> left to the gate. */
  turnOver(kind, i) {
    const rest = { ...this.hand[kind] }, was = rest[i];
    delete rest[i];
    const now = was === undefined ? { [i]: 0 } : was === 0 ? { [i]: 1 } : {};
    this.hand = { ...this.hand, [kind]: { ...rest, ...now } };
    this.ask();
  }

  toggle(t) {
    if (!this.live) { super.toggle(t); return; }
    this.turnOver('turns', t);
    this.closed = Object.keys(this.hand.turns).filter((k) => !this.hand.turns[k]).map(Number);
  }

  turnState(a, t) {
    const hand = this.live ? this.hand.turns[t] : undefined;
    if (hand === 1) {
      return { kind: 'open', text: 'opened by hand', title: 'leave this turn to its gate' };
    }
    const state = super.turnState(a, t);
    if (this.live) state.title = `${hand === 0 ? 'open' : 'close'} this turn by hand`;
    return state;
  }

  touched(a) {
    if (!a.hand) return super.touched(a); // it was recorded
    return Object.keys({ ...a.hand.turns, ...a.hand.words }).length > 0;
  }

  allShut(a) {
    if (!a.hand) return super.allShut(a);
    return a.gates.every((g, i) => i === 0 || g === 0);
  }

  // ---------------------------------------- answers

  ask() { this.streamed = ''; super.ask(); }

  heard(message) {
    if (message.to !== this.asked) return;
    if (message.text !== undefined) { // the response so far
      this.streamed = message.text;
      const line = this.stage.querySelector('.ecgen-response p');
      if (line && this.shown?.partial) line.textContent = message.text;
    } else if (message.answer?.partial) { // everything but the response
      this.answer = message.answer;
      this.later();
    } else super.heard(message);
  }

  show(answer) {
    this.attention = answer.before ? new Attention(answer) : null;
    this.step = 0;
    if (this.kept && !sameJson(this.kept.said, answer.said)) this.kept = null;
    super.show(answer);
  }

  responseTurn(a) {
    const look = 'ecgen-listener ecgen-response';
    const text = a.partial ? this.streamed || '…' : a.response;
    if (!a.before) return plainTurn('response', text, look);
    const name = 'words of the response; arrow keys choose whose attention is shown';
    this.spoken = new Words(name, (m) => { this.step = m; this.drawAttention(); });
    spoken(a, this.spoken);
    const label = make('small', { text: 'response · choose a word', 'aria-hidden': 'true' });
    return make('div', { class: `ecgen-turn ${look}` }, label, this.spoken.box);
  }

  pointed(a, words, i) {
    if (!this.live) { super.pointed(a, words, i); return; }
    words.select(i);
    this.word = i;
    this.drawAttention();
    this.say.textContent = this.aboutWord(a, i);
  }

  aboutWord(a, i) {
    const about = `${a.context[i]}: p(cause) ${fixed(a.cause[i])}, gate ${fixed(a.gates[i])}`;
    if (!this.weighed) return about;
    const { before, after } = this.weighed;
    const numbers = `before ${fixed(before[i], 4)}, after ${fixed(after[i], 4)}`;
    return `${about}, attention of “${a.words[this.step]}” ${numbers}`;
  }

  // ---------------------------------------- drawing

  draw() {
    this.loader.hidden = this.phase === 'ready';
    const hopeless = this.phase === 'failed' && !this.weights.url; // the page itself is damaged
    this.loadButton.hidden = this.phase === 'loading' || hopeless;
    this.bar.hidden = this.phase !== 'loading';
    this.bar.value = this.share || 0;
    const loading = this.share < 1 ? 'The model is coming …' : 'The model is being unpacked …';
    this.news.textContent = { offer: OFFER, loading, failed: this.why, ready: '' }[this.phase];
    const inside = this.stage.contains(document.activeElement), before = this.stage.firstChild;
    const focus = inside ? document.activeElement.dataset.word : undefined;
    super.draw();
    if (!this.live) return;
    this.model.set('gate', this.gate);
    this.more.sync();
    this.other.hidden = this.model.get('k') === 1;
    if (this.stage.firstChild !== before && this.answer) this.dress(focus);
    this.drawAttention();
    this.drawPair();
  }

  /** Words that can be opened and closed; the one that had the focus has it again. */
  dress(focus) {
    const box = this.stage.firstChild, a = this.answer;
    const over = (e) => e.target.closest?.('[data-word]')?.dataset.word;
    const word = (i) => box.querySelector(`[data-word="${i}"]`);
    for (const [i, open] of Object.entries(this.hand.words)) {
      word(i)?.setAttribute('data-hand', open ? 'open' : 'closed');
    }
    box.addEventListener('click', (e) => {
      if (over(e) !== undefined && !a.note) this.turnOver('words', over(e));
    });
    box.addEventListener('keydown', (e) => {
      if (!['Enter', ' '].includes(e.key) || over(e) === undefined || a.note) return;
      e.preventDefault();
      this.turnOver('words', over(e));
    });
    if (focus === undefined) return;
    word(focus)?.focus({ preventScroll: true });
    this.say.textContent = this.said; // and not what the focus says
  }

  drawAttention() {
    const a = this.answer;
    this.figure.hidden = !a?.before || !this.attention;
    this.weighed = null;
    if (this.figure.hidden) return;
    const { layer, head } = this.view, at = this.attention;
    const step = Math.min(this.step, at.steps - 1);
    const before = at.weights(layer, head, step), after = at.weights(layer, head, step, a.gates);
    this.weighed = { before, after };
    this.spoken?.select(step);
    const where = `Layer ${layer + 1}, ${head < 0 ? 'mean of all heads' : `head ${head + 1}`}`;
    const ways = 'up, before gating; down, after';
    this.caption.textContent = `What “${a.words[step]}” attends to: ${ways}. ${where}.`;
    this.bars(before, after, this.word ?? -1);
  }

  /** Two settings of the gates side by side: the one that was kept, and the present one. */
  drawPair() {
    const a = this.answer, ready = !!a?.before;
    this.keep.disabled = !this.kept && !ready;
    this.keep.textContent = this.kept ? 'End the comparison' : 'Compare with other gates';
    this.pair.hidden = !this.kept;
    if (!this.kept || !ready) return;
    let text = 'The responses differ.';
    if (this.kept.response === a.response) text = 'Both settings give the same response.';
    if (this.kept === a) text = 'Now change the gates: the first setting stays on the left.';
    const cards = [this.card('Kept', this.kept), this.card('Now', a)];
    const pair = make('div', { class: 'ecgen-pair' }, ...cards);
    this.pair.replaceChildren(make('p', { class: 'ecgen-hint', text }), pair);
  }

  /** The setting of an answer in words. */
  settingOf(a) {
    const done = (open) => (open ? 'opened' : 'closed'), { hand } = a;
    const turns = Object.entries(hand.turns).map(([t, open]) => `turn ${+t + 1} ${done(open)}`);
    const named = ([i, open]) => `“${a.context[i]}” ${done(open)}`;
    const words = Object.entries(hand.words).map(named);
    return [gateName({ ...a.asked, gate: a.gate }), ...turns, ...words].join(', ');
  }

  /** One side of the comparison: setting, words tinted by gates, response, attention on causes. */
  card(title, a) {
    const hint = (text) => make('p', { class: 'ecgen-hint', text });
    const tinted = (i) => ({ class: 'ecgen-word', style: `--p:${fixed(a.gates[i])}` });
    const word = ([text, i]) => (i < 0 ? text : make('span', { ...tinted(i), text }));
    const turns = a.turns.map((t) => make('p', { dir: 'auto' }, ...t.pieces.map(word)));
    const [before, after] = causeMass(a).map(percent);
    const any = a.cause.some((p, i) => i > 0 && p > 0.5);
    const mass = `Attention on words of the cause: ${before} without gates, ${after} with them.`;
    const none = 'No word has a cause probability above one half.';
    const head = [make('h4', { text: title }), hint(this.settingOf(a))];
    const end = [plainTurn('response', a.response, 'ecgen-response'), hint(any ? mass : none)];
    return make('div', { class: 'ecgen-card' }, ...head, ...turns, ...end);
  }
}

WIDGETS.LivePlayground = LivePlayground;
