//! The binaries: found, or built once for a run of the tests.

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
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

/// Where a binary lies: what `REGISTRY_BIN` says or beside that, otherwise what a build beside the running test makes.
///
/// # Panics
/// If it can not be built.
fn path(program: Program) -> PathBuf {
    static REGISTRY: OnceLock<PathBuf> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| match env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => build(),
    });
    match program {
        Program::Registry => registry.clone(),
        Program::Gc => registry.with_file_name(format!("registry-gc{}", env::consts::EXE_SUFFIX)),
    }
}

/// A binary with these arguments, without any `REGISTRY_…` variable of the environment that the tests run in.
pub(crate) fn command(program: Program, arguments: &[&str]) -> Command {
    let mut command = Command::new(path(program));
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

/// `cargo build` of both with the profile and into the folder that the running test was built with and into.
fn build() -> PathBuf {
    let test = env::current_exe().expect("a process knows its executable");
    // <target>[/<triple>]/<profile>/deps/<test>
    let deps = test.parent().filter(|folder| folder.ends_with("deps"));
    let folder = deps.and_then(Path::parent).expect("a test lies in a folder of cargo's");
    let profile = folder.file_name().expect("a profile's folder has a name").to_string_lossy();
    let above = folder.parent().expect("a profile's folder lies in the target folder");

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "registry", "--package", "registry-gc", "--profile"]);
    command.arg(if profile == "debug" { "dev" } else { &profile });
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    if above.join("CACHEDIR.TAG").exists() {
        command.arg("--target-dir").arg(above);
    } else {
        let triple = above.file_name().expect("a triple's folder has a name");
        let target = above.parent().expect("a triple's folder lies in the target folder");
        command.arg("--target-dir").arg(target).arg("--target").arg(triple);
    }
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "the binary can not be built");
    folder.join(format!("registry{}", env::consts::EXE_SUFFIX))
}
