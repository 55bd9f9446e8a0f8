//! What edits may do, and what they may not.

use std::collections::BTreeMap;

use empiric_core::{
    Cause, Failure, Goal, Metric, Phase, Task, TreeId,
    task::{Environment, Network, Recipe, Surface},
};

use super::{scratch, texts, tree_of};
use crate::{
    Error, Mode, Rules, Store, python,
    store::{object_id, put_blob, tree_id},
    tree::{self, Leaf, Put},
};

const TRAIN: &str = "\
import lib

RATE = 0.1


@lib.traced
class Model:
    width = 8

    def forward(self, x):
        return x


def main():
    return Model()
";

fn task() -> Task {
    let surface = |name: &str, owns: &[&str]| Surface {
        name: name.to_owned(),
        owns: owns.iter().map(|owner| (*owner).to_owned()).collect(),
        brief: String::new(),
    };
    Task {
        name: "golf".to_owned(),
        summary: String::new(),
        recipe: Recipe {
            root: "recipe".to_owned(),
            edit: vec!["*.py".to_owned(), "conf/**".to_owned()],
            writable: false,
            max_file_bytes: 600,
            max_data_bytes: None,
        },
        surfaces: vec![
            surface("model", &["model*.py", "train.py#Model"]),
            surface("rate", &["train.py#RATE", "train.py#Model.width"]),
            surface("conf", &["conf/**"]),
        ],
        environment: Environment::default(),
        prepare: None,
        data: Vec::new(),
        artifact_code: Vec::new(),
        stages: Vec::new(),
        predictor: None,
        evaluator: None,
        metric: metric(),
        pattern: None,
        objectives: Vec::new(),
        splits: None,
        gates: Vec::new(),
        plausible: Vec::new(),
        network: Network::None,
        hide: None,
    }
}

fn metric() -> Metric {
    Metric { name: "bpb".to_owned(), goal: Goal::Minimize, unit: String::new() }
}

fn baseline(store: &Store) -> TreeId {
    let files = [
        ("Makefile", "all:\n"),
        ("broken.py", "def f(:\n"),
        ("conf/a.toml", "x = 1\n"),
        ("lib.py", "def traced(f):\n    return f\n"),
        ("model.py", "k = 1\n"),
        ("train.py", TRAIN),
    ];
    tree_of(store, &texts(&files))
}

fn check(edits: &[(&str, Option<&str>)], surface: Option<&str>) -> Option<Failure> {
    let (_dir, store) = scratch();
    let base = baseline(&store);
    let edits: BTreeMap<_, _> = edits
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.map(|text| text.as_bytes().to_vec())))
        .collect();
    let new = store.apply(base, &edits).unwrap();
    Rules::new(&task()).unwrap().check(&store, base, new, surface).unwrap()
}

fn put<'a>(path: &'a str, text: &'a str) -> Vec<(&'a str, Option<&'a str>)> {
    vec![(path, Some(text))]
}

fn failure(cause: Cause) -> Failure {
    Failure::new(Phase::Static, cause)
}

#[test]
fn only_what_edit_names_may_change() {
    for edit in [
        put("model.py", "k = 2\n"),
        put("new.py", ""),
        put("conf/deep/er", "x"),
        vec![("model.py", None)],
    ] {
        assert_eq!(check(&edit, None), None, "{edit:?}");
    }
    assert_eq!(check(&[], None), Some(failure(Cause::EmptyEdit)));
    for edit in [
        put("Makefile", "all: x\n"),
        put("sub/new.py", ""),
        put("conf/.gitattributes", "* text\n"),
        put("conf/.GitModules", ""),
        vec![("Makefile", None)],
    ] {
        let path = edit[0].0.to_owned();
        assert_eq!(check(&edit, None), Some(failure(Cause::ProtectedPath { path })), "{edit:?}");
    }
}

#[test]
fn large_files_say_by_how_much() {
    let text = "#".repeat(601);
    let found = check(&put("model.py", &text), None);
    let cause = Cause::ForbiddenFile { path: "model.py".to_owned() };
    let excerpt = "601 bytes; at most 600 are allowed";
    assert_eq!(found, Some(failure(cause).margin(-1.0).excerpt(excerpt)));
}

#[test]
fn names_that_differ_in_case_alone_are_refused() {
    for (path, other) in [("Model.py", "model.py"), ("conf/A.toml", "conf/a.toml")] {
        let cause = Cause::ForbiddenFile { path: path.to_owned() };
        let excerpt = format!("differs from {other} only in letter case");
        assert_eq!(check(&put(path, ""), None), Some(failure(cause).excerpt(excerpt)));
    }
    assert_eq!(check(&[("model.py", None), ("Model.py", Some("k = 1\n"))], None), None);
}

