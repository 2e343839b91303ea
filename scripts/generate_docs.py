"""Writes what is generated: the pages' tables, from the code and from committed results, and report.json's schema.

``--check`` writes nothing and exits with 1 when something is out of date.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from optkit import registry
from optkit.cli.list import parameters, precision
from optkit.engines import OPTION_NAMES
from optkit.report.json_file import schema_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
START, END = "<!-- generated: {} -->\n", "<!-- end -->"


def techniques() -> str:
    """A section of each technique: what it does, parameters, source."""
    sections = []
    for name in registry.names("techniques"):
        module = registry.load("techniques", name)
        shown = ", ".join(f"`{text}`" for text in parameters(name))
        summary = module.SUMMARY[0].upper() + module.SUMMARY[1:]
        sections.append(f"### `{name}`\n\n{summary}.\n\n- Parameters: {shown or 'none'}.\n- Source: {module.SOURCE}.\n")
    return "\n".join(sections)


def precisions() -> str:
    """Markdown table of the precisions by file format."""
    rows = ["| precision | format | what is real |", "|---|---|---|"]
    for name in registry.names("exporters"):
        module = registry.load("exporters", name)
        shown = {key: precision(name, key).replace("|", "\\|") for key in module.PRECISIONS}
        rows += [f"| `{key}` | {module.FORMAT} | {text} |" for key, text in shown.items()]
    return "\n".join(rows) + "\n"


def baselines() -> str:
    """Markdown table of the baselines."""
    rows = ["| baseline | network | source |", "|---|---|---|"]
    for name in registry.names("baselines"):
        module = registry.load("baselines", name)
        rows.append(f"| `{name}` | {module.SUMMARY} | {module.SOURCE} |")
    return "\n".join(rows) + "\n"


def engines() -> str:
    """Markdown table of the engines with their options."""
    rows = ["| engine | where trials run | options | source |", "|---|---|---|---|"]
    for name in registry.names("engines"):
        module = registry.load("engines", name)
        options = ", ".join(f"`{OPTION_NAMES[field]}`" for field in module.OPTIONS)
        rows.append(f"| `{name}` | {module.SUMMARY} | {options or 'none'} | {module.SOURCE} |")
    return "\n".join(rows) + "\n"


def standard() -> str:
    """What the terminal showed in the committed run of the bare command, and what that run cost."""
    shown = (RESULTS / "standard.txt").read_text(encoding="utf-8")
    table = shown.partition("\nwrote ")[0].strip("\n")
    result = json.loads((RESULTS / "standard.json").read_text(encoding="utf-8"))
    figures = {figure["name"]: figure["value"] for figure in result["figures"]}
    return (
        f"```text\n{table}\n```\n\n"
        f"That run took {figures['wall time'] / 60:.1f} minutes, "
        f"{figures['share of the time that is training']:.0%} of it training, "
        f"and at most {figures['peak memory of all processes']:.1f} GiB of memory "
        f"({result['environment']['cpu_model']}, {result['environment']['cores']} cores, {result['date']}).\n"
    )


def search() -> str:
    """What the terminal showed of the search in the committed run with limits, and what that run cost."""
    shown = (RESULTS / "search.txt").read_text(encoding="utf-8")
    found = "search, judged" + shown.partition("search, judged")[2].partition("\nwarning:")[0].partition("\nwrote ")[0]
    result = json.loads((RESULTS / "search.json").read_text(encoding="utf-8"))
    figures = {figure["name"]: figure["value"] for figure in result["figures"]}
    drop = figures["drop on the test set, upper end of its 95 % interval"]
    return (
        f"```text\n{found.strip()}\n```\n\n"
        f"On the test set the delivered file has lost at most {drop:.2f} points (upper end of the 95 % interval); "
        f"{result['environment']['cpu_model']}, {result['environment']['cores']} cores, {result['date']}.\n"
    )


def accuracies() -> str:
    """Markdown table of the baselines' test accuracy, from the committed run."""
    result = json.loads((RESULTS / "baselines.json").read_text(encoding="utf-8"))
    rows = ["| baseline | test accuracy [95 %] | promised at least | training |", "|---|--:|--:|--:|"]
    for figure in result["figures"]:
        low, high = result[figure["name"]]["ci95"]
        epochs = result[figure["name"]]["training"][0]["epochs"]
        seconds = sum(epoch["seconds"] for epoch in epochs)
        rows.append(
            f"| `{figure['name']}` | {figure['value']:.2f} % [{low:.2%}, {high:.2%}] | {figure['limit']:g} % "
            f"| {len(epochs)} epochs, {seconds:.0f} s |"
        )
    return "\n".join(rows) + "\n"


