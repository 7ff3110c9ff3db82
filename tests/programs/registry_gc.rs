//! `registry-gc` as the tests start it: built with them, so that it is never older than they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    registry_gc::main()
}
