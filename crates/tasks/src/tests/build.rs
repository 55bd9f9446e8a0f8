//! Environments, data, fetched recipes and starter files, made for real.

use std::{ops::ControlFlow, process::Command, time::Duration};

use super::{Fixture, GOOD, names, on, told};
use crate::{Environments, Error, Requirement, Step, bare, init, load, prepare};

/// The good file with an environment and a command that makes data.
fn preparing(script: &str) -> Fixture {
    let text = GOOD
        .replacen("[[data]]", "[environment]\nvars = { COLOUR = \"red\" }\n[prepare]\nrun = [\"sh\", \"prepare.sh\"]\nlimits = { wall = \"5s\" }\n[[data]]", 1);
    let fixture = Fixture::new(&text);
    fixture.write("prepare.sh", script);
    fixture
}

const MAKES: &str = "echo run >> ../count\nmkdir $EMPIRIC_DATA/public $EMPIRIC_DATA/hidden\n\
                     echo $COLOUR > $EMPIRIC_DATA/public/x\necho secret > $EMPIRIC_DATA/hidden/y\n";

#[test]
fn data_are_made_once() {
    let fixture = preparing(MAKES);
    let loaded = fixture.good();
    let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
    let data = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap();
    assert_eq!(prepare(&loaded, &environment, &fixture.host, &mut on).unwrap(), data);
    assert_eq!(fs_err::read_to_string(fixture.dir.path().join("count")).unwrap(), "run\n");
    assert_eq!(
        data.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["public", "hidden"]
    );
    let file = data.entries[0].path.join("x");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "red\n");
    assert!(fs_err::metadata(&file).unwrap().permissions().readonly());
    assert_eq!(data.current_digest().unwrap(), data.digest);
    fs_err::remove_file(&file).unwrap();
    assert_ne!(data.current_digest().unwrap(), data.digest);
}

#[test]
fn data_follow_the_trusted_files() {
    let fixture = preparing(MAKES);
    let environments = Environments::new(&fixture.host);
    let loaded = fixture.good();
    let environment = environments.ensure(&loaded, &mut on).unwrap();
    let first = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap();
    fixture.write("prepare.sh", &MAKES.replace("secret", "other"));
    let second = prepare(&fixture.good(), &environment, &fixture.host, &mut on).unwrap();
    assert_ne!(first.digest, second.digest);
    assert_ne!(first.entries[0].path, second.entries[0].path);
}

#[test]
fn failed_preparation_leaves_only_its_log() {
    let left = |script: &str| {
        let fixture = preparing(script);
        let loaded = fixture.good();
        let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
        let error = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap_err();
        let kinds: Vec<_> = names(&fixture.host.cache.join("data"))
            .into_iter()
            .map(|name| name.rsplit('.').next().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["lock", "log"]);
        error
    };
    let failed = left("echo half > $EMPIRIC_DATA/x; echo no disk >&2; exit 3");
    assert!(
        matches!(&failed, Error::Failed { excerpt, status, .. } if excerpt == "no disk" && status.code() == Some(3))
    );
    let missing = left("mkdir $EMPIRIC_DATA/public").to_string();
    assert_eq!(
        missing,
        "`sh prepare.sh` left no `data/hidden`; it must write it below $EMPIRIC_DATA, as $EMPIRIC_DATA/hidden"
    );
}

#[test]
fn preparation_is_ended_with_its_children() {
    let fixture = preparing("sleep 1000 & echo $! > ../child; echo waiting; wait");
    let mut loaded = fixture.good();
    assert_eq!(loaded.prepare_wall, Duration::from_secs(5));
    loaded.prepare_wall = Duration::from_millis(300);
    let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
    let error = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap_err();
    assert!(matches!(&error, Error::TimedOut { excerpt, .. } if excerpt == "waiting"), "{error}");
    let child = fs_err::read_to_string(fixture.dir.path().join("child")).unwrap();
    let state = fs_err::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");

    let mut stop = |step: Step<'_>| match step {
        Step::Began(_) => ControlFlow::Continue(()),
        Step::Waiting => ControlFlow::Break(()),
    };
    loaded.prepare_wall = Duration::from_secs(60);
    let error = prepare(&loaded, &environment, &fixture.host, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[test]
fn environments_are_built_once() {
    let text = GOOD.replacen(
        "[[data]]",
        "[environment]\npython = \">=3.8\"\nrequirements = \"r.txt\"\n[[data]]",
        1,
    );
    let fixture = Fixture::new(&text);
    fixture.write("r.txt", "# nothing\n");
    let loaded = fixture.good();
    let environments = Environments::new(&fixture.host);
    let mut began = Vec::new();
    let mut hear = |step: Step<'_>| {
        if let Step::Began(what) = step {
            began.push(what.to_owned());
        }
        ControlFlow::Continue(())
    };
    let first = environments.ensure(&loaded, &mut hear).unwrap();
    let second = environments.ensure(&loaded, &mut hear).unwrap();
    assert_eq!(first, second);
    assert_eq!(began.len(), 1, "{began:?}");
    let bin = first.bin.unwrap();
    let output = Command::new(bin.join("python"))
        .args(["-c", "import sys; print(sys.prefix)"])
        .output()
        .unwrap();
    let prefix = String::from_utf8(output.stdout).unwrap();
    assert_eq!(prefix.trim(), bin.parent().unwrap().to_str().unwrap());
    assert!(first.read_paths.contains(&bin.parent().unwrap().to_owned()));
    assert!(
        fs_err::metadata(bin.join("activate")).map_or(true, |meta| meta.permissions().readonly())
    );

    fixture.write("r.txt", "-r more.txt\n");
    fixture.write("more.txt", "# nothing either\n");
    let third = environments.ensure(&fixture.good(), &mut on).unwrap();
    assert_ne!(third.digest, first.digest);
}

