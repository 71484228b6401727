"""Executes the notebooks of this folder: `execute.py SCRATCH [--update]`; see `run`."""

import difflib
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

# This imports matplotlib, which builds its font cache now: no notebook has to, and says so in its output.
from hypocenter import ROOT

FOLDER = Path(__file__).resolve().parent
LARGEST_BYTES = 600_000


def execute(path, scratch):
    """The notebook with fresh outputs, without what differs from run to run. A cell that fails is an exception."""
    notebook = nbformat.read(path, as_version=4)
    # The kernel listens on a socket of the file system: no port is open to others while it runs.
    config = Config({"KernelManager": {"transport": "ipc", "ip": str(scratch / "kernel")}})
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, config=config, timeout=300, kernel_name="python3", record_timing=False, resources=where).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def text(notebook):
    """What can be read in a notebook, line by line. Figures are left out: their bytes depend on the machine's fonts."""
    for cell in notebook.cells:
        yield from cell.source.splitlines()
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stdout":
                yield from output.text.splitlines()
            elif "data" in output and "image/png" not in output.data:
                yield from output.data.get("text/html", output.data.get("text/plain", "")).splitlines()


def main(scratch, update):
    problems = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        print(path.name, flush=True)
        committed = list(text(nbformat.read(path, as_version=4)))
        try:
            notebook = execute(path, scratch)
        except CellExecutionError as error:
            problems.append(f"{path.name}: {error}")
            continue
        executed = scratch / path.name
        nbformat.write(notebook, executed)
        if str(ROOT) in executed.read_text():
            problems.append(f"{path.name} shows a path of this machine")
        if executed.stat().st_size > LARGEST_BYTES:
            problems.append(f"{path.name} has {executed.stat().st_size} bytes, more than {LARGEST_BYTES}")
        changed = list(difflib.unified_diff(committed, list(text(notebook)), "committed", "executed", lineterm="", n=0))
        if update:
            path.write_bytes(executed.read_bytes())
        elif changed:
            print("\n".join(changed[:40]))
            problems.append(f"{path.name} no longer shows what the program says: notebooks/run --update")
    return problems


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), "--update" in sys.argv[2:])
    for problem in found:
        print(problem, file=sys.stderr)
    sys.exit(1 if found else 0)
