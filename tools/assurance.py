#!/usr/bin/env python3
"""docs/assurance.md: each goal of how Holdfast is tested, with its command and its figure as the tests printed it.

assurance.py LOGS…      takes tests' counts and figures from folders of logs (./check leaves BUILD/logs) into docs/assurance.json and writes docs/assurance.md anew
assurance.py --check    closes as a test does: the page is what the figures give, word by word, and the figures are in shape

A test's figures are its lines `figure: NAME = VALUE UNIT`; what older tests say in their own words is found by READ. Nothing here is entered by hand: a goal without
a figure says "not measured". A figure of `./check --long` stands before one of `./check`."""
import datetime, json, pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STORE, PAGE = ROOT / "docs" / "assurance.json", ROOT / "docs" / "assurance.md"
LINE = re.compile(r"^(\S.{0,60}?) +(?:(\d+) passed, (\d+) failed(?:, (\d+) skipped)?|no closing line) \(exit (-?\d+), (\d+) s\)$")
FIGURE = re.compile(r"^figure: (.+?) = (-?[0-9.]+)(?: of ([0-9]+))? ?(.*)$")
# What tests print in their own words: test's log, its line, the names of the groups.
READ = [
    ("lock.py", r"memory: (\d+) values, (\d+) found while unlocked, (\d+) after the lock", ("secrets looked for in memory", "secrets found while unlocked", "secrets found after the lock")),
    ("power: cut.py", r"(\d+) cuts", ("power cuts under ext4",)),
    ("element_attempts.py", r"kills (\d+), answers (\d+), counted (\d+)", ("kills during tries", "answers before kills", "tries counted for them")),
]


def test(pattern, command):
    return {"kind": "test", "pattern": pattern, "command": command}


def figure(pattern, command, least=None, most=None, long=False):
    """long: the goal is for ./check --long; what ./check says of it is shown, and decides nothing."""
    return {"kind": "figure", "pattern": pattern, "command": command, "least": least, "most": most, "long": long}