#[test]
fn a_failed_build_leaves_only_its_log() {
    let text = GOOD.replacen("[[data]]", "[environment]\nrequirements = \"r.txt\"\n[[data]]", 1);
    let fixture = Fixture::new(&text);
    fixture.write("r.txt", "./no-such-directory\n");
    let error = Environments::new(&fixture.host).ensure(&fixture.good(), &mut on).unwrap_err();
    assert!(
        matches!(&error, Error::Failed { excerpt, .. } if excerpt.contains("no-such-directory")),
        "{error}"
    );
    let left = names(&fixture.host.cache.join("environments"));
    assert!(left.iter().all(|name| name.ends_with(".log") || name.ends_with(".lock")), "{left:?}");
}

#[test]
fn python_is_found_under_both_names() {
    let fixture = Fixture::new(GOOD);
    let environment = Environments::new(&fixture.host).ensure(&fixture.good(), &mut on).unwrap();
    for name in ["python", "python3"] {
        assert!(environment.bin.as_ref().unwrap().join(name).exists());
    }
    assert_eq!(environment.vars["PYTHONDONTWRITEBYTECODE"], "1");
    assert!(environment.read_paths.iter().all(|path| !path.starts_with("/usr")));
}

#[test]
fn a_host_without_python_is_told_so() {
    let mut fixture = Fixture::new(GOOD);
    fixture.host.path = "/nowhere".into();
    let error = Environments::new(&fixture.host).ensure(&fixture.good(), &mut on).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no Python >=3.8 on PATH (found: none); install one and put it on PATH"
    );

    let text = GOOD
        .replace("\"python\", \"train.py\"", "\"./train.py\"")
        .replace("\"python\", \"ev", "\"sh\", \"ev");
    let mut shell = Fixture::new(&text);
    shell.host.path = "/nowhere".into();
    assert_eq!(Environments::new(&shell.host).ensure(&shell.good(), &mut on).unwrap().bin, None);
}

#[test]
fn requirements_on_python() {
    let matches = |text: &str, version| text.parse::<Requirement>().unwrap().matches(version);
    for (text, yes, no) in [
        (">=3.10", [3, 10, 0], [3, 9, 9]),
        (">=3.10,<3.13", [3, 12, 7], [3, 13, 0]),
        ("3.11", [3, 11, 9], [3, 12, 0]),
        ("==3.11.*", [3, 11, 9], [3, 1, 1]),
        ("~=3.10", [3, 12, 0], [4, 0, 0]),
        ("~=3.10.2", [3, 10, 4], [3, 11, 0]),
        ("!=3.11", [3, 12, 0], [3, 11, 1]),
        ("> 3.10", [3, 10, 1], [3, 10, 0]),
    ] {
        assert!(matches(text, yes) && !matches(text, no), "{text}");
    }
    for wrong in ["", "three", ">=", "~=3", ">=3.10 <4", "1.2.3.4"] {
        assert!(wrong.parse::<Requirement>().is_err(), "{wrong}");
    }
}

