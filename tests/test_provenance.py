"""The commit of the working directory, read without running anything."""

import subprocess

import pytest

from irrl.provenance import git_commit


def test_it_names_the_commit_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert git_commit() is None
    commit = "git init -q . && touch a && git add a && git -c user.name=n -c user.email=e commit -qm m"
    subprocess.run(commit, shell=True, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert git_commit() == head
    subprocess.run(
        "git pack-refs --all && git worktree add -q below && git checkout -q -b a/b.c", shell=True, check=True
    )
    assert git_commit() == head
    monkeypatch.chdir(tmp_path / "below")  # its folder of git's is elsewhere, and its branch is packed
    assert git_commit() == head
    subprocess.run("git checkout -q --detach", shell=True, check=True)
    assert git_commit() == head


@pytest.mark.parametrize("bare", [False, True])
def test_nothing_that_a_repositorys_configuration_names_is_run(tmp_path, monkeypatch, bare):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", *["--bare"] * bare, "."], check=True)
    marker = tmp_path / "ran"
    for name in ("core.fsmonitor", "core.pager", "filter.x.clean", "core.sshCommand"):
        subprocess.run(["git", "config", name, f"touch {marker}"], check=True)
    (tmp_path / ".gitattributes").write_text("* filter=x")
    git_commit()
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["../../../secret", "refs/../../secret", "/etc/hostname", "refs/heads/absent", "ref: x"]
)
def test_a_head_that_leads_elsewhere_names_no_commit(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path.parent / "secret").write_text("a" * 40)
    (tmp_path / ".git" / "HEAD").write_text(f"ref: {name}\n")
    assert git_commit() is None
