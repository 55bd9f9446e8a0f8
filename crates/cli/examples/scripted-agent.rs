//! The scripted command-line agent, beside the tests that put it where `claude` would be.

use std::process::ExitCode;

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own: its environment is where it is told of its model"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let env = |name: &str| std::env::var(name).ok();
    match empiric_testkit::agent::run(&arguments, env, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