#[test]
fn a_recipe_is_taken_from_a_repository() {
    let text = GOOD.replace("[recipe]", "[recipe]\ngit = \"upstream\"\nrev = \"v1\"");
    let fixture = Fixture::new(&text);
    fixture.write("upstream/train.py", "class Model: pass\n");
    let git = |args: &[&str]| {
        let identity =
            ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let dir = fixture.root().join("upstream");
        assert!(
            Command::new("git")
                .current_dir(dir)
                .args(identity)
                .args(args)
                .output()
                .unwrap()
                .status
                .success()
        );
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["tag", "v1"]);
    let loaded = fixture.good();
    assert_eq!(loaded.task.recipe.root, "upstream@v1:.");
    assert_eq!(names(&loaded.recipe_dir), ["train.py"]);
    assert!(loaded.recipe_dir.starts_with(fs_err::canonicalize(&fixture.host.cache).unwrap()));
    fs_err::remove_dir_all(fixture.root().join("upstream/.git")).unwrap();
    assert_eq!(fixture.good().recipe_dir, loaded.recipe_dir);

    fixture.write("task.toml", &text.replace("\"v1\"", "\"v2\""));
    let said = told(&fixture.load().unwrap_err());
    assert!(
        said[0].starts_with("5: cannot take the recipe from `upstream`: git clone failed"),
        "{said:?}"
    );
}

#[test]
fn starter_files_load() {
    let fixture = Fixture::new(GOOD);
    for (dir, files) in [
        ("flat", &["train.py", "evaluate.py", "requirements.txt"][..]),
        ("nested", &["recipe/main.py", "score.py", "prepare.py"]),
        ("shell", &["run.sh", "src/a.c"]),
    ] {
        for file in files {
            fixture.write(&format!("{dir}/{file}"), "");
        }
        let root = fixture.root().join(dir);
        init(&root).unwrap();
        let loaded =
            load(&root, &fixture.host).unwrap_or_else(|problems| panic!("{dir}: {problems:#?}"));
        assert_eq!(loaded.task.evaluator.is_some(), dir != "shell");
        assert!(matches!(init(&root), Err(Error::Exists(_))));
    }
}

#[test]
fn a_bare_environment_runs_and_has_nothing_to_read() {
    let list = "python3 -c 'import colorsys; print(colorsys.__file__)' > $EMPIRIC_DATA/hidden/list";
    let fixture = preparing(&format!("{MAKES}{list}\n"));
    let text = fs_err::read_to_string(fixture.root().join("task.toml")).unwrap();
    let text = text.replace("[environment]", "[environment]\nrequirements = \"none.txt\"");
    fixture.write("none.txt", "");
    fixture.write("task.toml", &format!("{text}\n[sandbox]\nhide = \"data/hidden/list\"\n"));
    let loaded = fixture.good();
    let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
    let data = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap();
    let made = bare(&loaded, &environment, &data, &fixture.host, &mut on).unwrap().unwrap();
    assert_eq!(
        bare(&loaded, &environment, &data, &fixture.host, &mut on).unwrap().as_ref(),
        Some(&made),
        "it is made once"
    );

    let says = |code: &str| {
        let mut python = Command::new(made.bin.join("python"));
        let output = python.args(["-c", code]).env_clear().envs(&made.vars).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        says("import json, random; print(json.dumps([1]), json.__doc__ or 'silent')"),
        "[1] silent\n"
    );
    assert_eq!(says("import colorsys; print('found')"), "", "the hidden module is left out");
    let sources =
        "import pathlib, sys; print(sum(1 for _ in pathlib.Path(sys.prefix).rglob('*.py')))";
    assert_eq!(says(sources), "0\n");
    assert!(made.read_paths.iter().all(|path| path.exists()));
}

#[test]
fn splits_are_dealt_once_and_watched_like_data() {
    let fixture = Fixture::new(&format!("{GOOD}[splits]\nitems = \"data/hidden/items.csv\"\n"));
    fixture.write("data/hidden/items.csv", "id\na\nb\nc\n");
    let loaded = fixture.good();
    let environment = Environments::new(&fixture.host).ensure(&loaded, &mut on).unwrap();
    let data = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap();
    let dealt = data.splits.clone().unwrap();
    assert_eq!(prepare(&loaded, &environment, &fixture.host, &mut on).unwrap(), data);
    let told: empiric_core::Assignment =
        serde_json::from_slice(&fs_err::read(&dealt.path).unwrap()).unwrap();
    assert_eq!(told, dealt.assignment);
    assert_eq!((told.search.len(), told.select.len(), told.report.len()), (1, 1, 1));
    let watch = crate::Watch::new(&loaded, &data, &environment, None).unwrap();
    fs_err::write(&dealt.path, "{}").unwrap();
    assert_ne!(watch.fixed().unwrap().data, data.digest);
    assert_eq!(watch.fixed().unwrap().evaluator, loaded.source_digest);
    fixture.write("data/hidden/items.csv", "name\na\n");
    let error = prepare(&loaded, &environment, &fixture.host, &mut on).unwrap_err().to_string();
    assert!(
        error.contains("`data/hidden/items.csv`: there is no column `id` among name"),
        "{error}"
    );
}
