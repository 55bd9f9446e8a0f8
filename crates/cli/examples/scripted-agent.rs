//! The scripted command-line agent, beside the tests that put it where `claude` would be.

use std::process::ExitCode;

fn main() -> ExitCode {
    empiric_testkit::agent::main()
}