#[test]
fn links_and_modes_are_refused_where_they_matter() {
    let (_dir, store) = scratch();
    let rules = Rules::new(&task()).unwrap();
    let base = baseline(&store);
    let with = |path: &str, mode, text: &str| {
        let leaf = Leaf { mode, id: put_blob(&store.repo(), text.as_bytes()).unwrap() };
        let puts = BTreeMap::from([(path.to_owned(), Put::Leaf(leaf))]);
        let tree = tree::rewrite(&store.repo(), Some(object_id(base)), &puts).unwrap();
        rules.check(&store, base, tree_id(&tree).unwrap(), Some("model")).unwrap()
    };
    let forbidden = |what: &str| {
        let cause = Cause::ForbiddenFile { path: "model.py".to_owned() };
        Some(failure(cause).excerpt(format!("{what}s may not be added or changed")))
    };
    assert_eq!(with("model.py", Mode::Symlink, "/etc/passwd"), forbidden("symbolic link"));
    assert_eq!(with("model.py", Mode::Submodule, ""), forbidden("submodule"));
    assert_eq!(with("model.py", Mode::Executable, "k = 1\n"), None);
    let protected = Cause::ProtectedPath { path: "Makefile".to_owned() };
    assert_eq!(with("Makefile", Mode::Executable, "all:\n"), Some(failure(protected)));
    let outside = Cause::OutsideSurface { path: "train.py".to_owned() };
    assert_eq!(with("train.py", Mode::Executable, TRAIN), Some(failure(outside)));
}

#[test]
fn a_surface_is_its_globs_and_its_symbols() {
    let swap = |from: &str, to: &str| TRAIN.replace(from, to);
    let inside = [
        ("model", "model_two.py", "k = 1\n".to_owned()),
        ("model", "train.py", swap("width = 8", "width = 16\n    depth = 2")),
        ("model", "train.py", swap("@lib.traced\n", "")),
        (
            "model",
            "train.py",
            swap(
                "        return x\n",
                "        return 2 * x\n\n    def more(self):\n        pass\n",
            ),
        ),
        ("rate", "train.py", swap("RATE = 0.1", "RATE: float = (\n    0.2\n)")),
        ("rate", "train.py", swap("width = 8", "width = 9")),
        ("conf", "conf/b.toml", "y = 1\n".to_owned()),
    ];
    for (surface, path, text) in inside {
        assert_eq!(check(&put(path, &text), Some(surface)), None, "{surface} {path} {text}");
    }
    let outside = [
        ("conf", "model.py", "k = 2\n".to_owned(), ""),
        ("model", "train.py", swap("0.1", "0.2"), "outside Model: `RATE = 0.2`"),
        ("model", "train.py", swap("return Model()", "return 1"), "outside Model: `    return 1`"),
        ("model", "train.py", format!("{TRAIN}x = 1\n"), "outside Model: `x = 1`"),
        (
            "rate",
            "train.py",
            swap("width = 8", "height = 8"),
            "outside RATE, Model.width: `    height = 8`",
        ),
        (
            "rate",
            "train.py",
            swap("RATE = 0.1", "RATE = 0.1; lib.x = 1"),
            "outside RATE, Model.width: `          ; lib.x = 1`",
        ),
    ];
    for (surface, path, text, excerpt) in outside {
        let cause = Cause::OutsideSurface { path: path.to_owned() };
        let found = check(&put(path, &text), Some(surface)).unwrap();
        assert_eq!(found.cause, cause, "{surface} {path} {text}");
        assert_eq!(found.excerpt, excerpt);
    }
    assert_eq!(
        check(&[("train.py", None)], Some("model")).map(|failure| failure.cause),
        Some(Cause::OutsideSurface { path: "train.py".to_owned() })
    );
}

#[test]
fn a_symbol_that_swallows_what_follows_is_seen() {
    let old = "def mine():\n    return 1\n\ndef theirs():\n    \"\"\"Text.\"\"\"\n    check()\n";
    let new = old.replace("return 1", "x = \"\"\"").replace(".\"\"\"", "");
    assert_eq!(python::errors(new.as_bytes()), Vec::<usize>::new());
    let outside = |source: &str| python::outside(source.as_bytes(), &["mine"]);
    assert_eq!(outside(&old.replace("1", "2")), outside(old));
    assert_ne!(outside(&new), outside(old));
}

#[test]
fn python_that_does_not_parse_names_the_line() {
    let found = check(&put("model.py", "k = 1\ndef f(:\n    pass\n"), None);
    let cause = Cause::Syntax { path: "model.py".to_owned() };
    assert_eq!(found, Some(failure(cause).excerpt("line 2: `def f(:`")));
    assert_eq!(check(&put("broken.py", "def g(:\n"), None), None, "it was broken before");
    assert_eq!(check(&put("conf/x.toml", "def f(:\n"), None), None, "not Python");
    let fine = "match x:\n    case {'a': [*_]}:\n        print(f\"{x!r:>{w}}\")\ntype T[U] = list[U]\nasync def f[**P](a, /, *, b: int = 1) -> T: ...\n";
    assert_eq!(check(&put("model.py", fine), None), None);
}

#[test]
fn mistakes_of_the_task_are_named() {
    let mut task = task();
    task.recipe.edit = vec!["a[".to_owned()];
    assert!(matches!(Rules::new(&task), Err(Error::Glob(glob)) if glob.pattern == "a["));
    let (_dir, store) = scratch();
    let base = baseline(&store);
    let error = Rules::new(&self::task()).unwrap().check(&store, base, base, Some("modle"));
    let expected = "no surface named `modle`; the task has conf, model, rate";
    assert_eq!(error.unwrap_err().to_string(), expected);
}
