//! What is found, and that edits change nothing else.

use std::path::Path;

use proptest::prelude::*;

use super::{
    super::{
        axis::Axis,
        knob::{Value, parse_number, render_float},
    },
    *,
};

fn recipe(files: &[(&str, &str)]) -> Recipe {
    let found: Vec<Arc<Found>> =
        files.iter().map(|(path, text)| Arc::new(find(path, text))).collect();
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect();
    Recipe::new(files, &found)
}

fn listed(recipe: &Recipe) -> Vec<String> {
    recipe.knobs.iter().map(|(id, knob)| format!("{id} = {}", knob.render(&knob.value))).collect()
}

/// The recipes of the bundled tasks.
fn bundled() -> Vec<(String, Recipe)> {
    let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tasks");
    let mut recipes = Vec::new();
    for task in std::fs::read_dir(tasks).unwrap() {
        let task = task.unwrap();
        let Ok(directory) = std::fs::read_dir(task.path().join("recipe")) else { continue };
        let files: BTreeMap<String, String> = directory
            .map(|file| file.unwrap())
            .filter(|file| file.path().extension().is_some_and(|e| e == "py"))
            .map(|file| {
                let name = file.file_name().into_string().unwrap();
                (name, std::fs::read_to_string(file.path()).unwrap())
            })
            .collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        recipes.push((task.file_name().into_string().unwrap(), recipe(&files)));
    }
    recipes
}

const PYTHON: &str = r#"
"""Doc with 1 number and NAME = 2."""
__version__ = "1.2"
SEED = 3
LR = 1e-3
STEPS: int = 1_000
OFFSET = -0.5
MASK = 0xFF
BETAS = (0.9, 0.999)
CONFIG = {"lr": 0.1, "random_seed": 4, "nested": {"deep": 2}}
KIND = "adam"
TITLE = "adam"
FAST = True
PRIME = 0x9E3779B97F4A7C15
parser.add_argument("--weight-decay", type=float, default=0.01)

@dataclass
class Options:
    width: int = 64
    drop: float = 0.1

def run(x, gain=1.5, axis=0, train=False):
    count = 0
    total = 0.0
    scale = 0.25
    y = x[0] ** 2 + x.sum(axis=1)
    opt = Adam(x, lr=0.02, eps=1e-8)
    opt = Adam(x, lr=0.03)
    os.environ["THREADS"] = "1"
    print(f"{x:.3f}", sep="a")
    assert close(x, tol=0.5)
    if KIND == "adam":
        y = 1
    elif KIND in ("sgd", "lion"):
        y = 2
    return y
"#;

#[test]
fn python_literals_that_are_settings() {
    let recipe = recipe(&[("t.py", PYTHON)]);
    assert_eq!(
        listed(&recipe),
        [
            "t.py:BETAS[0] = 0.9",
            "t.py:BETAS[1] = 0.999",
            "t.py:CONFIG.lr = 0.1",
            "t.py:CONFIG.nested.deep = 2",
            "t.py:FAST = True",
            "t.py:KIND = adam",
            "t.py:LR = 0.001",
            "t.py:OFFSET = -0.5",
            "t.py:Options.drop = 0.1",
            "t.py:Options.width = 64",
            "t.py:STEPS = 1000",
            "t.py:run.gain = 1.5",
            "t.py:run.opt.Adam().eps = 1.0e-8",
            "t.py:run.opt.Adam().lr = 0.02",
            "t.py:run.opt.Adam().lr~2 = 0.03",
            "t.py:run.scale = 0.25",
            "t.py:run.y = 2",
            "t.py:weight_decay = 0.01",
        ]
    );
    assert_eq!(recipe.knobs["t.py:KIND"].choices, ["adam", "lion", "sgd"]);
}

