"""Downloads from a server that breaks off, lies or stalls, and archives that are damaged"""
import gzip
import io
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, strategies as st
from pooch import HTTPDownloader
from requests import exceptions

from ecgen.data.download import SOURCES, File, download, fetch, notes, receive, unpack_archive
from ecgen.data.files import EcgenError
from ecgen.tests.test_data_download import (
    ASSERTIONS, TAR, TEXT, TOY, Server, archive_at, packed, quiet, sha, toy, toy_concepts, tree)


def test_broken_downloads_are_continued():
    cases = (('cut', b'', 8), ('plain', TEXT[:100], 1), ('norange', TEXT[:100], 1),
             ('plain', b'old', 2), ('plain', TEXT, 1), ('plain', TEXT + b'too long', 2),
             ('plain', b'x' * len(TEXT), 2), ('moved', b'', 2), ('moved', TEXT[:9], 2))
    with Server({'toy.csv': TEXT}) as server, tempfile.TemporaryDirectory() as tmp:
        part = Path(tmp)/'p'
        for how, old, requests in cases:
            part.write_bytes(old)
            server.seen.clear()
            assert receive(TOY, *server.at(how), part) == '', (how, old[:9])
            assert part.read_bytes() == TEXT, (how, old[:9])
            assert len(server.seen) <= requests, (how, server.seen)
            assert server.seen[0][1] == (f'bytes={len(old)}-' if old else None)


def test_failures_have_a_reason():
    reasons = {'404': 'HTTP 404', '500': 'HTTP 500', 'wrong': 'another checksum',
               'cut-norange': 'the connection broke off', 'stall-norange': 'no answer in time',
               'moved-away': 'an answer without sense, ValueError'}
    with Server({'toy.csv': TEXT}) as server, tempfile.TemporaryDirectory() as tmp:
        part = Path(tmp)/'p'
        for how, why in reasons.items():
            assert receive(TOY, *server.at(how), part, timeout=.2) == why
        assert receive(replace(TOY, size=9), *server.at('plain'), part) == 'a larger file'


def test_mirrors_are_tried_in_order():
    for hows in ('404 plain', '500 moved', 'wrong plain', 'stall-norange plain', 'cut-norange cut',
                 '404 500 wrong norange'):
        hows = hows.split()
        with Server({'toy.csv': TEXT}) as server, tempfile.TemporaryDirectory() as tmp:
            fetch(replace(TOY, urls=server.at(*hows)), Path(tmp), timeout=.2)
            assert (Path(tmp)/'toy/toy.csv').read_bytes() == TEXT
            assert os.listdir(f'{tmp}/toy') == ['toy.csv']
            assert list(dict.fromkeys(how for how, _ in server.seen if how in hows)) == hows


def test_without_network_one_sentence_says_what_to_do():
    with Server({'toy.csv': TEXT}) as server: urls = server.at('plain')
    with tempfile.TemporaryDirectory() as tmp:    # the server is gone
        with pytest.raises(EcgenError) as e: fetch(replace(TOY, urls=urls), Path(tmp), timeout=.5)
        assert os.listdir(tmp) == [], 'no file and no folder before the first byte'
    message = str(e.value)
    assert 'toy.csv could not' in message and '127.0.0.1: no connection' in message
    assert urls[0] in message and str(Path(tmp)/'toy') in message
    assert message.endswith('.') and '\n' not in message


def test_halves_of_unknown_files_are_not_joined():
    with Server({'toy.csv': TEXT}) as server, tempfile.TemporaryDirectory() as tmp:
        path = Path(tmp)/'toy/toy.csv'
        path.parent.mkdir()
        path.with_name('toy.csv.part').write_bytes(b'of another day')
        urls = server.at('cut-norange', 'plain')
        fetch(replace(TOY, urls=urls, hashes=(None,), size=None), Path(tmp))
        assert path.read_bytes() == TEXT and server.seen[-1] == ('plain', None)


