"""Serves a finished study and hands its interface to Schemathesis: no 5xx, no reply that the document does not have.

schemathesis.py EMPIRIC SCHEMATHESIS [OPTION]...
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

TASK = """schema = 1
name = "valley"
[recipe]
root = "recipe"
edit = ["**"]
[[stage]]
name = "train"
run = ["sh", "train.sh"]
limits = { wall = "5s" }
[evaluator]
run = ["sh", "evaluate.sh"]
limits = { wall = "5s" }
[metric]
name = "loss"
goal = "minimize"
"""
EVALUATE = """awk -v seed="$EMPIRIC_SEED" '$2 == "=" { x = $3 } END { srand(seed); rand();
  printf "{\\"metrics\\": {\\"loss\\": %.6f}}\\n", 1 + log(x / 3) ^ 2 + 0.01 * (rand() - 0.5) }' \\
  "$EMPIRIC_ARTIFACTS/model.toml" > "$EMPIRIC_RESULT"
"""


def known(origin: str, token: str) -> str:
    """Names of things that are there, so that answers are looked at and not refusals alone."""

    def ask(path: str, body: dict | None = None) -> dict:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{origin}/api/studies/one{path}", data, headers)
        return json.load(urllib.request.urlopen(request))

    replicate = ask("/trials/baseline")["replicates"][0]
    log = next(unit["log"] for unit in replicate["units"] if unit["log"])
    request = ask("/requests", {"ask": {"kind": "note", "text": "x"}})["request"]
    names = {"path.study": "one", "path.trial": "t1", "path.replicate": replicate["id"], "path.log": log,
             "path.request": request, "query.a": "baseline", "query.b": "t1"}
    lines = [f'"{name}" = "{value}"' for name, value in names.items()]
    return "\n".join(["[parameters]", *lines, ""])


def main() -> int:
    exe, schemathesis = (str(pathlib.Path(word).resolve()) for word in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        recipe = home / "valley/recipe"
        recipe.mkdir(parents=True)
        (home / "valley/task.toml").write_text(TASK)
        (home / "valley/evaluate.sh").write_text(EVALUATE)
        (recipe / "train.sh").write_text('echo hello\ncp knobs.toml "$EMPIRIC_OUT/model.toml"\n')
        (recipe / "knobs.toml").write_text("rate = 0.2\n")
        env = {"PATH": os.environ["PATH"], "HOME": name, "EMPIRIC_CACHE": str(home / "cache"), "USER": "tester"}
        run = [exe, "run", "valley", "--study", "studies/one", "--trials", "12", "--no-check", "--json"]
        subprocess.run(run, cwd=home, env=env, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([exe, "report", "studies/one"], cwd=home, env=env, check=True, stdout=subprocess.DEVNULL)
        serve = [exe, "serve", "studies", "--port", "0", "--json"]
        with subprocess.Popen(serve, cwd=home, env=env, stdout=subprocess.PIPE, text=True) as server:
            try:
                url = json.loads(server.stdout.readline())["url"]
                origin, token = url.split("/?token=")
                (home / "schemathesis.toml").write_text(known(origin, token))
                return subprocess.run([
                    schemathesis, "run", f"{origin}/api/openapi.json",
                    "--header", f"Authorization: Bearer {token}",
                    # The feed has no end.
                    "--exclude-path", "/api/studies/{study}/live",
                    "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
                                "response_schema_conformance,response_headers_conformance",
                    "--max-examples", "60",
                    *sys.argv[3:],
                ], cwd=home, check=False).returncode
            finally:
                server.terminate()


sys.exit(main())
