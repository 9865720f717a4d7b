"""A Slurm of this machine, of a few lines: `sbatch`, `srun`, `sacct`, `scontrol` and `squeue` in one program.

It does what they are asked, without a queue, and records it in `$FAKE_SLURM/asked`. The name it is called by says which
of them it is.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("sbatch", "srun", "sacct", "scontrol", "squeue")


def install(folder: Path) -> dict[str, str]:
    """Put the programs into `folder/bin`; the environment in which they are found."""
    (folder / "bin").mkdir()
    for name in PROGRAMS:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        program.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def asked(folder: Path) -> list[list[str]]:
    """What was asked for, in order."""
    return [json.loads(line) for line in (folder / "asked").read_text().splitlines()]


def launch(home: Path, job: str, script: str, restarts: int) -> None:
    number, _, index = job.partition("_")
    own = {"SLURM_JOB_ID": job if not index else str(int(number) + 1 + int(index)), "SLURM_JOB_NODELIST": "localhost"}
    own |= dict.fromkeys(("SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID"), "0")
    own |= dict.fromkeys(("SLURM_NTASKS", "SLURM_JOB_NUM_NODES"), "1")
    own |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}
    own |= {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    (home / f"job-{job}").write_text(json.dumps([job, script, restarts]))
    said = (home / f"{job}.said").open("ab")
    process = subprocess.Popen(["bash", script], env=os.environ | own, stdout=said, stderr=said, start_new_session=True)
    (home / f"pid-{job}").write_text(str(process.pid))


def main(name: str, arguments: list[str]) -> None:
    home = Path(os.environ["FAKE_SLURM"])
    with (home / "asked").open("a") as file:
        file.write(json.dumps([name, *arguments]) + "\n")
    if name == "sbatch":
        script = Path(arguments[-1]).read_text()
        number = str(1000 * (1 + len(list(home.glob("script-*")))))
        copy = home / f"script-{number}"
        copy.write_text(script)
        array = re.search(r"#SBATCH --array=0-(\d+)", script)
        for job in [f"{number}_{index}" for index in range(int(array[1]) + 1)] if array else [number]:
            launch(home, job, str(copy), 0)
        print(f"Submitted batch job {number}")
    elif name == "srun":
        words = arguments
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] in ("--output", "--error") else words[1:]
        os.execvp(words[0], words)
    elif name == "sacct":
        print("JobID|State|NodeList")
        for path in home.glob("pid-*"):
            state = "RUNNING" if Path(f"/proc/{path.read_text()}").exists() else "COMPLETED"
            print(f"{path.name.removeprefix('pid-')}|{state}|localhost")
    elif name == "scontrol" and arguments[0] == "requeue":
        job, script, restarts = json.loads((home / f"job-{arguments[1]}").read_text())
        launch(home, job, script, restarts + 1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
