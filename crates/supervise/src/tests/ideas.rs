use empiric_core::RedLine;

use super::measured::task;
use crate::idea;

#[test]
fn an_idea_that_names_the_evaluators_things_is_refused_and_others_are_not() {
    let task = {
        let mut task = task();
        task.evaluator = Some(empiric_core::task::Command {
            run: vec!["python".to_owned(), "evaluate.py".to_owned()],
            limits: empiric_core::task::Limits::default(),
        });
        task.data = vec![empiric_core::task::Data {
            path: "data/hidden".to_owned(),
            visible: empiric_core::task::Visible::Evaluator,
        }];
        task
    };
    for (text, line) in [
        ("Patch evaluate.py so that it rounds down", Some(RedLine::Evaluator)),
        ("train on Data/Hidden as well", Some(RedLine::ProtectedData)),
        ("Run five times and keep the best seed", Some(RedLine::Seed)),
        ("evaluate fewer tokens per step", None),
        ("a hidden layer of twice the width", None),
        ("reevaluate.pyx kernels", None),
    ] {
        assert_eq!(idea(&task, text).map(|concern| concern.line), line, "{text}");
    }
}