FAULT, KEYLIFE, E2E = "build/plain/tests/test_fault", "build/plain/tests/test_keylife", "tests/e2e/{} build/plain"
GOALS = [
    ("Every write, fsync and rename boundary of at least three workloads (5,000 cuts and more, all crash states): no acknowledged operation lost, no unreadable file, no unlistable directory",
     [figure("power cut boundaries", "HF_LONG=1 " + FAULT, least=5000, long=True), figure("crash states, pages whole", FAULT), figure("crash states with a second cut", FAULT), figure("runs with failing calls", FAULT),
      figure("recoveries with failing calls", FAULT), test("test_fault", FAULT), figure("key life boundaries", KEYLIFE), test("test_keylife", KEYLIFE)]),
    ("10,000 passcode tries with a death at every boundary: never more tries than are counted, the 11th never reaches the KDF",
     [figure("tries with a death at every call", "build/plain/tests/test_attempts", least=10000), figure("tries judged without being counted", "build/plain/tests/test_attempts", most=0),
      figure("kills during tries", E2E.format("element_attempts.py")), test("test_attempts", "build/plain/tests/test_attempts")]),
    ("Erase interrupted at every boundary: after a restart it finishes, or no class key unwraps", [test("erase.py", E2E.format("erase.py")), test("test_keylife", KEYLIFE)]),
    ("After a lock nothing of passcode, class and file keys in any program's memory",
     [figure("secrets looked for in memory", E2E.format("lock.py") + " in_memory"), figure("secrets found while unlocked", E2E.format("lock.py") + " in_memory", least=20),
      figure("secrets found after the lock", E2E.format("lock.py") + " in_memory", most=0), figure(".*(core|swap).*", "not built")]),
    ("Every bit flip, truncation, swap and move of stored objects is noticed; what goes unnoticed of older versions is the list in THREATS",
     [test("tamper.py", E2E.format("tamper.py")), test("freshness.py", E2E.format("freshness.py")), test("test_content_cases", "build/plain/tests/test_content_cases"), test("test_format", "build/plain/tests/test_format"),
      test("test_keybag", "build/plain/tests/test_keybag")]),
    ("Two device profiles: pages of 4 KiB whole, and torn at 512 bytes", [figure("crash states, pages whole", FAULT), figure("crash states, torn at 512 bytes", FAULT), figure("torn states with damage that is noticed", FAULT)]),
    ("Cuts under a real ext4: all fsynced bytes and names valid", [figure("power cuts under ext4", "tests/power/cut.py build/plain"), test("power: cut.py", "tests/power/cut.py build/plain")]),
    ("Death is lock: within a second reads, writes, stat and faults are errors, nothing is cached, the mount is gone", [test("death.py", E2E.format("death.py")), test("test_fs_death", "build/plain/tests/test_fs_death"), test("kills.py", E2E.format("kills.py"))]),
    ("A program of the same user, 1,000 runs: packaged mode gives nothing, bare mode as the table says", [figure(".*intruder.*", "not built", least=1000, long=True), test("death.py", E2E.format("death.py") + " intruder"), test("packaged.py", E2E.format("packaged.py"))]),
    ("Guess economics: no Argon2 block in swap under memory pressure; a flipped header spends no try; the phrase opens after the limit, and not after an erase",
     [figure(".*(swap|Argon2).*", "not built"), test("enclave_flow.py", E2E.format("enclave_flow.py")), test("tpm2_files.py", E2E.format("tpm2_files.py")), test("attacks: .*", "tests/attacks/element/run.sh build/plain")]),
    ("95 % of the branches of enclave and format", [figure("coverage of branches in src/(enclave|format)", "tools/coverage.sh", least=95), figure("coverage of branches in src/(element|fs|crypto)", "tools/coverage.sh")]),
    ("Fuzzers for each format and conversation", [test(".*fuzz.*", "tests/fuzz/run.sh build/check"), figure(".*fuzz.*", "tests/fuzz/run.sh build/check")]),
    ("The attempt counter and the lock as Spin models: the order that is built holds, each wrong one falls; the explorer of crash states of the format", [test("models", "tests/model/run.sh")]),
    ("Constant time of key-dependent code", [test(".*(constant|ctgrind).*", "not built")]),
    ("Published vectors for every primitive, through our own wrappers", [test("published vectors", "tests/vectors/run.sh build/plain/tests/vectors"), test("test_crypto", "build/plain/tests/test_crypto")]),
    ("Static analysis, clean", [test("static analysis.*", "tools/check_static.py build/plain")]),
    ("POSIX: each call's answer compared with ext4's", [test("posix: .*", "tests/posix/posix.py build/plain"), test("files.py", E2E.format("files.py"))]),
    ("The letter's attackers, one script each", [test("attacks: .*", "./attack")]),
    ("20 minutes of everything at once: contents right, memory and descriptors flat", [figure("soak", "HF_LONG=1 tests/soak.py build/plain", least=20, long=True), figure("soak (memory|descriptor) growth .*", "HF_LONG=1 tests/soak.py build/plain"),
     figure("soak locks and unlocks", "HF_LONG=1 tests/soak.py build/plain"), test("soak", "HF_LONG=1 tests/soak.py build/plain")]),
    ("At least 40 places where the code is broken: a test falls for each", [figure("mutations noticed", "HF_LONG=1 tests/mutation/run.py build/plain", least=40, long=True), test("mutations", "HF_LONG=1 tests/mutation/run.py build/plain")]),
]


def read_logs(folder):
    """One run's tests and figures."""
    lines = (folder / "all").read_text(errors="replace").splitlines()
    kind, whole = ((folder / "run").read_text().split() + ["whole"])[:2] if (folder / "run").exists() else ("check", "whole")
    date = datetime.date.fromtimestamp((folder / "all").stat().st_mtime).isoformat()
    tests, figures, current = {}, {}, None
    for line in lines:
        if m := LINE.match(line):
            current = m[1].strip()
            died = m[2] is None or (m[3] == "0" and m[5] != "0")
            tests[current] = {"passed": int(m[2] or 0), "failed": int(m[3] or 0) + died, "skipped": int(m[4] or 0), "seconds": int(m[6]), "date": date}
        elif (m := FIGURE.match(line)) and current and m[1] not in figures:
            figures[m[1]] = {"value": float(m[2]), "of": int(m[3]) if m[3] else None, "unit": m[4].strip(), "test": current}
    for name, pattern, names in READ:
        log = folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", name) + ".log")
        text = log.read_text(errors="replace") if log.exists() else ""
        if name in tests and (m := re.search(pattern, text)):
            figures.update({n: {"value": float(v), "of": None, "unit": "", "test": name} for n, v in zip(names, m.groups())})
    if not tests:
        sys.exit(f"{folder}: no test's line in `all`")
    return kind, whole == "whole", {"tests": tests, "figures": figures}


def found(store, part, pattern):
    """[(run, name, what)]: of each name the long run's before the short one's."""
    names = {}
    for run in ("check", "long"):
        for name, what in store.get(run, {}).get(part, {}).items():
            if re.fullmatch(pattern, name):
                names[name] = run, name, what
    return [names[name] for name in sorted(names)]


