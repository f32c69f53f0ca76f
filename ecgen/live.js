// The model of ecgen in plain JavaScript: text in; emotion, causes, gates, attention, response out.
//
// One ES module without dependencies. A page runs it in a worker; the tests run it under node. It
// reads the same model.safetensors as Python. Its parts stand in the paper's order and have the
// names of their Python twins: text, weights, layers, reasoner (Eqs. 1 and 2), gates (section
// 4.3), gated attention (Eq. 5), generator, choice of words. What Python knows as data (marks that
// look alike, NLTK's rules, the patterns of dangerous messages) comes from ecgen/use/live.py as
// JSON and is not repeated here.

export const [PAD, UNK, BOS, EOS, CLS, SEP] = [0, 1, 2, 3, 4, 5];
const SPECIALS = ['<pad>', '<unk>', '<bos>', '<eos>', '[CLS]', '[SEP]'];

// ---------------------------------------- text (ecgen/data/dialogues.py, ecgen/use/chat.py)

// Python's blanks; JavaScript's \s has others
const SPACES = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACE = new RegExp(`[${SPACES}]`, 'u');
const EDGES = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, 'gu');
const BLANKS = new RegExp(`[${SPACES}]+`, 'u');
const WORD = '[\\p{L}\\p{N}_]'; // Python's \w
const BEGIN = `(?<!${WORD})`, END = `(?!${WORD})`;

const strip = (text) => text.replace(EDGES, '');
const split = (text) => strip(text).split(BLANKS).filter(Boolean); // Python's str.split()
const isAscii = (text) => !/[^\0-\x7f]/.test(text);

/** What Python's text functions do, by the rules that Python exported. */
export class Text {
  constructor(rules) {
    this.rules = rules;
    this.plain = new Map(Object.entries(rules.plain));
    this.kept = new Set(rules.kept);
    this.released = new Set(rules.released);
    const category = ([kind, to]) => [new RegExp(`^\\p{${kind}}$`, 'u'), to];
    this.categories = Object.entries(rules.categories).map(category);
    this.sentence = new RegExp(rules.sentence, 'u');
    this.nltk = rules.nltk.map(([pattern, flags, to]) => [new RegExp(pattern, `gu${flags}`), to]);
    this.dangerous = new RegExp(rules.danger);
    this.lookAlikes = new Map(Object.entries(rules.look_alikes));
    const compiled = (pairs) => pairs.map(([what, instead]) => [new RegExp(what, 'g'), instead]);
    [this.disguises, this.longForms] = [compiled(rules.disguises), compiled(rules.long_forms)];
    this.unsafe = new RegExp(rules.unsafe, 'gu');
    this.known = new Map(); // character -> what stands for it
  }

  /** One character made regular. */
  regularCharacter(typed) {
    if (this.known.has(typed)) return this.known.get(typed);
    const res = this.makeRegular(typed.normalize('NFC'));
    this.known.set(typed, res);
    return res;
  }

  makeRegular(c) {
    if (this.plain.has(c)) return this.plain.get(c);
    const [first, ...accents] = c;
    if (accents.length) {
      const base = this.regularCharacter(first);
      return base && (base + accents.join('')).normalize('NFC');
    }
    if (isAscii(c)) return c;
    const kind = this.categories.find(([test]) => test.test(c));
    if (kind) return kind[1];
    const other = c.normalize('NFKC');
    const whole = other.includes(' ') || /^[\p{Nl}\p{No}]$/u.test(c) || this.kept.has(c);
    if (whole) return c; // not torn apart
    return other === c ? c : [...other].map((x) => this.regularCharacter(x)).join('');
  }

  /** The characters of a text, each as typed and made regular. */
  typed(text) {
    const characters = text.match(/[^][\u0300-\u034e\u0350-\u036f]*/gu) || [];
    return characters.map((c) => [c, this.regularCharacter(c)]);
  }

  /** Is this one of the released utterances that keep their own characters? */
  asReleased(text) {
    if (!text.includes('\u2019')) return false;
    return this.released.has(sha256(new TextEncoder().encode(text)).slice(0, 8));
  }

