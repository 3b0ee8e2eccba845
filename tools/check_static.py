#!/usr/bin/env python3
"""Static analysis, a warning is an error. check_static.py BUILD [--long]

gcc -fanalyzer, clang-tidy (.clang-tidy) and cppcheck over every source of the product, shellcheck over the shell scripts, pyflakes over the Python ones.
What was clean is remembered by its preprocessed text in BUILD/static, so that only what changed is looked at again. clang-tidy's path analysis (clang-analyzer-*)
takes as long as all the rest and runs with --long or HF_LONG=1 alone; gcc's runs always."""
import ast, concurrent.futures, hashlib, json, os, pathlib, re, shlex, subprocess, sys

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(next((a for a in sys.argv[1:] if not a.startswith("--")), root / "build/plain")).resolve()
LONG = "--long" in sys.argv or os.environ.get("HF_LONG") == "1"
clean = build / "static"
passed = failed = 0

# gcc 12 loses sight of a pointer that is put into an array at a number it does not know; the address sanitizer's tests look for leaks.
QUIET = ["-Wno-analyzer-malloc-leak"]
# Programs of one thread; strerror's buffer is the thread's own since glibc 2.32.
ONE_THREAD = ("cli", "element", "enclave")
CPPCHECK = ["--enable=warning,performance,portability", "--inline-suppr", "--std=c17", "--language=c", "--quiet", "--template={file}:{line}: {message} [{id}]", "--template-location=",
            "--suppress=uninitvar", "--suppress=legacyUninitvar", "--suppress=uninitStructMember",  # wrong about outputs through pointers; gcc and clang follow them between functions
            "-D_GNU_SOURCE", "-D__x86_64__", "-DHF_VERSION=\"\"", "-DHF_LIBEXECDIR=\"\"", "-Isrc"]


def verdict(good, what, said=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"{what}:\n{said.strip()}")


def run(words, where=root):
    return subprocess.run(words, cwd=where, capture_output=True, text=True, errors="replace")


def sources():
    """Each source of the product once, with the compiler's words for it."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if not path.is_relative_to(root / "src") or path in found:
            continue
        words, kept = shlex.split(entry["command"]), []
        words = words[next(i for i, w in enumerate(words) if re.search(r"(gcc|cc|clang)[0-9.-]*$", w)):]
        skip = False
        for word in words[1:]:
            if skip or word in ("-c", "-MD", "-MMD", "-MP", "-Werror", "-MQ", "-MF", "-o", entry["file"]) or word.startswith(("-fsanitize", "-fcolor", "-fdiagnostics")):
                skip = word in ("-MQ", "-MF", "-o")
                continue
            kept.append(word)
        found[path] = (entry["directory"], kept)
    return found


def strict(text, path):
    """clang-tidy's words without what is said above to be right."""
    kept = []
    for block in re.split(r"(?m)^(?=\S+:\d+:\d+: (?:error|warning))", text):
        line = block.splitlines()[1] if len(block.splitlines()) > 1 else ""
        if "[concurrency-mt-unsafe" in block and ("strerror(" in line or path.relative_to(root / "src").parts[0] in ONE_THREAD):
            continue
        if re.match(r"\S+:\d+:\d+: (error|warning)", block):
            kept.append(block)
    return "".join(kept)


def gcc(path, where, flags):
    r = run(["gcc", *flags, "-fanalyzer", *QUIET, "-fdiagnostics-color=never", "-c", str(path), "-o", "/dev/null"], where)
    return r.stderr


def tidy(path, where, flags):
    # Without _FORTIFY_SOURCE: for clang its functions are macros, which the sources' pragmas then cannot forbid.
    some = [] if LONG else ["--checks=-clang-analyzer-*"]
    r = run(["clang-tidy", "--quiet", *some, str(path), "--", *(f for f in flags if "_FORTIFY_SOURCE" not in f), "-U_FORTIFY_SOURCE"], where)
    said = strict(r.stdout, path)
    return said if said or r.returncode == 0 or "[concurrency-mt-unsafe" in r.stdout else r.stdout + r.stderr


def cppcheck(path, where, flags):
    r = run(["cppcheck", *CPPCHECK, str(path.relative_to(root))])
    return r.stderr + r.stdout


def look(job):
    tool, path, (where, flags) = job
    text = run(["gcc", *flags, "-E", "-C", str(path)], where).stdout
    mark = hashlib.sha256(repr([VERSIONS, CONFIG, tool.__name__, LONG, flags, text]).encode()).hexdigest()
    if text and (clean / mark).exists():
        return tool.__name__, path, ""
    said = tool(path, where, flags)
    if text and not said.strip():
        (clean / mark).touch()
    return tool.__name__, path, said


def module(name, near):
    """The script's own module of that name, if it is one."""
    return next((f for d in dict.fromkeys((near, *FOLDERS)) if name and (f := d / f"{name}.py").exists()), None)


def python_names(path, seen=()):
    """What `from path import *` brings."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
            other = module(node.module, path.parent) if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names) else None
            if other and other not in seen:
                names |= python_names(other, (*seen, path))
    return names


def python(path):
    """pyflakes knows nothing of what a star brings: its doubts are held to the kits themselves. A kit's own imports are for its users, and a module of ours may be imported
    for what it does."""
    left = []
    stars = [n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names)]
    kits = [module(m, path.parent) for m in stars]
    brought = set().union(*(python_names(k) for k in kits if k))
    for line in run(["/usr/bin/python3", "-m", "pyflakes", str(path)]).stdout.splitlines():
        doubt = re.search(r"'(\w+)' may be undefined, or defined from star imports", line)
        unused = re.search(r"'(\w+)\S*' imported but unused|redefinition of unused", line)
        if "unable to detect undefined names" in line and all(kits) or (doubt and doubt[1] in brought) or (unused and (path.resolve() in KITS or module(unused[1], path.parent))):
            continue
        left.append(line)
    return "\n".join(left)


def scripts():
    shell, snakes = [], []
    for name in run(["git", "ls-files"]).stdout.split("\n"):
        path = root / name
        if not path.is_file():
            continue
        with open(path, "rb") as f:
            first = f.readline(64)
        if re.match(rb"#!.*\b(ba|da)?sh\b", first) or name.endswith(".bash"):
            shell.append(name)
        elif name.endswith(".py") or (first.startswith(b"#!") and b"python" in first):
            snakes.append(path)
    return shell, snakes


VERSIONS = [run([t, "--version"]).stdout for t in ("gcc", "clang-tidy", "cppcheck")]
CONFIG = [QUIET, (root / ".clang-tidy").read_text(), CPPCHECK, pathlib.Path(__file__).read_text()]
clean.mkdir(exist_ok=True)
files = sources()
jobs = [(tool, path, how) for tool in (gcc, tidy, cppcheck) for path, how in files.items()]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for tool, path, said in pool.map(look, jobs):
        verdict(not said.strip(), f"{tool}: {path.relative_to(root)}", said)
shell, snakes = scripts()
r = run(["shellcheck", "-x", "--severity=style", *shell])
verdict(r.returncode == 0, "shellcheck", r.stdout + r.stderr)
FOLDERS = sorted({p.parent for p in snakes})
KITS = {f.resolve() for p in snakes for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.ImportFrom) and (f := module(n.module, p.parent))}
for path in snakes:
    said = python(path)
    verdict(not said, f"pyflakes: {path.relative_to(root)}", said)
print(f"{len(files)} sources, {len(shell)} shell and {len(snakes)} Python scripts{'' if LONG else '; clang-analyzer-* in the long run alone'}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0 or len(files) < 50)
