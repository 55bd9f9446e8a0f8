//! A program that prints its metric is a task without a file.

use crate::{bare_home, words};

const BENCH: &str = r#"echo "METRIC loss=99"
awk '$2 == "=" { loss += log($3 / 4) ^ 2 } END { print "epoch 3, loss: " 1 + loss }' knobs.toml
"#;

#[test]
fn a_quick_start_needs_no_file_and_says_that_the_metric_is_self_reported() {
    let home = bare_home();
    let code = home.path().join("code");
    std::fs::create_dir(&code).unwrap();
    std::fs::write(code.join("bench.sh"), BENCH).unwrap();
    std::fs::write(code.join("knobs.toml"), "rate = 0.5\nwidth = 12\n").unwrap();
    let line = "run code --edit *.toml --metric loss:min --study study --slots 1 --trials 6 --json";
    let said = home.say(words(line).into_iter().chain(["--eval", "sh bench.sh"])).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.talk);
    assert!(said.talk.contains("self-reported"), "{}", said.talk);

    let trials = home.say(words("trials study --json")).unwrap().json();
    let measured = trials[0]["measurements"].as_array().unwrap();
    let loss = measured.iter().find(|measurement| measurement["metric"] == "loss").unwrap();
    assert_eq!(loss["provenance"], "recipe");
    let baseline = 1.0 + f64::ln(0.125).powi(2) + f64::ln(3.0).powi(2);
    assert!((loss["value"].as_f64().unwrap() - baseline).abs() < 1e-3, "{loss}");
    let status = home.say(words("status study --json")).unwrap().json().remove(0);
    assert_eq!(status["champion"]["provenance"], "recipe", "{status:#}");
    assert!(home.say(words("status study")).unwrap().out.contains("self-reported"));
    assert_eq!(home.say(words("verify study")).unwrap().code, Some(0));
}
