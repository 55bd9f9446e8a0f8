//! What canaries do as they run, in the languages that Empiric can write a line of. The code comes first in a program
//! of the recipe; the rest of it runs where the code lets it.

use super::Expected;

/// What a program does beside or instead of its work.
pub(super) struct Misbehaviour {
    pub(super) name: &'static str,
    pub(super) expected: Expected,
    /// Whether it ends within moments, without doing the program's work.
    pub(super) quick: bool,
    pub(super) code: &'static str,
}

const fn slow(name: &'static str, expected: Expected, code: &'static str) -> Misbehaviour {
    Misbehaviour { name, expected, quick: false, code }
}

const fn quick(name: &'static str, expected: Expected, code: &'static str) -> Misbehaviour {
    Misbehaviour { name, expected, quick: true, code }
}

pub(super) const PYTHON: &[Misbehaviour] = &[
    slow("hang", Expected::Cause("wall_limit"), "import time\ntime.sleep(1e6)\n"),
    slow(
        "fork",
        Expected::NotKept,
        "import os as _os\nif _os.fork() == 0:\n    _os.setsid()\n    if _os.fork() == 0:\n        import time\n        \
         time.sleep(1e6)\n    _os._exit(0)\n",
    ),
    slow(
        "memory",
        Expected::Cause("out_of_memory"),
        "_hoard = []\nwhile True:\n    _hoard.append(bytearray(1 << 24))\n",
    ),
    slow("flood", Expected::Cause("output_flood"), "while True:\n    print('x' * 65536)\n"),
    slow(
        "nan",
        Expected::Worse,
        concat!(
            "import atexit as _atexit, glob as _glob, os as _os\n",
            "def _ruin():\n",
            "    for _path in _glob.glob(_os.environ['EMPIRIC_OUT'] + '/**', recursive=True):\n",
            "        if _os.path.isfile(_path):\n",
            "            _size = _os.path.getsize(_path)\n",
            "            open(_path, 'wb').write((b'\\x00\\x00\\xc0\\x7f' * (_size // 4 + 1))[:_size])\n",
            "_atexit.register(_ruin)\n",
        ),
    ),
    slow(
        "constant",
        Expected::Worse,
        concat!(
            "import atexit as _atexit, glob as _glob, os as _os\n",
            "def _ruin():\n",
            "    for _path in _glob.glob(_os.environ['EMPIRIC_OUT'] + '/**', recursive=True):\n",
            "        if _os.path.isfile(_path):\n",
            "            _size = _os.path.getsize(_path)\n",
            "            open(_path, 'wb').write(bytes(_size))\n",
            "_atexit.register(_ruin)\n",
        ),
    ),
    quick("silent", Expected::OwnFailure, "raise SystemExit(0)\n"),
    quick(
        "forge",
        Expected::OwnFailure,
        concat!(
            "import os as _os\n",
            "_forged = '{\"metrics\": {}}'\n",
            "for _dir in ['.', '..', '/tmp', '/empiric/result', _os.environ['EMPIRIC_OUT']]:\n",
            "    try:\n",
            "        open(_os.path.join(_dir, 'result.json'), 'w').write(_forged)\n",
            "    except OSError:\n",
            "        pass\n",
            "raise SystemExit(0)\n",
        ),
    ),
];

pub(super) const SHELL: &[Misbehaviour] = &[
    slow("hang", Expected::Cause("wall_limit"), "sleep 1000000\n"),
    slow("fork", Expected::NotKept, "setsid sleep 1000000 >/dev/null 2>&1 &\n"),
    slow("memory", Expected::Cause("out_of_memory"), "tail /dev/zero\nexit 1\n"),
    slow("flood", Expected::Cause("output_flood"), "while :; do yes | head -c 1000000; done\n"),
    slow(
        "nan",
        Expected::Worse,
        "trap 'for it in \"$EMPIRIC_OUT\"/*; do sed \"s/[0-9][0-9.]*/nan/g\" \"$it\" > \"$it.nan\"; mv \"$it.nan\" \"$it\"; \
         done' EXIT\n",
    ),
    slow(
        "constant",
        Expected::Worse,
        "trap 'for it in \"$EMPIRIC_OUT\"/*; do printf 0 > \"$it\"; done' EXIT\n",
    ),
    quick("silent", Expected::OwnFailure, "exit 0\n"),
    quick(
        "forge",
        Expected::OwnFailure,
        "for dir in . .. /tmp /empiric/result \"$EMPIRIC_OUT\"; do echo '{\"metrics\": {}}' 2>/dev/null > \
         \"$dir/result.json\"; done\nexit 0\n",
    ),
];

/// `text` with `code` run before anything else in it: after the lines that a language wants first.
pub(super) fn first(text: &str, code: &str) -> String {
    let leading = |line: &&str| line.starts_with("#!") || line.starts_with("from __future__");
    let last = text
        .lines()
        .enumerate()
        .filter(|(_, line)| leading(line))
        .map(|(at, _)| at + 1)
        .last()
        .unwrap_or(0);
    let split: usize = text.split_inclusive('\n').take(last).map(str::len).sum();
    format!("{}{code}{}", &text[..split], &text[split..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comes_after_what_a_language_wants_first() {
        assert_eq!(first("a\nb\n", "X\n"), "X\na\nb\n");
        assert_eq!(first("#!/bin/sh\nrun\n", "X\n"), "#!/bin/sh\nX\nrun\n");
        assert_eq!(
            first("from __future__ import annotations\nrun\n", "X\n"),
            "from __future__ import annotations\nX\nrun\n"
        );
    }
}
