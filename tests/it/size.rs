//! How large the parts of the program are: files that can be read at once, functions that show what they do, and no crate that
//! grows into the whole.
//!
//! Counted are lines of production code: no blank lines, no comments, no modules of tests, no suites that implementations are
//! tested with. The code is formatted, so a function ends at the first brace that stands as far to the right as its beginning.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The longest file, in lines as an editor counts them.
const FILE_LINES_MAX: usize = 450;

/// Nine of ten functions have at most so many lines of code, with their first and last line.
const FUNCTION_LINES_P90: usize = 25;

/// No function has more lines of code.
const FUNCTION_LINES_MAX: usize = 110;

/// The share of all code that one crate has at most, in percent.
const CRATE_SHARE_MAX: usize = 20;

/// How many lines of code a crate has at most.
const CRATE_LINES_MAX: usize = 9_600;

/// A file of production code.
struct Source {
    path: PathBuf,
    package: String,
    /// Without comments, blank lines and tests.
    lines: Vec<String>,
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let mut longer = Vec::new();
    for folder in ["crates", "bins", "tests", "benches", "examples"] {
        for path in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            if lines > FILE_LINES_MAX {
                longer.push(format!("{path}: {lines}"));
            }
        }
    }
    assert!(longer.is_empty(), "more than {FILE_LINES_MAX} lines: {longer:#?}");
}

#[test]
fn most_functions_are_short() {
    let mut functions: Vec<(usize, String)> = sources().iter().flat_map(functions).collect();
    functions.sort();
    assert!(functions.len() > 1000, "only {} functions are found", functions.len());
    let (p90, _) = functions[functions.len() * 9 / 10];
    let (longest, name) = functions.last().unwrap();
    eprintln!("{} functions: p90 {p90} lines, longest {longest}: {name}", functions.len());
    assert!(p90 <= FUNCTION_LINES_P90, "nine of ten functions have up to {p90} lines");
    assert!(*longest <= FUNCTION_LINES_MAX, "{name} has {longest} lines");
}

#[test]
fn no_crate_is_the_whole() {
    let mut packages: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        *packages.entry(source.package).or_default() += source.lines.len();
    }
    let all: usize = packages.values().sum();
    for (package, lines) in packages {
        let share = lines * 100 / all;
        eprintln!("{package}: {lines} lines, {share} %");
        assert!(share <= CRATE_SHARE_MAX, "{package} has {share} % of all code");
        assert!(lines <= CRATE_LINES_MAX, "{package} has {lines} lines");
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// All files of Rust below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn sources() -> Vec<Source> {
    let packages = ["crates", "bins"].iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let packages = packages.map(|entry| entry.unwrap().path()).filter(|path| path.join("src").is_dir());
    let published = packages.filter(|path| !path.ends_with("registry-testing"));
    published.flat_map(|package| sources_of(&package)).collect()
}

fn sources_of(package: &Path) -> Vec<Source> {
    let name = package.file_name().unwrap().to_string_lossy();
    let files = rust_files(&package.join("src")).into_iter().filter(|path| !is_of_tests(path));
    let read = |path: PathBuf| {
        let lines = code(&fs::read_to_string(&path).unwrap());
        Source { path, package: name.clone().into_owned(), lines }
    };
    files.map(read).collect()
}

/// Whether a file is a module of tests, or of a suite.
fn is_of_tests(path: &Path) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == "tests" || part == "contract" || part == "contract.rs" || part.ends_with("tests.rs")
    })
}

/// The lines of code, up to the tests at the end of the file.
pub(crate) fn code(text: &str) -> Vec<String> {
    let production = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    production.lines().filter(is_code).map(str::to_owned).collect()
}

/// The functions of a file: lines, and where each is.
fn functions(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (first, line) in source.lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let rest = &source.lines[first..];
        let is_last = |line: &String| {
            line.strip_prefix(indent)
                .is_some_and(|line| line == "}" || line.ends_with(';') && !line.starts_with(' '))
        };
        let lines =
            if line.ends_with('}') { 1 } else { rest.iter().position(is_last).map_or(1, |last| last + 1) };
        found.push((lines, format!("{}: {name}", source.path.display())));
    }
    found
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    let is_before = |word: &str| {
        matches!(word, "const" | "async" | "unsafe" | "extern") || word.starts_with("pub") || word == "super)"
    };
    let first = words.find(|word| !is_before(word))?;
    (first == "fn").then(|| words.next())?.map(|name| name.split(['(', '<']).next().unwrap_or(name))
}

#[test]
fn code_is_told_from_what_is_not() {
    let text = "// Why.\nfn one() -> u8 {\n    // Here.\n    1\n}\n\nimpl A {\n    pub(super) async fn two(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn three();\n}\n\n#[cfg(test)]\nmod tests {\n    fn four() {}\n}\n";
    let source = Source { path: "a.rs".into(), package: "a".into(), lines: code(text) };
    let found: Vec<_> = functions(&source);
    let expected = [(3, "a.rs: one"), (5, "a.rs: two"), (1, "a.rs: three")];
    assert_eq!(found, expected.map(|(lines, name)| (lines, name.to_owned())));
    assert!(
        is_of_tests(Path::new("src/sqlite/tests/model.rs")) && !is_of_tests(Path::new("src/attests/a.rs"))
    );
}
