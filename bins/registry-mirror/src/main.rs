//! The `registry-mirror` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry::mirror()
}
