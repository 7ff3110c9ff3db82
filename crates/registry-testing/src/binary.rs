//! The programs that tests start: those that cargo built with the tests, or others.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Names the registry to test, so that the one that will be released can be.
const VARIABLE: &str = "REGISTRY_BIN";

/// One of the binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `registry`.
    Registry,
    /// `registry-gc`.
    Gc,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Registry => "registry",
            Program::Gc => "registry-gc",
        }
    }
}

/// Where a program lies: in the folder of the one that `REGISTRY_BIN` names, otherwise where the build of the running test put it.
///
/// # Panics
/// If it is not there.
fn path(program: Program) -> PathBuf {
    let Some(registry) = env::var_os(VARIABLE).map(PathBuf::from) else { return built_with_tests(program) };
    match program {
        Program::Registry => registry,
        Program::Gc => registry.with_file_name(format!("registry-gc{}", env::consts::EXE_SUFFIX)),
    }
}

/// A binary with these arguments, without any `REGISTRY_…` variable of the environment that the tests run in.
pub(crate) fn command(program: Program, arguments: &[&str]) -> Command {
    command_of(&path(program), arguments)
}

/// The same with a program that lies elsewhere.
pub(crate) fn command_of(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("REGISTRY_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Runs the binary with arguments and variables until it ends, and returns what it wrote.
///
/// # Panics
/// If it can not be started.
pub fn run_binary(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run_binary_with_input(arguments, variables, "")
}

/// The same with something to read on standard input.
///
/// # Panics
/// If it can not be started.
pub fn run_binary_with_input(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut command = command(Program::Registry, arguments);
    command.envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary can be started");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // A program that does not read its input may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("a child can be waited for")
}

/// Where cargo puts the program of `tests/programs` when it builds the running test.
fn built_with_tests(program: Program) -> PathBuf {
    let test = env::current_exe().expect("a process knows its executable");
    // <target>[/<triple>]/<profile>/deps/<test>
    let folder = test.parent().filter(|folder| folder.ends_with("deps")).and_then(Path::parent);
    let folder = folder.expect("a test lies in a folder of cargo's");
    let path = folder.join(format!("{}-under-test{}", program.name(), env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: `cargo build --package registry-tests --bins` makes it, and every build of the package's tests",
        path.display()
    );
    path
}