#[test]
fn alternatives_of_a_text_come_from_the_code() {
    let code = r#"
table = {"a": 1.5, "b": 2.5}
match MODE:
    case "x":
        pass
    case "y":
        pass
value = table[config["kind"]] + other.get(STYLE)
"#;
    let recipe = recipe(&[
        ("use.py", code),
        ("set.py", "MODE = \"x\"\nNAME = 'x'\nSTYLE = \"a\"\n"),
        ("set.yaml", "kind: a # one of two\n"),
    ]);
    let words: Vec<_> = recipe
        .knobs
        .iter()
        .filter(|(_, knob)| !knob.choices.is_empty())
        .map(|(id, knob)| (id.as_str(), knob.choices.join("|")))
        .collect();
    assert_eq!(words, [("set.py:MODE", "x|y".to_owned()), ("set.yaml:kind", "a|b".to_owned())]);
}

#[test]
fn configuration_scalars() {
    let toml = "title = \"t\"\n[model]\nwidth = 64 # wide\nrates = [0.1, 1e-3]\nseed = 1\n[[layer]]\nkeep = true\n[[layer]]\nsize = { w = 2 }\n";
    let json = r#"{"a": {"b": [1, -2.5e-3]}, "on": false, "name": "x", "none": null, "dtype": 4}"#;
    let yaml = "model:\n  width: 64   # wide\n  rate: 1e-3\n  text: |\n    n: 5\n  list: [1, 2]\n  on: True\nlayers:\n  - size: 3\n    keep: 0.5\n  - size: 4\nlast: -7\n";
    let recipe = recipe(&[("c.toml", toml), ("c.json", json), ("c.yaml", yaml)]);
    assert_eq!(
        listed(&recipe),
        [
            "c.json:a.b[0] = 1",
            "c.json:a.b[1] = -0.0025",
            "c.json:on = false",
            "c.toml:layer[0].keep = true",
            "c.toml:layer[1].size.w = 2",
            "c.toml:model.rates[0] = 0.1",
            "c.toml:model.rates[1] = 0.001",
            "c.toml:model.width = 64",
            "c.yaml:last = -7",
            "c.yaml:layers[1].keep = 0.5",
            "c.yaml:layers[1].size = 3",
            "c.yaml:layers[2].size = 4",
            "c.yaml:model.on = True",
            "c.yaml:model.rate = 0.001",
            "c.yaml:model.width = 64",
        ]
    );
    let set = Assignment::from([
        ("c.toml:model.rates[1]".to_owned(), Value::Float(0.25)),
        ("c.json:a.b[1]".to_owned(), Value::Float(-4e-6)),
        ("c.yaml:model.on".to_owned(), Value::Bool(false)),
        ("c.yaml:layers[2].size".to_owned(), Value::Int(5)),
    ]);
    let edited = recipe.edit(&set, None);
    assert_eq!(edited["c.toml"], toml.replace("1e-3", "0.25"));
    assert_eq!(edited["c.json"], json.replace("-2.5e-3", "-4.0e-6"));
    assert_eq!(edited["c.yaml"], yaml.replace("True", "False").replace("size: 4", "size: 5"));
}

#[test]
fn constants_of_other_languages() {
    let recipe = recipe(&[
        ("r.sh", "export RATE=0.1 # rate\nN=4\nNAME=abc\n  i=0\nSEED=1\n"),
        (
            "k.c",
            "#define TILE 32\nstatic const float EPS = 1e-5f;\nint main() {\n  int i = 0;\n}\n",
        ),
        ("m.jl", "const width = 16\n"),
        ("notes.md", "RATE = 5\n"),
    ]);
    assert_eq!(
        listed(&recipe),
        ["k.c:EPS = 1.0e-5", "k.c:TILE = 32", "m.jl:width = 16", "r.sh:N = 4", "r.sh:RATE = 0.1"]
    );
}

#[test]
fn broken_and_unknown_files_hold_nothing() {
    for (path, text) in [("a.py", "def ("), ("a.toml", "= 1"), ("a.json", "{"), ("a.bin", "A = 1")]
    {
        assert_eq!(find(path, text), Found::default(), "{path}");
    }
}

