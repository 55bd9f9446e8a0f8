"""Copies the Python that runs this, compiled: no sources, no docstrings, no tests, not the modules listed as hidden.

Arguments: the directory to fill, the list. The shared libraries outside the copy that it needs are listed in it.
"""

import ast
import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SKIPPED = {"__pycache__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "tkinter", "turtledemo"}
INSTALLERS = {"_distutils_hack", "distutils-precedence.pth", "pip", "pkg_resources", "setuptools"}
PACKAGES = {"site-packages", "dist-packages"}
TEXT = {".c", ".cpp", ".h", ".html", ".md", ".pxd", ".pyc", ".pyi", ".pyx", ".rst", ".txt"}


def main(target, listed):
    hidden = set(listed.read_text().splitlines())
    home = target / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    standard = Path(sysconfig.get_path("stdlib"))
    copy(standard, home, hidden, SKIPPED | PACKAGES)
    for place in map(Path, sys.path):
        if place.is_dir() and place.name in PACKAGES:
            copy(place, home / "site-packages", hidden, SKIPPED | INSTALLERS)
    program = target / "bin" / "python"
    program.parent.mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), program)
    for name in ("python3", home.name):
        (program.parent / name).symlink_to("python")
    objects = [program, *(path for path in home.rglob("*.so*") if path.is_file())]
    (target / "libraries").write_text("\n".join(sorted(set(libraries(objects, target)))))


def copy(source, into, hidden, skipped):
    for base, directories, names in os.walk(source):
        directories[:] = [name for name in directories if name not in skipped and not name.endswith(".dist-info")]
        for name in names:
            if name in skipped or name.startswith("_tkinter"):
                continue
            path = Path(base) / name
            goal = into / path.relative_to(source)
            if str(path) in hidden or str(path.resolve()) in hidden or path.suffix in TEXT:
                continue
            if path.suffix in (".a", ".o") or not path.is_file():
                continue
            goal.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".py":
                compiled(path, goal.with_suffix(".pyc"))
            else:
                shutil.copy(path, goal)


def compiled(path, goal):
    """A module that is loaded without a look at its source, and says nothing about itself."""
    try:
        code = compile(Silent().visit(ast.parse(path.read_bytes())), path.stem, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return  # a template or a file for another version: nothing imports it
    unchecked = (1).to_bytes(4, "little")
    goal.write_bytes(importlib.util.MAGIC_NUMBER + unchecked + bytes(8) + marshal.dumps(code))


class Silent(ast.NodeTransformer):
    """Empties docstrings, and what is handed to `add_newdoc` in their place."""

    def visit_documented(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body[0].value = ast.copy_location(ast.Constant(""), node.body[0].value)
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = visit_documented

    def visit_Call(self, node):
        if getattr(node.func, "attr", getattr(node.func, "id", "")) == "add_newdoc":
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    part.value = ""
        return self.generic_visit(node)


def libraries(objects, target):
    """Absolute paths that the dynamic linker finds for `objects`."""
    for start in range(0, len(objects), 100):
        some = [str(path) for path in objects[start : start + 100]]
        listing = subprocess.run(["ldd", *some], capture_output=True, text=True).stdout
        for line in listing.splitlines():
            words = line.replace("=>", " ").split()
            for word in words:
                if word.startswith("/") and not word.endswith(":") and not word.startswith(str(target)):
                    yield word


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
