#!/usr/bin/env python3
"""Holds every #include and every built program's libraries against domains.toml."""
import pathlib, re, subprocess, sys, tomllib

root = pathlib.Path(__file__).resolve().parent.parent
rules = tomllib.loads((root / "domains.toml").read_text())
passed = failed = 0


def verdict(good, what):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("domain broken:", what)


SYSTEM = re.compile(r"^(sys|linux|netinet|arpa|asm)/|^[a-z0-9_]+\.h$")
NOT_LIBC = ("sodium.h", "argon2.h", "utf8proc.h", "openssl/", "fuse", "zxcvbn.h", "qrencode.h", "zstd.h", "curl/", "tss2/", "systemd/")
for source in sorted((root / "src").rglob("*.[ch]")):
    folder = source.relative_to(root / "src").parts[0]
    rule = rules["layer"].get(folder) or rules["program"].get(folder)
    if rule is None:
        verdict(False, f"{source.relative_to(root)}: folder without a rule")
        continue
    bad = []
    for line in source.read_text().splitlines():
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not m:
            continue
        name = m.group(2)
        if m.group(1) == '"':
            top = name.split("/")[0]
            if top not in rule["include"]:
                bad.append(name)
            elif top == "keys" and "keys" in rule and rule["keys"] != ["*"] and pathlib.Path(name).stem not in rule["keys"]:
                bad.append(name)
        elif name.startswith(NOT_LIBC) and not name.startswith(tuple(rule.get("libraries", [])) or ("\0",)):
            bad.append(name)
    verdict(not bad, f"{source.relative_to(root)} includes {bad}")

for build in (root / "build").glob("plain"):
    for program, rule in rules["program"].items():
        binary = build / "src" / ("holdfast" if program == "cli" else f"holdfast-{program}")
        if not binary.exists():
            continue
        needed = re.findall(r"NEEDED\)\s+Shared library: \[(lib[A-Za-z0-9_+-]+?)(?:-[0-9.]+)?\.so", subprocess.run(["readelf", "-d", binary], capture_output=True, text=True).stdout)
        bad = [lib for lib in needed if lib not in rule["links"]]
        verdict(not bad, f"{binary.name} links {bad}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