def test_bad_archives_are_refused_and_leave_nothing():
    tar, zip_ = packed('tar', {'toy.csv': TEXT}), packed('zip', {'toy.csv': TEXT})
    link, out = tarfile.TarInfo('toy.csv'), io.BytesIO()
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    with tarfile.open(fileobj=out, mode='w') as t: t.addfile(link)
    bad = [(tar[:-900], 'damaged'), (zip_[:-90], 'damaged'),
           (zip_.replace(zip_[60:70], b'0123456789'), 'damaged'), (b'PK', 'damaged'),
           (packed('tar', {'a/other.csv': TEXT}), 'holds no toy.csv'),
           (packed('zip', {}), 'holds no'), (out.getvalue(), 'holds no'),
           (packed('zip', {'toy.csv': TEXT[1:]}), 'bytes instead of'),
           (packed('tar', {'toy.csv': TEXT[1:] + b'!'}), 'another checksum')]
    for content, why in bad:
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp)/'a'
            path.write_bytes(content)
            with pytest.raises(EcgenError, match=why): unpack_archive(path, [TOY], Path(tmp))
            assert tree(tmp) == {'a': content}


def test_any_damaged_archive_is_refused_or_right():
    small = File('toy.csv', (sha(TEXT[:300]),), 300)
    archives = [packed(kind, {'toy.csv': TEXT[:300]}) for kind in ('zip', 'tar')]
    change = st.tuples(st.integers(0, 400), st.binary(max_size=6))

    @given(st.sampled_from(archives), st.lists(change, min_size=1, max_size=4))
    def damage(content, changes):
        with tempfile.TemporaryDirectory() as tmp:
            for at, new in changes: content = content[:at] + new + content[at + 3:]
            (Path(tmp)/'a').write_bytes(content)
            try: unpack_archive(Path(tmp)/'a', [small], Path(tmp))
            except EcgenError as e: assert tree(tmp) == {'a': content} and '\n' not in str(e)
            else: assert (Path(tmp)/'toy.csv').read_bytes() == TEXT[:300]
    damage()


def test_a_damaged_conceptnet_leaves_nothing():
    for content, why in ((ASSERTIONS[:-20], 'damaged'),
                         (gzip.compress(b'<html>'), 'holds no assertions')):
        with Server({'toy.tar.gz': content}) as server, tempfile.TemporaryDirectory() as tmp:
            source = toy_concepts(server, content)
            with pytest.raises(EcgenError, match=why): download(source, tmp, quiet)
            assert tree(tmp) == {}


def test_an_archive_that_is_gone_is_replaced_by_its_files():
    with Server({'toy.csv': TEXT, 'toy.tar.gz': TAR}) as server:
        for archive in (['404'], ['wrong'], ['cut-norange', '500']):
            with tempfile.TemporaryDirectory() as tmp:
                download(toy(archive_at(server, *archive), *server.at('404', 'cut')), tmp, quiet)
                found = {n: c for n, c in tree(tmp).items() if not n.endswith('.part')}
                assert found == {'toy/toy.csv': TEXT}
        with tempfile.TemporaryDirectory() as tmp:
            with pytest.raises(EcgenError, match='toy.tar.gz could not'):
                download(toy(archive_at(server, '404'), *server.at('404')), tmp, quiet)


def test_an_archive_with_wrong_content_is_not_kept():
    for content, why in ((packed('tar', {'toy.csv': b'x' * len(TEXT)}), 'another checksum'),
                         (packed('tar', {'b': b''}), 'holds no'), (b'not packed', 'damaged')):
        with Server({'toy.tar.gz': content}) as server, tempfile.TemporaryDirectory() as tmp:
            source = toy(archive_at(server, 'plain'), content=content)
            with pytest.raises(EcgenError, match=why): download(source, tmp, quiet)
            assert tree(tmp) == {}


def test_every_source_says_what_to_do_without_network():
    room = mock.patch('shutil.disk_usage', return_value=mock.Mock(free=1e12))
    lost = mock.patch.object(HTTPDownloader, '__call__', side_effect=exceptions.ConnectionError)
    for source in SOURCES.values():
        first = source.archive or source.files[0]
        with tempfile.TemporaryDirectory() as tmp, lost, room:
            with pytest.raises(EcgenError) as e: download(source.name, tmp, quiet)
        path = Path(tmp)/first.path
        assert all(w in str(e.value) for w in (path.name, first.urls[0], str(path.parent)))
        assert 'no connection' in str(e.value)