  regular(text) {
    const own = isAscii(text) || this.asReleased(text);
    if (!isAscii(text) && own) return text;
    const res = own ? text : this.typed(text).map(([, plain]) => plain).join('');
    return res.replace(/(?<=[\p{L}\p{Nl}\p{No}])`(?=[\p{L}\p{Nl}\p{No}])/gu, "'");
  }

  /** Of each character of `regular(text)`: from where to where it stands in the text as typed. */
  typedPlaces(text) {
    const same = isAscii(text) || this.asReleased(text), res = [];
    if (same) return Array.from(text.split(''), (_, i) => [i, i + 1]);
    let at = 0;
    for (const [c, plain] of this.typed(text)) {
      for (let i = 0; i < plain.length; i++) res.push([at, at + c.length]);
      at += c.length;
    }
    return res;
  }

  /** Sentences, then words: NLTK's rules, one after the other. */
  splitWords(text) {
    const sentences = strip(this.regular(text)).split(this.sentence);
    const cut = (sentence) => this.nltk.reduce((t, [rule, to]) => t.replace(rule, to), sentence);
    return sentences.flatMap((s) => split(cut(s)));
  }

  tokenize(text) { return this.splitWords(text).map((w) => w.toLowerCase()); }

  /** Join tokens into a readable sentence. */
  detokenize(tokens) {
    return tokens.join(' ')
      .replace(/ (n't|'(?:s|m|re|ve|ll|d)|[.,!?;:%)\]]+)(?= |$|[.,!?])/g, '$1')
      .replace(new RegExp(`${BEGIN}(can|gon|wan|got) (not|na|ta)${END}`, 'gu'), '$1$2')
      .replace(/([([$#]) /g, '$1')
      .replace(/(`` | '')/g, '"')
      .replace(new RegExp(`${BEGIN}i${END}(?!\\.[a-z])`, 'gu'), 'I')
      .replace(/(^|[.!?] )([a-z])/g, (_, before, letter) => before + letter.toUpperCase());
  }

  /** One replacement after another. */
  replaced(text, rules) {
    return rules.reduce((t, [what, instead]) => t.replace(what, instead), text);
  }

  /** A message in plain small letters and long forms: as it stands, and with disguises undone. */
  readings(text) {
    const bare = this.regular(text).toLowerCase().normalize('NFD').replace(/[\u0300-\u036f]/g, '');
    const plain = [...bare].map((c) => this.lookAlikes.get(c) ?? c).join('')
      .replaceAll('\u2019', "'").replace(/[\x00-\x20]+/g, ' ');
    const both = [plain, this.replaced(plain, this.disguises)];
    return both.map((t) => this.replaced(t, this.longForms));
  }

  /** Does a message suggest danger to someone's life? */
  danger(text) { return this.readings(text).some((t) => this.dangerous.test(t)); }

  /** Text without control characters. */
  clean(text) { return text.replace(this.unsafe, (c) => (SPACE.test(c) ? ' ' : '')); }

  /** Where a word stands that ends, blanks aside, at `end`; null if something else stands there. */
  spot(text, word, end) {
    while (end && SPACE.test(text[end - 1])) end -= 1;
    const { quotes } = this.rules, forms = quotes.includes(word) ? quotes : [word];
    const found = forms.find((w) => text.slice(0, end).endsWith(w));
    return found === undefined ? null : [end - found.length, end];
  }

  /**
   * A turn as typed, cut into words and what stands between them: [text, number of the word or
   * -1].
   */
  pieces(text, words, first) {
    const plain = this.regular(text), places = this.typedPlaces(text), res = [];
    const marks = /[\p{Mn}\p{Me}\p{Cf}]*/uy; // accents and the like belong to the word before them
    let end = plain.length, shown = text.length;
    for (let n = words.length - 1; n >= 0; n--) {
      const found = this.spot(plain, words[n], end);
      if (!found) return words.flatMap((w, i) => (i ? [[' ', -1], [w, first + i]] : [[w, first]]));
      const begin = places[found[0]][0];
      marks.lastIndex = Math.min(places[found[1] - 1][1], shown);
      const stop = Math.min(shown, marks.lastIndex + marks.exec(text)[0].length);
      res.push([text.slice(stop, shown), -1], [text.slice(begin, stop), first + n]);
      [end] = found;
      shown = begin;
    }
    res.push([strip(plain.slice(0, end)) ? '… ' : text.slice(0, shown), -1]);
    return res.reverse().filter(([t]) => t);
  }

  /**
   * All turns as pieces; words that were dropped at the beginning have none. `n` tokens, [CLS]
   * included.
   */
  textPieces(turns, words, n) {
    const res = [];
    let end = n - 1; // the last token, which is the last turn's [SEP]
    for (let t = turns.length - 1; t >= 0; t--) {
      const turn = { speaker: t % 2 ? 'listener' : 'speaker' };
      if (end > 0) turn.end = end;
      end -= 1;
      const kept = end > 0 ? words[t].slice(Math.max(0, words[t].length - end)) : [];
      const cut = this.pieces(turns[t], kept, end - kept.length + 1);
      const cleaned = cut.map(([text, i]) => [this.clean(text), i]);
      turn.pieces = cleaned.filter(([text, i]) => text || i >= 0);
      end -= kept.length;
      res.unshift(turn);
    }
    return res;
  }

  /** The words of each turn, or an error that says what is wrong. */
  checkTurns(turns) {
    const refuse = (why) => { throw new Error(why); };
    const most = this.rules.most_characters;
    const long = turns.findIndex((t) => [...t].length > most);
    if (turns.length % 2 === 0) {
      const rule = "The last turn must be the speaker's, so give 1, 3, 5, ... turns";
      refuse(`${rule}; there are ${turns.length}.`);
    }
    if (long >= 0) {
      const what = `more than ${most.toLocaleString('en')} characters`;
      refuse(`Turn ${long + 1} has ${what}: give the part of it that matters.`);
    }
    const words = turns.map((t) => this.splitWords(t)), empty = words.findIndex((w) => !w.length);
    const who = empty % 2 ? 'listener' : 'speaker';
    if (empty >= 0) refuse(`Turn ${empty + 1} is empty: write what the ${who} says.`);
    return words;
  }
}

/** Words and their ids (ecgen/data/batches.py). */
export class Vocab {
  constructor(words) {
    this.words = [...SPECIALS, ...words];
    this.ids = new Map(this.words.map((w, i) => [w, i]));
  }

  encode(tokens) { return tokens.map((t) => this.ids.get(t) ?? UNK); }
  decode(ids) { return ids.map((i) => this.words[i]); }
}

/**
 * X of the paper: [CLS], then the turns, each with its [SEP]; what was said first is dropped
 * first.
 */
export function encodeContext(tokens, vocab, maxContext = 512) {
  const src = tokens.flatMap((turn) => [...vocab.encode(turn), SEP]);
  return [CLS, ...src.slice(-(maxContext - 1))];
}

/** How many turns lie between a word and the end of the context. */
export function turnsFromEnd(src) {
  let left = src.filter((id) => id === SEP).length - 1;
  return src.map((id) => (id === SEP ? left-- : left));
}

// ---------------------------------------- weights

/** A matrix, row after row. A vector has one column. */
const matrix = (rows, cols, data = new Float32Array(rows * cols)) => ({ rows, cols, data });

/** What each of the 65,536 patterns of a 16-bit floating point number means. */
function halfTable() {
  const table = new Float32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent === 0) table[h] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[h] = fraction ? NaN : sign * Infinity;
    else table[h] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

let table = null;

/** 16-bit floating point numbers, as the file keeps them, to 32-bit ones. */
function halves(bits) {
  table ??= halfTable();
  const numbers = new Float32Array(bits.length); // a plain loop is ten times as fast as `from`
  for (let i = 0; i < bits.length; i++) numbers[i] = table[bits[i]];
  return numbers;
}

const KINDS = {
  F32: (buffer) => new Float32Array(buffer),
  F16: (buffer) => halves(new Uint16Array(buffer)),
  I8: (buffer) => new Int8Array(buffer),
};

/**
 * model.safetensors -> a tree of matrices, such as tree.reasoner.blocks[0].attn.query.weight.
 * The file holds the length of its head, the head in JSON, and the numbers.
 * Word tables stay as 8-bit integers.
 */
export function readTensors(bytes) {
  const start = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))), tree = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(head)) {
    if (name === '__metadata__') continue;
    const path = name.split('.'), last = path.pop();
    const place = path.reduce((node, key) => (node[key] ??= {}), tree);
    const numbers = bytes.slice(start + from, start + to).buffer; // a copy: its place may be odd
    place[last] = matrix(shape[0], shape[1] ?? 1, KINDS[dtype](numbers));
  }
  return tree;
}

/** SHA-256 in hexadecimal digits; browsers have one, but not on every page. */
export function sha256(bytes) {
  const { h, k } = sha256.constants ??= sha256Constants();
  const w = new Int32Array(64), state = Int32Array.from(h);
  const whole = bytes.length - (bytes.length % 64), rest = bytes.subarray(whole);
  const tail = new Uint8Array(rest.length < 56 ? 64 : 128), end = new DataView(tail.buffer);
  tail.set(rest);
  tail[rest.length] = 0x80;
  end.setBigUint64(tail.length - 8, 8n * BigInt(bytes.length));
  const blocks = (data) => {
    for (let at = 0; at < data.length; at += 64) {
      for (let i = 0, j = at; i < 16; i++, j += 4) {
        w[i] = (data[j] << 24) | (data[j + 1] << 16) | (data[j + 2] << 8) | data[j + 3];
      }
      for (let i = 16; i < 64; i++) {
        const a = w[i - 15], b = w[i - 2];
        const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
        const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
      let a = state[0], b = state[1], c = state[2], d = state[3];
      let e = state[4], f = state[5], g = state[6], x = state[7];
      for (let i = 0; i < 64; i++) {
        const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), chosen = (e & f) ^ (~e & g);
        const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        const majority = (a & b) ^ (a & c) ^ (b & c);
        const t = (x + s1 + chosen + k[i] + w[i]) | 0;
        x = g; g = f; f = e; e = (d + t) | 0;
        d = c; c = b; b = a; a = (t + s0 + majority) | 0;
      }
      state[0] += a; state[1] += b; state[2] += c; state[3] += d;
      state[4] += e; state[5] += f; state[6] += g; state[7] += x;
    }
  };
  blocks(bytes.subarray(0, whole));
  blocks(tail);
  return Array.from(state, (v) => (v >>> 0).toString(16).padStart(8, '0')).join('');
}

const rotate = (x, n) => (x >>> n) | (x << (32 - n));

/** The first 32 bits behind the point of the square and cube roots of the first primes. */
function sha256Constants() {
  const primes = [], bits = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const h = primes.slice(0, 8).map((p) => bits(Math.sqrt(p)));
  return { h, k: Int32Array.from(primes, (p) => bits(Math.cbrt(p))) };
}

// ---------------------------------------- layers (ecgen/model/attention.py)

/**
 * y = x W^T + b, as nn.Linear: four rows of x and two of W at a time, so that a number fetched is
 * used often.
 */
export function linear(x, layer) {
  const { rows: outs, cols: n, data: W } = layer.weight, { rows, data: X } = x;
  const y = matrix(rows, outs), Y = y.data;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    const p0 = r * n, p1 = p0 + n, p2 = p1 + n, p3 = p2 + n;
    for (let i = 0; i < outs; i += 2) {
      const o = i * n, q = o + n;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let j = 0; j < n; j++) {
        const u = W[o + j], v = W[q + j];
        const x0 = X[p0 + j], x1 = X[p1 + j], x2 = X[p2 + j], x3 = X[p3 + j];
        a0 += u * x0; a1 += u * x1; a2 += u * x2; a3 += u * x3;
        b0 += v * x0; b1 += v * x1; b2 += v * x2; b3 += v * x3;
      }
      let k = r * outs + i;
      Y[k] = a0; Y[k + 1] = b0; k += outs;
      Y[k] = a1; Y[k + 1] = b1; k += outs;
      Y[k] = a2; Y[k + 1] = b2; k += outs;
      Y[k] = a3; Y[k + 1] = b3;
    }
  }
  for (; r < rows; r++) dots(X, r * n, W, outs, n, Y, r * outs);
  if (layer.bias) addRow(y, layer.bias.data);
  return y;
}

/** The products of one row with all rows of W, four of them at a time; their number is even. */
function dots(X, at, W, outs, n, Y, to) {
  let i = 0;
  for (; i + 4 <= outs; i += 4) {
    const o = i * n, p = o + n, q = p + n, s = q + n;
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0; j < n; j++) {
      const x = X[at + j];
      a += W[o + j] * x; b += W[p + j] * x; c += W[q + j] * x; d += W[s + j] * x;
    }
    Y[to + i] = a; Y[to + i + 1] = b; Y[to + i + 2] = c; Y[to + i + 3] = d;
  }
  for (; i < outs; i++) {
    let a = 0;
    for (let j = 0; j < n; j++) a += W[i * n + j] * X[at + j];
    Y[to + i] = a;
  }
}

/** Add a vector to every row. */
function addRow(x, vector) {
  for (let r = 0, k = 0; r < x.rows; r++) for (let j = 0; j < x.cols; j++) x.data[k++] += vector[j];
  return x;
}

/** x + y, in x. */
function add(x, y) {
  for (let i = 0; i < x.data.length; i++) x.data[i] += y.data[i];
  return x;
}

function layerNorm(x, { weight, bias }) {
  const y = matrix(x.rows, x.cols), n = x.cols;
  for (let r = 0; r < x.rows; r++) {
    const row = x.data.subarray(r * n, (r + 1) * n);
    let mean = 0, variance = 0;
    for (let j = 0; j < n; j++) mean += row[j] / n;
    for (let j = 0; j < n; j++) variance += (row[j] - mean) ** 2 / n;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let j = 0; j < n; j++) {
      y.data[r * n + j] = (row[j] - mean) * scale * weight.data[j] + bias.data[j];
    }
  }
  return y;
}

/** Numbers -> shares that sum to 1. */
export function softmax(scores) {
  const res = new Float64Array(scores.length);
  let top = -Infinity, sum = 0;
  for (let i = 0; i < res.length; i++) if (scores[i] > top) top = scores[i];
  for (let i = 0; i < res.length; i++) sum += res[i] = Math.exp(scores[i] - top);
  for (let i = 0; i < res.length; i++) res[i] /= sum;
  return res;
}

/** Rows of a table of word vectors, each 8-bit integers and a scale, or plain numbers. */
function embedding({ weight }, ids, factor = 1) {
  const table = weight.int8 || weight, x = matrix(ids.length, table.cols);
  ids.forEach((id, r) => {
    const scale = factor * (weight.scale ? weight.scale.data[id] : 1);
    for (let j = 0; j < x.cols; j++) x.data[r * x.cols + j] = table.data[id * x.cols + j] * scale;
  });
  return x;
}

/** Sinusoidal position embeddings: first half sines, second half cosines. */
function positions(n, dim, start = 0, factor = 1) {
  const x = matrix(n, dim), half = dim / 2;
  for (let p = 0; p < n; p++) {
    for (let j = 0; j < half; j++) {
      const angle = (start + p) * Math.exp((-Math.log(1e4) * j) / (half - 1));
      x.data[p * dim + j] = factor * Math.sin(angle);
      x.data[p * dim + half + j] = factor * Math.cos(angle);
    }
  }
  return x;
}

/** Scaled dot products of one query (row m of q) with all keys, in one head. */
function scores(q, k, m, head, heads) {
  const d = q.cols / heads, from = head * d, res = new Float64Array(k.rows);
  for (let n = 0; n < k.rows; n++) {
    const a = m * q.cols + from, b = n * k.cols + from;
    let sum = 0;
    for (let c = 0; c < d; c++) sum += q.data[a + c] * k.data[b + c];
    res[n] = sum / Math.sqrt(d);
  }
  return res;
}

/**
 * Eq. 5: softmax of scores + log g, which is the weights times the gates, made to sum to 1 again.
 */
export function gatedWeights(s, logGates) {
  return softmax(logGates ? s.map((x, i) => x + logGates[i]) : s);
}

function keysValues(memory, attn) {
  return { key: linear(memory, attn.key), value: linear(memory, attn.value) };
}

/**
 * Attention with several heads; gated where there are gates. `seen` is told the weights without
 * gates.
 */
function multiHeadAttention(x, kv, attn, heads, logGates = null, seen = null) {
  const q = linear(x, attn.query), y = matrix(q.rows, q.cols), d = q.cols / heads;
  for (let head = 0; head < heads; head++) {
    for (let m = 0; m < q.rows; m++) {
      const s = scores(q, kv.key, m, head, heads), a = gatedWeights(s, logGates);
      const to = m * q.cols + head * d;
      if (seen) seen.push(softmax(s));
      for (let n = 0; n < a.length; n++) {
        if (a[n] === 0) continue; // a closed word
        const from = n * q.cols + head * d;
        for (let c = 0; c < d; c++) y.data[to + c] += a[n] * kv.value.data[from + c];
      }
    }
  }
  return linear(y, attn.out);
}

/** The position-wise network: dim -> inner -> dim with a ReLU between. */
function feedForward(x, ffn) {
  const inner = linear(x, ffn[0]);
  for (let i = 0; i < inner.data.length; i++) if (inner.data[i] < 0) inner.data[i] = 0;
  return linear(inner, ffn[2]);
}

/** Self-attention and feed-forward, pre-norm, each with a residual connection. */
function encoderBlock(x, block, heads) {
  const h = layerNorm(x, block.norm1);
  add(x, multiHeadAttention(h, keysValues(h, block.attn), block.attn, heads));
  return add(x, feedForward(layerNorm(x, block.norm2), block.ffn));
}

// ---------------------------------------- reasoner (Eqs. 1 and 2, ecgen/model/reasoner.py)

export class EmotionReasoner {
  constructor(weights, config) { Object.assign(this, { w: weights, cfg: config }); }

  encode(src) { // token ids -> V of the paper
    const { w, cfg } = this, x = embedding(w.words, src);
    if (cfg.positions) add(x, positions(src.length, cfg.dim, 0, cfg.positions));
    const turns = turnsFromEnd(src).map((t) => Math.min(t + 1, cfg.turns));
    if (cfg.turns) add(x, embedding(w.turns, turns));
    for (let i = 0; i < cfg.layers; i++) encoderBlock(x, w.blocks[i], cfg.heads);
    return layerNorm(x, w.norm);
  }

  /** Logits: 32 of the emotion (from [CLS]), and two for each word: "not cause", "cause". */
  forward(src) {
    const v = this.encode(src), first = matrix(1, v.cols, v.data.subarray(0, v.cols));
    return { emotion: linear(first, this.w.emotion).data, cause: linear(v, this.w.cause).data };
  }
}

// ---------------------------------------- gates (section 4.3, ecgen/model/gates.py)

/** Log-odds of "cause" of each word: its logit less that of "not cause". */
function logOdds(cause) {
  return Float64Array.from({ length: cause.length / 2 }, (_, i) => cause[2 * i + 1] - cause[2 * i]);
}

const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const logSigmoid = (z) => (z > 0 ? -Math.log1p(Math.exp(-z)) : z - Math.log1p(Math.exp(z)));
const closedIf = (shut) => (shut ? -Infinity : 0);

/** Each returns log g of every word: 0 = open, -Infinity = closed. `z` holds the log-odds. */
export const GATES = {
  soft: (z) => z.map(logSigmoid),
  hard: (z, src, { threshold = 0.5 }) => z.map((x) => closedIf(sigmoid(x) <= threshold)),
  // a softened draw; at temperature 1 it is above one half as often as the cause probability says
  gumbel: (z, src, { temperature = 1, draw = 0 }) => {
    const random = seededRandom(draw), noise = () => -Math.log(-Math.log(random()));
    return z.map((x) => logSigmoid((x + noise() - noise()) / temperature));
  },
  open: (z) => z.map(() => 0),
  rule: (z, src) => { // the last two speaker turns
    const left = turnsFromEnd(src);
    return z.map((_, i) => closedIf(left[i] !== 0 && left[i] !== 2));
  },
};

/**
 * Gates of words and of whole turns that were set by hand: 0 = closed, 1 = open.
 * A word's own goes first. `last` is the number of the last turn, from 0.
 */
export function handGates(log, src, { turns = {}, words = {} }, last) {
  const left = turnsFromEnd(src);
  return log.map((g, i) => {
    const hand = words[i] ?? turns[last - left[i]];
    return i === 0 || hand === undefined ? g : closedIf(!hand);
  });
}

/**
 * Gates that are safe to attend through: [CLS] is open, and where nothing would be open,
 * everything is.
 */
export function applyGateRules(log, clsOpen = true) {
  const res = Float64Array.from(log);
  if (clsOpen) res[0] = 0;
  return res.every((g) => g === -Infinity) ? res.fill(0) : res;
}

/** The gates of a context, as a question wants them: by name, with what was set by hand. */
export function makeGates({ gate, turns, hand = {}, ...options }, cause, src, clsOpen = true) {
  const log = applyGateRules(GATES[gate](logOdds(cause), src, options), clsOpen);
  return applyGateRules(handGates(log, src, hand, turns.length - 1), clsOpen);
}

// ---------------------------------------- generator (ecgen/model/generator.py)

/** Rows of b below those of a. */
function extend(a, b) {
  if (!a) return b;
  const res = matrix(a.rows + b.rows, a.cols);
  res.data.set(a.data);
  res.data.set(b.data, a.data.length);
  return res;
}

export class ResponseGenerator {
  constructor(weights, config) { Object.assign(this, { w: weights, cfg: config }); }

  /** Word + position + emotion. */
  embed(ids, emotion, start = 0) {
    const { w, cfg } = this, x = embedding(w.words, ids, cfg.scale_words ? Math.sqrt(cfg.dim) : 1);
    add(x, positions(ids.length, cfg.dim, start));
    return addRow(x, embedding(w.emotions, [emotion]).data);
  }

  /**
   * The dialogue, ready for the decoder: keys and values for the cross and the gated attention of
   * each block.
   */
  encode(src, emotion) {
    const { w, cfg } = this, x = this.embed(src, emotion);
    for (let i = 0; i < cfg.layers; i++) encoderBlock(x, w.encoder[i], cfg.heads);
    const h = layerNorm(x, w.norm_h), ctx = { emotion, cross: [], gated: [] };
    for (let i = 0; i < cfg.layers; i++) {
      ctx.cross.push(keysValues(h, w.decoder[i].cross));
      ctx.gated.push(keysValues(h, w.decoder[i].gated));
    }
    return ctx;
  }

  /**
   * One more word: its state, of which `logits` makes scores of the next one. `kvCache` grows by
   * its keys and values.
   */
  decode(id, ctx, kvCache, logGates, seen = null) {
    const { w, cfg } = this, { heads } = cfg;
    const x = this.embed([id], ctx.emotion, kvCache[0] ? kvCache[0].key.rows : 0);
    for (let i = 0; i < cfg.layers; i++) {
      const block = w.decoder[i], h = layerNorm(x, block.norm1), now = keysValues(h, block.attn);
      const before = kvCache[i];
      kvCache[i] = { key: extend(before?.key, now.key), value: extend(before?.value, now.value) };
      add(x, multiHeadAttention(h, kvCache[i], block.attn, heads));
      add(x, multiHeadAttention(layerNorm(x, block.norm2), ctx.cross[i], block.cross, heads));
      const gated = [ctx.gated[i], block.gated, heads, logGates, seen];
      add(x, multiHeadAttention(layerNorm(x, block.norm3), ...gated));
      add(x, feedForward(layerNorm(x, block.norm4), block.ffn));
    }
    return layerNorm(x, w.norm_y);
  }

  /** Scores of all words of the vocabulary: the word table is also the last layer. */
  logits(state) {
    const { weight } = this.w.words;
    if (!weight.int8) return linear(state, this.w.words).data;
    const { rows, cols, data } = weight.int8, y = new Float32Array(rows);
    wordDots(state.data, data, rows, cols, y);
    for (let i = 0; i < rows; i++) y[i] *= weight.scale.data[i];
    return y;
  }
}

/**
 * As `dots`, for 8-bit integers: of its own, for a function that meets one type of number only is
 * faster.
 */
function wordDots(X, W, outs, n, Y) {
  let i = 0;
  for (; i + 4 <= outs; i += 4) {
    const o = i * n, p = o + n, q = p + n, s = q + n;
    let a = 0, b = 0, c = 0, d = 0;
    for (let j = 0; j < n; j++) {
      const x = X[j];
      a += W[o + j] * x; b += W[p + j] * x; c += W[q + j] * x; d += W[s + j] * x;
    }
    Y[i] = a; Y[i + 1] = b; Y[i + 2] = c; Y[i + 3] = d;
  }
  for (; i < outs; i++) for (let j = 0; j < n; j++) Y[i] += W[i * n + j] * X[j];
}

// ---------------------------------------- choice of words (ecgen/model/decoding.py)

/**
 * Numbers from 0 to 1 that are the same for the same seed (mulberry32); other numbers than
 * torch's.
 */
export function seededRandom(seed) {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/** The next word: the most probable one, or one of the k most probable ones by chance. */
export function sampleNext(logits, { k = 1, temperature = 1 }, first, random) {
  for (const id of [PAD, UNK, BOS, CLS, SEP, ...(first ? [EOS] : [])]) logits[id] = -Infinity;
  const top = [];
  for (let n = 0; n < k; n++) {
    let best = -1;
    for (let i = 0; i < logits.length; i++) {
      if ((best < 0 || logits[i] > logits[best]) && !top.includes(i)) best = i;
    }
    top.push(best);
  }
  if (k === 1) return top[0];
  const chances = softmax(top.map((i) => logits[i] / temperature));
  let rest = random();
  return top[Math.max(0, chances.findIndex((p) => (rest -= p) < 0))];
}

// -------------------------------- the model as one (ecgen/model/model.py, ecgen/use/playground.py)

/**
 * Reasoner, gates and generator. `settings`: config.json's, the words of vocab.json, emotions,
 * rules.
 */
export class EmpatheticModel {
  constructor(tree, { config, words, emotions, rules }) {
    Object.assign(this, { cfg: config, emotions, last: {} });
    Object.assign(this, { vocab: new Vocab(words), text: new Text(rules) });
    this.reasoner = new EmotionReasoner(tree.reasoner, config.reasoner);
    this.generator = new ResponseGenerator(tree.generator, config.generator);
  }

  /**
   * Reason about token ids and get the generator ready; once for all gates of the same dialogue.
   */
  encode(src) {
    if (this.last.key === src.join()) return this.last;
    const reasoning = this.reasoner.forward(src), { emotion } = reasoning;
    const ctx = this.generator.encode(src, emotion.indexOf(Math.max(...emotion)));
    this.last = { key: src.join(), reasoning, ctx };
    return this.last;
  }

  /**
   * Word after word of a response: yields each id with the attention that wrote it, and ends with
   * the end's.
   */
  *generate(ctx, logGates, decoder = {}) {
    const kvCache = [], most = decoder.max_new_tokens ?? 40;
    const random = seededRandom(decoder.seed ?? 0);
    let id = BOS;
    for (let n = 0; n < most && (n === 0 || id !== EOS); n++) {
      const seen = [], state = this.generator.decode(id, ctx, kvCache, logGates, seen);
      id = sampleNext(this.generator.logits(state), decoder, n === 0, random);
      yield { id, seen };
    }
    if (id === EOS) return;
    const seen = []; // as Python watches it, the last word read is the last one written
    this.generator.decode(id, ctx, kvCache, logGates, seen);
    yield { id: EOS, seen };
  }

  /**
   * Answer a question:
   * { turns, gate, hand: { turns, words }, threshold, temperature, draw, k, seed }.
   * Yields the answer without a response as soon as it is known, then the text so far for each
   * word, then the whole answer; ecgen.use.playground.answer gives the same data.
   */
  *answer(question) {
    const { text, vocab, cfg } = this, { turns, gate = cfg.gate, hand = {} } = question;
    const { k = 1, seed = 0, threshold = 0.5, temperature = 1, draw = 0 } = question;
    const words = text.checkTurns(turns), lower = words.map((t) => t.map((w) => w.toLowerCase()));
    const src = encodeContext(lower, vocab, cfg.max_context), { reasoning, ctx } = this.encode(src);
    const logGates = makeGates({ ...question, gate }, reasoning.cause, src, cfg.cls_open);
    const cut = text.textPieces(turns, words, src.length), context = vocab.decode(src);
    const marked = cut.flatMap((t) => t.pieces).filter(([, i]) => i >= 0);
    for (const [piece, i] of marked) context[i] = piece; // as typed
    const chances = softmax(reasoning.emotion);
    const emotions = this.emotions.map((e, i) => [e, chances[i]]);
    const known = {
      said: turns,
      closed: Object.keys(hand.turns || {}).filter((t) => !hand.turns[t]).map(Number),
      gate,
      hand,
      asked: { threshold, temperature, draw, k, seed },
      turns: cut,
      context,
      cause: Array.from(logOdds(reasoning.cause), sigmoid),
      gates: Array.from(logGates, Math.exp),
      cls_open: cfg.cls_open,
      emotions: emotions.sort((a, b) => b[1] - a[1]),
      response: '',
      note: turns.some((t) => text.danger(t)) ? text.rules.note : '',
      dropped: words.flat().length - marked.length,
    };
    yield { answer: { ...known, partial: !known.note } };
    if (known.note) return;
    const ids = [], seen = [], decoder = { k, seed, temperature: cfg.temperature };
    for (const step of this.generate(ctx, logGates, decoder)) {
      seen.push(step.seen);
      if (step.id === EOS) break;
      ids.push(step.id);
      yield { text: text.detokenize(vocab.decode(ids)) };
    }
    const response = text.clean(text.detokenize(vocab.decode(ids)));
    const said = [...vocab.decode(ids), '<end>'], attention = this.recorded(seen, src.length);
    yield { answer: { ...known, response, words: said, ids, ...attention } };
  }

  /**
   * Attention without gates as the widgets want it: layers x heads x words of the response x words
   * of X.
   */
  recorded(seen, n) {
    const { layers, heads } = this.cfg.generator, shape = [layers, heads, seen.length, n];
    const before = new Float32Array(layers * heads * seen.length * n);
    const put = (row, lh, m) => before.set(row, (lh * seen.length + m) * n);
    seen.forEach((rows, m) => rows.forEach((row, lh) => put(row, lh, m)));
    return { shape, before };
  }
}

// ---------------------------------------- in a worker

/** Base64 -> bytes. */
function fromBase64(text) {
  const plain = atob(text), bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
  return bytes;
}

/**
 * The weights from beside the page, or from the browser's cache; `progress` is told how many bytes
 * are there.
 */
async function fetchWeights({ url, size, again }, progress) {
  const answer = await fetch(url, { cache: again ? 'reload' : 'force-cache' });
  if (!answer.ok) throw new Error(`the server says ${answer.status}`);
  const bytes = new Uint8Array(size), reader = answer.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > size) throw new Error('the file is longer than it should be');
    bytes.set(part.value, at);
    progress(at += part.value.length);
  }
  if (at < size) throw new Error(`only ${at} of ${size} bytes arrived`);
  return bytes;
}

/**
 * What a page and its worker say to each other. The page sends `settings`, then the weights as
 * `part`s in base64 where they are in it, then `load`; after that questions, each with a number
 * (`ask`). A newer question ends an older one.
 */
function listen() {
  const tell = (message) => self.postMessage(message), gap = new MessageChannel();
  const pause = () => new Promise((done) => { // lets newer messages in; no timer is as quick
    gap.port1.onmessage = done;
    gap.port2.postMessage(0);
  });
  let settings, bytes, model, at = 0, newest = 0;

  function take(part) {
    if (at + part.length > bytes.length) throw new Error('it is longer than it should be');
    bytes.set(part, at);
    at += part.length;
  }

  async function load() {
    const { weights } = settings, progress = (n) => tell({ progress: n / weights.size });
    if (weights.url) bytes = await fetchWeights(weights, progress);
    else if (at < weights.size) throw new Error(`only ${at} of ${weights.size} bytes are there`);
    const start = performance.now(), same = sha256(bytes) === weights.sha256;
    if (!same) throw new Error('its checksum is not the one that it should have');
    model = new EmpatheticModel(readTensors(bytes), settings);
    bytes = null; // the model has its own numbers
    tell({ ready: performance.now() - start });
  }

  async function respond(question) {
    newest = question.ask;
    for (const message of model.answer(question)) {
      tell({ to: question.ask, ...message });
      await pause(); // so that a newer question is heard
      if (newest !== question.ask) return;
    }
  }

  self.onmessage = async ({ data }) => {
    try {
      if (data.settings) {
        settings = data.settings;
        bytes = new Uint8Array(settings.weights.url ? 0 : settings.weights.size);
      } else if (data.part !== undefined) take(fromBase64(data.part));
      else if (data.load) await load();
      else await respond(data);
    } catch (e) { tell(data.ask ? { to: data.ask, error: e.message } : { failed: e.message }); }
  };
}

if (typeof WorkerGlobalScope !== 'undefined' && self instanceof WorkerGlobalScope) listen();