RIGHT = ("same_file", "k_times", "plain_loop", "startup", "quick")
SAFE = ("hostile", "faults", "large_folder")


def right() -> str:
    """What was measured of the harness itself, from the committed runs."""
    return _promises(RIGHT)


def safe() -> str:
    """What was tried with hostile files, faults and large data, from the committed runs."""
    return _promises(SAFE)


def augmentation() -> str:
    """What random changes of the images cost, from the committed run."""
    return _promises(("augmentation",))


def scaling() -> str:
    """How a search scales with worker processes and nodes, from the committed run."""
    return _promises(("scaling",))


def slim() -> str:
    """Markdown table of what slimming saves, from the committed run."""
    result = json.loads((RESULTS / "slim.json").read_text(encoding="utf-8"))
    rows = ["| file | bytes | slim | | gzip | slim |", "|---|--:|--:|--:|--:|--:|"]
    for name, record in result["records"].items():
        before, after = record["file_bytes_before"], record["file_bytes_after"]
        gzip = f"{record['gzip_bytes_before']:,} | {record['gzip_bytes_after']:,}"
        shown = "`int8.tflite` with `--merge-scales`" if record["merge"] else f"`{name}`"
        rows.append(f"| {shown} | {before:,} | {after:,} | −{1 - after / before:.0%} | {gzip} |")
    return "\n".join(rows) + "\n"


def front() -> str:
    """Markdown table of the smallest files, from the committed run."""
    result = json.loads((ROOT / "benchmarks/pareto/results.json").read_text(encoding="utf-8"))
    rows = ["| file, bytes | weights | test accuracy [95 %] | faster than LeNet-5 fp32 [95 %] |", "|--:|---|--:|--:|"]
    for one in result["rows"]:
        low, high = one["ci95"]
        ratio, least, most = one["faster"]
        allowed = "int8" if one["column"] == "int8" else "int4 allowed"
        link = f"[{one['file_bytes']:,}](../benchmarks/pareto/files/{one['file']})"
        rows.append(
            f"| {link} | {allowed} | {one['correct'] / 100:.2f} % [{low:.2%}, {high:.2%}] | "
            f"{ratio:.1f}× [{least:.1f}, {most:.1f}] |"
        )
    machine = f"{result['environment']['cpu_model']}, one thread, {result['date']}"
    return "\n".join(rows) + f"\n\n{machine}.\n"


def headline() -> str:
    """The large network against the smallest file that is not measurably worse, in one sentence."""
    result = json.loads((RESULTS / "headline.json").read_text(encoding="utf-8"))
    found = {figure["name"]: figure["value"] for figure in result["figures"]}
    low, high = (f"{100 * end:+.2f}".replace("-", "−") for end in result["difference_ci95"])
    return (
        f"The lessons' convolutional network with dropout ({found['bytes of the large file'] / 1e6:.1f} MB, "
        f"{found['large file, test images right'] / 100:.2f} %) against a file of "
        f"{found['bytes of the small file']:,} bytes ({found['small file, test images right'] / 100:.2f} %; difference "
        f"{low} to {high} points): **{found['times smaller']:,.0f} times smaller, {found['times faster']:,.0f} times "
        f"faster, {found['times fewer multiply-accumulates']:,.0f} times less arithmetic**.\n"
    )