#[test]
fn cuts_leave_code_that_parses() {
    let code = "def f(x):\n    x = g(x)  # once\n    if x > 1:\n        x *= h(x)\n    save(x)\n    n = 0\n    n += 1\n    clip(x); y = 2\n    return x\n";
    let recipe = recipe(&[("c.py", code)]);
    let cuts: Vec<(&str, &str)> =
        recipe.cuts.iter().map(|cut| (cut.code.as_str(), cut.with.as_str())).collect();
    assert_eq!(
        cuts,
        [("x = g(x)", ""), ("if x > 1: x *= h(x)", ""), ("x *= h(x)", "pass"), ("clip(x)", "pass")]
    );
    assert_eq!(
        recipe.edit(&Assignment::new(), Some(&recipe.cuts[1]))["c.py"],
        code.replace("    if x > 1:\n        x *= h(x)\n", "")
    );
}

/// Every knob of every bundled recipe can be set, alone, and comes back under its own identity; every cut parses.
#[test]
fn bundled_recipes_survive_every_edit() {
    let recipes = bundled();
    assert!(!recipes.is_empty());
    for (task, recipe) in recipes {
        assert!(recipe.knobs.len() >= 10, "{task} has {} knobs", recipe.knobs.len());
        for (id, knob) in &recipe.knobs {
            let value = match &knob.value {
                Value::Bool(on) => Value::Bool(!on),
                Value::Text(now) => {
                    Value::Text(knob.choices.iter().find(|word| *word != now).unwrap().clone())
                }
                number @ (Value::Int(_) | Value::Float(_)) => Axis::of(&knob.name, number)
                    .unwrap()
                    .step(number.number().unwrap(), 0.8)
                    .unwrap(),
            };
            let edited = recipe.edit(&Assignment::from([(id.clone(), value.clone())]), None);
            let text = &edited[&knob.file];
            let mut expected = recipe.files[&knob.file].to_string();
            expected.replace_range(knob.span.clone(), &knob.render(&value));
            assert_eq!(*text, expected);
            let again = find(&knob.file, text);
            let ids: Vec<&str> = again.knobs.iter().map(|knob| knob.id.as_str()).collect();
            let before = find(&knob.file, &recipe.files[&knob.file]);
            assert_eq!(ids, before.knobs.iter().map(|k| k.id.as_str()).collect::<Vec<_>>());
            assert_eq!(again.knobs.iter().find(|k| k.id == *id).unwrap().value, value);
        }
        for cut in &recipe.cuts {
            let edited = recipe.edit(&Assignment::new(), Some(cut));
            assert!(parses(&cut.file, &edited[&cut.file]), "{task}: {}", cut.id);
        }
    }
}

proptest! {
    #[test]
    fn floats_are_written_as_they_are_read(value in proptest::num::f64::NORMAL) {
        let text = render_float(value);
        prop_assert_eq!(parse_number(&text), Some(Value::Float(value)));
        let document = format!("a = {text}").parse::<toml_edit::DocumentMut>().unwrap();
        prop_assert_eq!(document["a"].as_float(), Some(value));
        prop_assert_eq!(serde_json::from_str::<f64>(&text).unwrap(), value);
    }

    #[test]
    fn steps_go_the_right_way(base in -1e6..1e6_f64, step in 0.05..3.0_f64, whole: bool) {
        let value = if whole { Value::Int(base as i64) } else { Value::Float(base) };
        let axis = Axis::of("KNOB", &value).unwrap();
        let now = value.number().unwrap();
        for step in [step, -step] {
            if let Some(next) = axis.step(now, step) {
                let next = next.number().unwrap();
                prop_assert!(next != now);
                // Two digits are kept, so that short steps may go nowhere, but never the other way.
                prop_assert!((axis.position(next) - axis.position(now)) * step > 0.0 || step.abs() < 0.2);
            }
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "[ -~\n]{0,200}") {
        for path in ["a.py", "a.toml", "a.json", "a.yaml", "a.sh"] {
            let recipe = recipe(&[(path, &text)]);
            for cut in &recipe.cuts {
                recipe.edit(&Assignment::new(), Some(cut));
            }
        }
    }

    #[test]
    fn near_yaml_is_read_without_panic(text in "(- |  |a|b|:|: |\"|'|#|1|\\.|\n|é){0,60}") {
        let found = find("a.yaml", &text);
        prop_assert!(found.knobs.iter().all(|knob| text.get(knob.span.clone()).is_some()));
    }
}