def test_files_put_there_by_hand_are_checked():
    archive, file = 'downloads/toy.tar.gz', 'toy/toy.csv'
    by_hand = [(archive, TAR, ''), (archive, TAR[:-9], 'bytes instead of'),
               (archive, TAR[:-1] + b'?', 'another checksum'), (archive, b'', 'an empty file'),
               (file, TEXT, ''), (file, TEXT[:99], '99 bytes instead'),
               (file, TEXT[:-1] + b'?', 'another checksum'), (file, b'', 'an empty file')]
    with Server({}) as server:
        for name, content, why in by_hand:
            with tempfile.TemporaryDirectory() as tmp:
                before = {name: content, 'toy/mine.csv': b'mine'}
                for f, c in before.items():
                    (Path(tmp)/f).parent.mkdir(exist_ok=True)
                    (Path(tmp)/f).write_bytes(c)
                source = toy(archive_at(server, 'plain'))
                message = f'{Path(name).name} is not the file'
                if why:
                    with pytest.raises(EcgenError, match=f'{message} .*{why}'):
                        download(source, tmp, ask=pytest.fail)
                else: download(source, tmp, ask=pytest.fail)
                assert tree(tmp) == before | ({} if why else {file: TEXT}) and server.seen == []


def test_folders_and_files_in_the_way_are_named():
    in_the_way = {'toy/toy.csv': 'is not the file .*a folder',
                  'downloads/toy.tar.gz': 'is not the file .*a folder',
                  'toy/toy.csv.new': 'toy.csv.new cannot be',
                  'downloads/toy.tar.gz.part': 'toy.tar.gz.part cannot be'}
    with Server({'toy.tar.gz': TAR}) as server:
        source = toy(archive_at(server, 'plain'))
        for there, why in in_the_way.items():
            with tempfile.TemporaryDirectory() as tmp:
                (Path(tmp)/there).mkdir(parents=True)
                with pytest.raises(EcgenError, match=why): download(source, tmp, quiet)
                assert (Path(tmp)/there).is_dir()
        with tempfile.TemporaryDirectory() as tmp:
            (Path(tmp)/'file').write_bytes(b'mine')
            with pytest.raises(EcgenError, match='file.* cannot be read or written'):
                download(source, Path(tmp)/'file/data', quiet)
            assert tree(tmp) == {'file': b'mine'}


def test_a_folder_without_rights_is_named():
    with Server({'toy.tar.gz': TAR}) as server, tempfile.TemporaryDirectory() as tmp:
        # tests may run as root, who may write everywhere
        refused = PermissionError(13, 'Permission denied', f'{tmp}/downloads')
        with mock.patch.object(Path, 'mkdir', side_effect=refused):
            with pytest.raises(EcgenError, match='downloads cannot be .*Permission denied'):
                download(toy(archive_at(server, 'plain')), tmp, quiet)
        assert tree(tmp) == {}


def test_a_full_disk_is_said_and_nothing_is_lost():
    full = OSError(28, 'No space left on device')
    with Server({'toy.tar.gz': TAR}) as server, tempfile.TemporaryDirectory() as tmp:
        source = toy(archive_at(server, 'cut'))
        with mock.patch('shutil.disk_usage', return_value=mock.Mock(free=9)):
            with pytest.raises(EcgenError, match='0.0 kB free and .* are needed'):
                download(source, tmp, quiet)
        assert tree(tmp) == {} and server.seen == []
        with mock.patch.object(HTTPDownloader, '__call__', side_effect=full):
            with pytest.raises(EcgenError, match='No space left'): download(source, tmp, quiet)
        with mock.patch('shutil.copyfileobj', side_effect=full):
            with pytest.raises(EcgenError, match='No space left'): download(source, tmp, quiet)
        assert tree(tmp) == {'downloads/toy.tar.gz': TAR}
        download(source, tmp, quiet)
        assert tree(tmp)['toy/toy.csv'] == TEXT


def test_files_without_published_checksum_are_noted_on_arrival():
    unknown = replace(TOY, hashes=(None,), size=None, begins='0,0.0')
    with Server({'toy.tar.gz': TAR}) as server, tempfile.TemporaryDirectory() as tmp:
        source = toy(archive_at(server, 'plain'), files=(unknown,))
        path, = download(source, tmp, quiet)
        assert notes(Path(tmp)) == {'toy/toy.csv': sha(TEXT)} and download(source, tmp) == [path]
        path.write_bytes(TEXT[:-9])
        with pytest.raises(EcgenError, match='another checksum'): download(source, tmp)
        (Path(tmp)/'SHA256SUMS').write_bytes(b'\xff damaged')
        assert download(source, tmp) == [path]
        path.write_bytes(b'<html>Please log in')
        with pytest.raises(EcgenError, match='another kind of content'): download(source, tmp)
