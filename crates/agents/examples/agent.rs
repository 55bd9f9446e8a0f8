//! The scripted command-line agent, beside the tests that run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    empiric_testkit::agent::main()
}
