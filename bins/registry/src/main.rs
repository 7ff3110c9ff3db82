//! The `registry` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry::main()
}
