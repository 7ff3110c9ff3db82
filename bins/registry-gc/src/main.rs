//! The `registry-gc` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry_gc::main()
}
