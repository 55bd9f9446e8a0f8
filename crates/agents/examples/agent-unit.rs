//! The sandbox's helper, beside the tests that need one.

use std::process::ExitCode;

fn main() -> ExitCode {
    empiric_sandbox::unit_main(std::env::args_os().skip(2))
}
