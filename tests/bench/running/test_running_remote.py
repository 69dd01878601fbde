"""Results at a URL: a second place, ``local://``, that two machines with folders of their own share."""

import json
import os
import re
import socket
import threading
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from zeroinit._common import InputError
from zeroinit.bench.comparison import compare
from zeroinit.bench.running import remote as remote_module
from zeroinit.bench.running.remote import Remote, RemoteWarning, open_results
from zeroinit.bench.running.schedule import Options, Task, missing, run_all
from zeroinit.bench.store import Store, UnreadableError

from ..conftest import made_up


@pytest.fixture
def there(tmp_path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def url(there) -> str:
    return f"local://{there}"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Changes to a machine that has a folder of its own for results."""
    return lambda name: monkeypatch.setenv("ZEROINIT_CACHE_DIR", str(tmp_path / name))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def opened(url: str) -> Options:
    folder, remote = open_results(url)
    return Options(folder, remote=remote)


@pytest.mark.parametrize("jobs", [1, 2])
def test_two_machines_share_what_one_computes(url, there, machine, run, jobs):
    machine("first")
    options, tasks = opened(url), [Task(run, seed) for seed in (0, 1)]
    run_all(tasks, options, jobs=jobs)
    assert names(there) == [f"{run.key}/seed-{seed}.json" for seed in (0, 1)]
    machine("second")
    other = opened(url)
    assert other.results != options.results
    assert str(other.place) == url
    assert missing([*tasks, Task(run, 2)], Store(other.results)) == [Task(run, 2)]
    assert Store(other.results).load(run, 1) == Store(options.results).load(run, 1)


def test_two_spellings_of_a_url_are_one_place():
    places = [open_results(text)[1] for text in ("memory://a/study", "memory://a//study/", "memory:///a/study//")]
    assert places == [Remote("memory://a/study")] * 2 + [Remote("memory:///a/study")]


def test_a_folder_stays_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_results("~/study") == (tmp_path / "study", None)
    assert open_results("a~/~") == (Path("a~/~"), None)
    assert open_results(tmp_path) == (tmp_path, None)
    assert Options(tmp_path).place == tmp_path
    path = open_results("file:///tmp/a")[0]
    with pytest.raises(InputError, match=r"^file:///tmp/a: is a URL, and files are kept in folders; write /tmp/a$"):
        Store(path)


def test_what_cannot_be_sent_is_kept_and_sent_by_the_next_command(url, there, machine, run, monkeypatch):
    machine("first")
    options = opened(url)
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "pipe_file", lambda *_: (_ for _ in ()).throw(OSError("the line is dead")))
        with pytest.warns(RemoteWarning) as told:
            run_all([Task(run, 0)], options)
    text = str(told[0].message)
    assert text.startswith(f"{url}: results cannot be sent (OSError: the line is dead); they are kept in ")
    assert text.endswith(", and the next command with this URL sends them")
    assert len(told) == 1
    assert str(options.place) == f"{options.results}, and not all of it in {url}"
    assert names(there) == []
    options = opened(url)
    run_all([Task(run, 0)], options)
    assert str(options.place) == url
    assert names(there) == [f"{run.key}/seed-0.json"]
    assert (there / run.key / "seed-0.json").read_bytes() == Store(options.results).path(run, 0).read_bytes()


@pytest.mark.parametrize("silent", ["while it gets a result", "at the end"])
def test_a_place_that_does_not_answer_ends_nobodys_work(url, there, machine, run, monkeypatch, silent):
    machine("first")
    options, answers, asked = opened(url), threading.Event(), []
    monkeypatch.setattr(remote_module, "PATIENCE", 0.3)
    monkeypatch.setattr(remote_module, "_silent", {})
    remote_module._warn_once.cache_clear()
    method = "pipe_file" if silent == "while it gets a result" else "find"
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, method, lambda *_, **__: (asked.append(1), answers.wait(60)))
        with pytest.warns(RemoteWarning, match=r"no answer for \d s|does not answer"):
            run_all([Task(run, seed) for seed in range(3)], options)
        answers.set()
    assert "not all of it in" in str(options.place)
    assert len(asked) <= 2  # the next results do not wait, too
    assert missing([Task(run, seed) for seed in range(3)], Store(options.results)) == []
    monkeypatch.setattr(remote_module, "_silent", {})
    options = opened(url)
    options.remote.sync()
    assert str(options.place) == url
    assert names(there) == [f"{run.key}/seed-{seed}.json" for seed in range(3)]


def test_a_place_that_does_not_answer_is_not_waited_for_if_the_user_wants_to_end(monkeypatch):
    monkeypatch.setattr(remote_module, "asked_to_stop", lambda: 15)
    monkeypatch.setattr(remote_module, "HURRY", 0.1)
    answers = threading.Event()
    with pytest.raises(TimeoutError, match="no answer"):
        remote_module._in_time(lambda: answers.wait(60))
    answers.set()
    assert remote_module._in_time(lambda: 3) == 3


def test_a_file_there_is_whole_or_absent(url, there, machine, run, monkeypatch):
    machine("first")
    options = opened(url)
    Store(options.results).save(made_up(run, 0, [0.5]))
    monkeypatch.setattr(LocalFileSystem, "mv", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.warns(RemoteWarning, match="killed"):
        options.remote.sync()
    assert [name for name in names(there) if name.endswith(".json")] == []
    machine("second")
    assert missing([Task(run, 0)], Store(opened(url).results)) == [Task(run, 0)]


def test_only_results_travel(url, there, machine, run, tmp_path):
    machine("first")
    options, store = opened(url), Store(open_results(url)[0])
    store.save(made_up(run, 0, [0.5]))
    for name in (".seed-1.lease", ".seed-1.lock", "seed-0.json.damaged-1", "seed-1.checkpoint/step-4.pt", "notes.txt"):
        path = store.root / run.key / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    options.remote.sync()
    assert names(there) == [f"{run.key}/seed-0.json"]
    (there / run.key / "seed-0.pkl").write_text("cos\nsystem")
    (there / "evil.json").write_text("{}")
    (there / f"{run.key}/deeper").mkdir()
    (there / f"{run.key}/deeper/seed-1.json").write_text("{}")
    with (there / run.key / "seed-7.json").open("wb") as large:
        large.truncate(2**28 + 1)
    machine("second")
    assert names(open_results(url)[0]) == [f"{run.key}/seed-0.json"]


def test_nothing_is_written_through_a_link(url, there, machine, run, tmp_path):
    machine("first")
    Store(there).save(made_up(run, 0, [0.5]))
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = Remote(url).folder
    folder.mkdir(parents=True)
    (folder / run.key).symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        open_results(url)
    assert names(outside) == []


def test_a_damaged_file_there_is_replaced(url, there, machine, run):
    machine("first")
    Store(there).save(made_up(run, 0, [0.5]))
    path = there / run.key / "seed-0.json"
    path.write_text(path.read_text()[:-9])
    options = opened(url)
    store = Store(options.results)
    assert store.find(run, 0) is None
    store.set_aside(run, 0)
    run_all([Task(run, 0)], options)
    assert path.read_bytes() == store.path(run, 0).read_bytes()


def test_failures_bundles_and_looks(url, there, machine, run):
    machine("first")
    options = opened(url)
    bad = replace(run, initializer="zeroinit_no_such:function")
    store = Store(there)
    store.bundle("old", [made_up(run, seed, [0.5]) for seed in (0, 1)])
    (there / "looks.json").write_text(json.dumps({"a": [[0, 1]], "b": [[0]]}))
    (options.results).mkdir(parents=True)
    (options.results / "looks.json").write_text(json.dumps({"a": [[0, 1], [0, 1, 2]], "c": [[3]]}))
    with pytest.raises(InputError):
        run_all([Task(bad, 0)], options)
    options.remote.sync()
    joined = {"a": [[0, 1], [0, 1, 2]], "b": [[0]], "c": [[3]]}
    assert json.loads((options.results / "looks.json").read_text()) == joined
    assert json.loads((there / "looks.json").read_text()) == joined
    assert Store(options.results).has(run, 1)
    store.bundle("old", [made_up(run, seed, [0.5]) for seed in (0, 1, 2)])
    assert Store(open_results(url)[0]).has(run, 2)


def test_a_failure_is_known_elsewhere(url, machine, monkeypatch, tmp_path, run):
    (tmp_path / "never_starts.py").write_text("def fails(weight, generator):\n    raise SystemExit('broken')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    machine("first")
    bad = replace(run, initializer="never_starts:fails")
    run_all([Task(bad, 0)], opened(url))
    machine("second")
    failure = Store(open_results(url)[0]).failure(bad, 0)
    assert failure is not None
    assert "broken" in failure.reasons[0]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://a/b", "cannot be read (ValueError: Protocol not known: nosuch); name a folder, or a URL of a kind"),
        ("smb://host", "; "),
    ],
)
def test_a_url_that_cannot_be_read(url, message):
    with pytest.raises(InputError, match=f"^results='{url}': .*{re.escape(message)}"):
        open_results(url)


def test_a_package_that_is_missing(monkeypatch):
    def gone(*_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", gone)
    message = "results='s3://a/b': cannot be read (ImportError: Install s3fs to access S3); install that package"
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        open_results("s3://a/b/")


def test_compare_at_a_url(url, there, machine):
    machine("first")
    first = compare(["zero"], seeds=2, learning_rates=[0.001], epochs=1, results=url)
    assert "looks.json" in names(there)
    machine("second")
    stored = {path: path.stat().st_mtime_ns for path in there.glob("*/*.json")}
    again = compare(["zero"], seeds=2, learning_rates=[0.001], epochs=1, results=url)
    assert [row.accuracy for row in again.rows] == [row.accuracy for row in first.rows]
    assert {path: path.stat().st_mtime_ns for path in there.glob("*/*.json")} == stored


@pytest.fixture
def forbidden(monkeypatch):
    """Files and folders at a URL that are listed and cannot be read."""
    refused, read, look = set(), LocalFileSystem.cat_file, LocalFileSystem.ls

    def cat_file(self, path, *others, **settings):
        if any(path.endswith(each) for each in refused):
            raise PermissionError(f"Forbidden: {path}")
        return read(self, path, *others, **settings)

    def ls(self, path, *others, **settings):
        if any(path.endswith(each) for each in refused):
            raise PermissionError(f"Forbidden: {path}")
        return look(self, path, *others, **settings)

    monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)
    monkeypatch.setattr(LocalFileSystem, "ls", ls)
    return refused


@pytest.mark.parametrize("kind", ["a file", "a link to nothing"])
def test_what_is_listed_and_cannot_be_read_is_not_absent(url, there, machine, run, forbidden, kind):
    machine("first")
    for seed in (0, 1):
        Store(there).save(made_up(run, seed, [0.5]))
    path = there / run.key / "seed-1.json"
    if kind == "a file":
        forbidden.add("seed-1.json")
    else:
        path.unlink()
        path.symlink_to("../.annex/objects/1")
    name = re.escape(f"{url}/{run.key}/seed-1.json")
    with pytest.raises(UnreadableError, match=rf"^{name}: cannot be read \(.*\); try again, or see who may read it$"):
        open_results(url)
    assert names(Remote(url).folder) == [f"{run.key}/seed-0.json"]  # the others are here
    Store(Remote(url).folder).save(made_up(run, 2, [0.5]))
    with pytest.raises(UnreadableError, match=f"^{name}: "):
        Remote(url).sync()
    assert (there / run.key / "seed-2.json").exists()  # what is new here was sent
    path.unlink()
    forbidden.clear()
    assert missing([Task(run, seed) for seed in range(4)], Store(open_results(url)[0])) == [Task(run, 1), Task(run, 3)]


def test_looks_that_cannot_be_read_are_not_replaced(url, there, machine, run, forbidden):
    machine("first")
    there.mkdir()
    (there / "looks.json").write_text(json.dumps({"a": [[0, 1]]}))
    options = opened(url)
    (options.results / "looks.json").write_text(json.dumps({"b": [[0]]}))
    forbidden.add("looks.json")
    with pytest.raises(UnreadableError, match=r"looks\.json: cannot be read"):
        options.remote.sync()
    assert json.loads((there / "looks.json").read_text()) == {"a": [[0, 1]]}


@pytest.mark.parametrize("folder", ["there", "of the run"])
def test_a_folder_that_may_not_be_listed_is_not_empty(url, there, machine, run, forbidden, folder):
    machine("first")
    Store(there).save(made_up(run, 0, [0.5]))
    (there / "empty").mkdir()
    assert missing([Task(run, 0)], Store(open_results(url)[0])) == []
    machine("second")
    forbidden.add("/there" if folder == "there" else run.key)
    with pytest.raises(InputError, match=rf"^results='{url}': cannot be read \(PermissionError: Forbidden"):
        open_results(url)


def test_a_file_that_is_removed_while_we_read_is_absent(url, there, machine, run, monkeypatch):
    machine("first")
    Store(there).save(made_up(run, 0, [0.5]))

    def cat_file(self, path, *others, **settings):
        Path(path).unlink()
        raise FileNotFoundError(path)

    monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)
    assert missing([Task(run, 0)], Store(open_results(url)[0])) == [Task(run, 0)]


SECRET = "very-secret"


def test_a_secret_is_neither_shown_nor_stored(machine, run, monkeypatch, tmp_path):
    """The messages of other packages hold the URL, too."""
    machine("first")
    url = f"ftp://anna:{SECRET}@host/study"
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda text: (_ for _ in ()).throw(OSError(f"{SECRET}: no {text}")))
    remote_module._warn_once.cache_clear()
    with pytest.raises(InputError) as refused:
        open_results(url)
    said = "".join(traceback.format_exception(refused.value))
    assert "results='ftp://anna:***@host/study': cannot be read (OSError: ***: no ftp://anna:***@host/study)" in said
    remote = Remote(url)
    Store(remote.folder).save(made_up(run, 0, [0.5]))
    with pytest.warns(RemoteWarning) as told:
        remote.send(Store(remote.folder).path(run, 0))
    with pytest.raises(InputError) as again:
        remote.sync()
    remote.unsent["a"] = "b"
    shown = [said, told[0].message, again.value, remote, repr(remote), repr(Options(tmp_path, remote=remote))]
    assert SECRET not in "".join(map(str, [*shown, *tmp_path.rglob("*")]))
    assert "ftp://anna:***@host/study" in str(remote)


def test_a_new_password_leads_to_the_same_folder(machine):
    machine("first")
    folders = [
        Remote(f"ftp://{user}@host/study").folder.name
        for user in ("anna:old", "anna:new", "otto:old", "anna", "otto:a/b")
    ]
    assert folders[0] == folders[1]
    assert folders[2] == folders[4]
    assert len(set(folders)) == 3
    assert Remote("s3://bucket/study").folder.name == "s3-bucket-study-0dbbb281307d"  # as it always was


@pytest.mark.parametrize("text", ["The provided token has expired.", "401, message='Unauthorized'", "ExpiredToken"])
def test_an_expired_token_is_told_with_the_way_out(url, there, machine, run, monkeypatch, text):
    machine("first")
    reason = PermissionError(text)
    options, way_out = opened(url), "log in again or renew the token, then type the same command"
    Store(options.results).save(made_up(run, 0, [0.5]))
    remote_module._warn_once.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "pipe_file", lambda *_: (_ for _ in ()).throw(reason))
        with pytest.warns(RemoteWarning):
            options.remote.sync()
    assert options.remote.way_out == f"{way_out} again, which sends them"
    options.remote.unsent.update(dict.fromkeys(options.remote.unsent, "OSError: the line is dead"))
    assert options.remote.way_out == "type the same command again, which sends them"
    monkeypatch.setattr(LocalFileSystem, "ls", lambda *_, **__: (_ for _ in ()).throw(reason))
    with pytest.raises(InputError, match=rf"; {way_out}$"):
        open_results(url)


def test_a_place_of_the_web_where_nobody_answers():
    with socket.socket() as taken:  # bound, and it takes no connection
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/study"
        with pytest.raises(
            InputError, match=rf"^results='{url}': cannot be read \(\w+: .+\); check the URL and your access$"
        ):
            open_results(url)


def test_no_place_at_all():
    with pytest.raises(InputError, match=r"^results='': is empty; name a folder or a URL$"):
        open_results("")