def operators() -> str:
    """Markdown table of the operators that code is generated for."""
    rows = ["| operator | versions | what is covered |", "|---|---|---|"]
    for name in registry.names("codegen"):
        module = registry.load("codegen", name)
        least, greatest = module.VERSIONS
        rows.append(f"| `{module.KIND}` | {least}–{greatest} | {module.SUMMARY} |")
    return "\n".join(rows) + "\n"


def emulated() -> str:
    """Markdown tables of generated C on emulated machines, from the committed run."""
    result = json.loads((RESULTS / "emulated.json").read_text(encoding="utf-8"))
    first = [
        "| file | bytes | right of 10,000 | unlike LiteRT | flash | RAM | of TFLM's | with kernels | of its arena |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    ways: list[str] = []
    second = []
    for name, record in result["records"].items():
        runs = {(one["machine"], one["prefer"]): one for one in record["runs"] if "skipped" not in one}
        ways = ways or [f"{machine}, `{prefer}`" for machine, prefer in runs]
        shares = _shares(result["figures"], name)
        if ("Cortex-M4 (mps2-an386)", "ram") in runs:
            one, exact = runs["Cortex-M4 (mps2-an386)", "ram"], record["exact"]
            other = max(exact["differing_ram"], exact["differing_speed"])
            first.append(
                f"| `{name}` | {record['file_bytes']:,} | {exact['correct']:,} | {other} | {one['flash_bytes']:,} | "
                f"{one['ram_bytes']:,} | {' | '.join(shares)} |"
            )
        each = {f"{machine}, `{prefer}`": one for (machine, prefer), one in runs.items()}
        shown = [
            f"{each[way]['instructions']:,} ({each[way]['instructions'] / each[way]['macs']:.1f})"
            if way in each
            else "too large"
            for way in ways
        ]
        second.append(f"| `{name}` | {' | '.join(shown)} |")
    heads = [f"| file | {' | '.join(ways)} |", f"|---|{'--:|' * len(ways)}"]
    told = (
        "Flash and RAM on a Cortex-M4 with `--prefer ram`; TFLM's flash is "
        f"{result['tflm_flash'][0]}; {result['tflm_flash'][1].removeprefix('published, not measured here: ')}. "
        "Its arena is what its interpreter asks for on a 64-bit machine, an upper estimate, without its stack:\n"
    )
    between = "\nInstructions for an image, and for a multiply-accumulate:\n"
    return "\n".join([told, *first, between, *heads, *second]) + "\n"


def _shares(figures: list[dict[str, Any]], name: str) -> list[str]:
    """What shares of TFLM's flash and arena a file takes, in percent."""
    ends = (
        "flash, share of TFLM's without kernels",
        "flash, share of TFLM's with kernels",
        "RAM, share of TFLM's arena",
    )
    found = {one["name"]: one["value"] for one in figures}
    start = f"{name}, Cortex-M4 (mps2-an386), ram: "
    return [f"{found[start + end]:.0%}" if start + end in found else "–" for end in ends]


def compiled() -> str:
    """Generated C beside LiteRT on the host, from the committed run, in one sentence."""
    result = json.loads((RESULTS / "compiled.json").read_text(encoding="utf-8"))
    records = result["records"].values()
    times = [record["times_litert"] for record in records]
    images = {record["images"] for record in records}
    differing = sum(figure["value"] for figure in result["figures"] if "another output" in figure["name"])
    machine = f"{result['environment']['cpu_model']} (`scripts/bench compiled`, {result['date']}"
    slowest = max(record["compile_seconds"] for record in records)
    return (
        f"On {machine}; {len(times)} files, the front's and LeNet-5's): {differing:,} outputs to {max(images):,} "
        "images each differ from LiteRT's reference kernels; with `--prefer speed` a call takes "
        f"{min(times):.1f} to {max(times):.1f} times as long as LiteRT's with XNNPACK; and a file becomes C in at most "
        f"{slowest:.1f} s.\n"
    )


def _promises(benchmarks: tuple[str, ...]) -> str:
    """Markdown table of figures with what was promised."""
    rows = ["| `scripts/bench` | figure | measured | promised |", "|---|---|--:|--:|"]
    for name in benchmarks:
        for figure in _figures(name):
            unit = f" {figure['unit']}" if figure["unit"] not in {"", "relative"} else ""
            promise = "–" if figure["limit"] is None else f"{figure['sign']} {figure['limit']:g}{unit}"
            value = f"{figure['value']:,}" if isinstance(figure["value"], int) else f"{figure['value']:.3g}"
            rows.append(f"| `{name}` | {figure['name']} | {value}{unit} | {promise} |")
    return "\n".join(rows) + "\n"


def peers() -> str:
    """The peer tables of the committed run, without what is said about them."""
    page = (RESULTS / "peers.md").read_text(encoding="utf-8")
    tables = [block for block in page.split("\n\n") if block.startswith("| ")]
    kept = ("tool", "what", "correct of 10,000", "bytes", "gzip bytes", "speed-up [95 %]", "lines")
    shown = []
    for heading, table in zip(("TFLite", "ONNX"), tables, strict=False):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        columns = [cells[0].index(name) for name in kept]
        lines = ["| " + " | ".join(row[column] for column in columns) + " |" for row in cells]
        shown.append(f"{heading}:\n\n" + "\n".join(lines))
    return "\n\n".join(shown) + "\n"


def lessons() -> str:
    """Markdown table of the lessons' claims with their verdicts, from the committed run."""
    result = json.loads((RESULTS / "lessons.json").read_text(encoding="utf-8"))
    rows = ["| experiment | claim | figures, mean ± spread over the seeds | verdict |", "|---|---|---|---|"]
    for one in result["experiments"]:
        shown = one["settings"]
        if len(shown) > 4:
            shown = sorted(shown, key=lambda setting: -statistics.fmean(setting["values"]))[:2]
        figures = "; ".join(f"{setting['name']}: {_spread(setting['values'])}" for setting in shown)
        more = "; …" if len(shown) < len(one["settings"]) else ""
        unit = f", {one['unit']}" if one["unit"] else ""
        rows.append(f"| {one['title']} | {one['claim']} | {one['what']}{unit}: {figures}{more} | {one['verdict']} |")
    wall = next(figure for figure in result["figures"] if figure["name"].startswith("wall time"))
    # Only a run that trained everything has a promise, and a time that says anything.
    took = f"That run took {wall['value']:.0f} minutes" if wall["limit"] is not None else "Run in parts"
    machine = f"{result['environment']['cpu_model']}, {result['environment']['cores']} cores, {result['date']}"
    return "\n".join(rows) + f"\n\n{took} ({machine}).\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}".replace("-", "−")


def _figures(name: str) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["figures"]
    return figures


SECTIONS = {
    "right": right,
    "safe": safe,
    "augmentation": augmentation,
    "scaling": scaling,
    "slim": slim,
    "front": front,
    "headline": headline,
    "operators": operators,
    "emulated": emulated,
    "compiled": compiled,
    "peers": peers,
    "lessons": lessons,
    "standard": standard,
    "search": search,
    "techniques": techniques,
    "precisions": precisions,
    "baselines": baselines,
    "engines": engines,
    "accuracies": accuracies,
}


def wanted() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
    for name, make in SECTIONS.items():
        start = START.format(name)
        holding = [path for path, text in pages.items() if start in text]
        if len(holding) != 1:
            sys.exit(f"expected one page with the line {start.strip()}, found {len(holding)}")
        (path,) = holding
        head, mark, rest = pages[path].partition(start)
        _, end, tail = rest.partition(END)
        if not end:
            sys.exit(f"{path.relative_to(ROOT)} lacks the line {END} after {start.strip()}")
        pages[path] = head + mark + make() + end + tail
    return {**pages, ROOT / "optkit/report/report.schema.json": schema_text()}


def main() -> None:
    """Write or check the generated files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when something is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in wanted().items() if path.read_text(encoding="utf-8") != text]
    if not check:
        for path, text in wanted().items():
            path.write_text(text, encoding="utf-8")
        return
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"out of date: {names}; run .venv/bin/python scripts/generate_docs.py")


if __name__ == "__main__":
    main()