def number(value):
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def show(store, item):
    """(lines, verdict): verdict is met, missed or not measured."""
    rows, verdict = [], "not measured"
    if item["kind"] == "test":
        for run, name, what in found(store, "tests", item["pattern"]):
            ok = what["failed"] == 0 and what["passed"] > 0
            verdict = "missed" if not ok or verdict == "missed" else "met"
            rows.append((f"{name}: {what['passed']:,} passed, {what['failed']} failed" + (f", {what['skipped']} skipped" if what["skipped"] else ""), run))
    else:
        for run, name, what in found(store, "figures", item["pattern"]):
            ok = (item["least"] is None or what["value"] >= item["least"]) and (item["most"] is None or what["value"] <= item["most"]) and (what["of"] is None or what["of"] == what["value"])
            if run == "long" or not item["long"]:
                verdict = "missed" if not ok or verdict == "missed" else "met"
            goal = f" (goal: at least {item['least']:,})" if item["least"] is not None else f" (goal: at most {item['most']:,})" if item["most"] is not None else ""
            rows.append((f"{name}: {number(what['value'])}" + (f" of {what['of']}" if what["of"] else "") + (f" {what['unit']}" if what["unit"] else "") + goal, run))
    label = "a test of it" if item["pattern"].startswith(".*") and item["kind"] == "test" else "a figure of it" if item["pattern"].startswith(".*") else item["pattern"]
    return rows or [(f"{label}: not measured", "")], verdict


def page(store):
    out = ["# Assurance", "", "Made by `tools/assurance.py` from what the tests printed (`docs/assurance.json`), not by hand. `./check` compares the two.", ""]
    for run, command in (("check", "./check"), ("long", "./check --long")):
        if run in store:
            tests = store[run]["tests"].values()
            dates = sorted({t["date"] for t in tests})
            out.append(f"- `{command}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}: {sum(t['passed'] for t in tests):,} passed, {sum(t['failed'] for t in tests)} failed, "
                       f"{sum(t['skipped'] for t in tests)} skipped in {len(tests)} tests")
        else:
            out.append(f"- `{command}`: not measured")
    out += ["", "A goal is *met* when all its figures are there and none is short of it; *met in part* when some are not measured; *missed* when one is short of it.", ""]
    for text, items in GOALS:
        shown = [(item, *show(store, item)) for item in items]
        verdicts = {verdict for _, _, verdict in shown}
        state = "missed" if "missed" in verdicts else "met" if verdicts == {"met"} else "not measured" if verdicts == {"not measured"} else "met in part"
        out += [f"## {text}", "", f"**{state}**", "", "| figure | run | command |", "|---|---|---|"]
        for item, rows, _ in shown:
            out += [f"| {row} | {'`./check --long`' if run == 'long' else '`./check`' if run else ''} | " + (item["command"] if item["command"] == "not built" else f"`{item['command']}`") + " |" for row, run in rows]
        out.append("")
    return "\n".join(out)


def shape(store):
    """What is wrong with the stored figures."""
    wrong = [f"unknown run {run}" for run in store if run not in ("check", "long")]
    for run in store.values():
        wrong += [f"test {name}" for name, t in run["tests"].items() if set(t) != {"passed", "failed", "skipped", "seconds", "date"} or not all(isinstance(v, int) and v >= 0 for n, v in t.items() if n != "date")]
        wrong += [f"figure {name}" for name, f in run["figures"].items() if set(f) != {"value", "of", "unit", "test"} or not isinstance(f["value"], float) or f["test"] not in run["tests"]]
    return wrong


def main():
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    if sys.argv[1:] == ["--check"]:
        verdicts = [("docs/assurance.json is in shape: " + ", ".join(shape(store)), not shape(store)),
                    ("docs/assurance.json is as the script writes it", STORE.exists() and STORE.read_text() == json.dumps(store, indent=1, sort_keys=True) + "\n"),
                    ("docs/assurance.md is what the figures give (tools/assurance.py writes it, not a hand)", PAGE.exists() and PAGE.read_text() == page(store)),
                    ("some figures are there", bool(store) and all(run["tests"] for run in store.values()))]
        for what, good in verdicts:
            if not good:
                print("FAILED:", what)
        bad = sum(not good for _, good in verdicts)
        print(f"{len(verdicts) - bad} passed, {bad} failed")
        sys.exit(bool(bad))
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for folder in sys.argv[1:]:
        kind, whole, run = read_logs(pathlib.Path(folder))
        if whole or kind not in store:
            store[kind] = run
        else: # some of its tests (HF_TEST_ONLY): the others' figures stay
            again = {n: f for n, f in store[kind]["figures"].items() if f["test"] not in run["tests"]}
            store[kind] = {"tests": store[kind]["tests"] | run["tests"], "figures": again | run["figures"]}
    STORE.write_text(json.dumps(store, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(store))


main()
