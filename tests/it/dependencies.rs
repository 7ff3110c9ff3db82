//! Who may import whom: the layers of the workspace, held to a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use self::{
    metadata::{platform, text, used_by},
    table::{RUNTIMES, TABLE},
};

mod metadata;
mod table;

/// Packages that are not published and use the layers as others would.
const FREE: [&str; 5] = [
    "registry-testing",
    "registry-testing-postgres",
    "registry-tests",
    "registry-bench",
    "registry-examples",
];

/// The only ones of ours that may import hyper.
const SPEAK_HTTP: [&str; 1] = ["registry-server"];

#[test]
fn crates_import_only_what_lies_below_them() {
    let workspace = &*WORKSPACE;
    for row in TABLE {
        let Some(package) = workspace.by_name.get(row.name) else {
            panic!("there is no package {}", row.name)
        };
        let allowed: BTreeSet<_> = row.imports.iter().copied().collect();
        let imports: BTreeSet<_> = package.imports().filter(|name| workspace.is_ours(name)).collect();
        let excess: Vec<_> = imports.difference(&allowed).collect();
        assert!(excess.is_empty(), "{} imports {excess:?}, which do not lie below it", row.name);
    }
}

#[test]
fn crates_never_see_what_is_not_their_matter() {
    let workspace = &*WORKSPACE;
    for row in TABLE {
        let all = workspace.all_below(row.name);
        for banned in row.never {
            assert!(!all.contains(banned), "{} pulls in {banned}", row.name);
        }
        let own: Vec<_> = workspace.by_name[row.name].imports().collect();
        for banned in row.never_directly {
            assert!(!own.contains(banned), "{} imports {banned}", row.name);
        }
    }
}

#[test]
fn digests_and_types_bring_no_async_runtime() {
    let workspace = &*WORKSPACE;
    for name in ["registry-digest", "registry-types"] {
        let all = workspace.all_below(name);
        for runtime in RUNTIMES {
            assert!(!all.contains(runtime), "{name} pulls in {runtime}");
        }
        // What it does bring is not nothing: the graph was read.
        assert!(all.contains("sha2"), "{name} pulls in {all:?}");
    }
}

#[test]
fn only_the_server_speaks_http() {
    let workspace = &*WORKSPACE;
    for (name, package) in workspace.ours() {
        let speaks = package.imports().any(|import| import == "hyper" || import == "hyper-util");
        let may = SPEAK_HTTP.contains(&name) || FREE.contains(&name);
        assert!(!speaks || may, "{name} imports hyper");
    }
}

#[test]
fn what_is_for_tests_stays_out_of_what_is_published() {
    let workspace = &*WORKSPACE;
    for (name, package) in workspace.ours().filter(|(name, _)| !FREE.contains(name)) {
        let uses = package.dependencies.iter().any(|dependency| dependency.name == "registry-testing");
        assert!(!uses, "{name} would test a second copy of itself");
    }
}

#[test]
fn every_package_has_its_row() {
    let workspace = &*WORKSPACE;
    for (name, _) in workspace.ours() {
        let is_known = FREE.contains(&name) || TABLE.iter().any(|row| row.name == name);
        assert!(is_known, "{name} is new: say in this table what it may import");
    }
}

#[test]
fn there_is_one_tls_provider() {
    let workspace = &*WORKSPACE;
    let all = workspace.all_below("registry");
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!all.contains(other), "the binary holds {other} beside ring");
    }
}

/// Read once for all tests.
static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::read);

/// What `cargo metadata` says.
struct Workspace {
    by_name: BTreeMap<String, Package>,
    ours: BTreeSet<String>,
    names: BTreeMap<String, String>,
    /// What each package resolves to, by id, without what only tests use.
    resolved: BTreeMap<String, Vec<String>>,
}

struct Package {
    id: String,
    folder: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    is_for_tests: bool,
}

impl Package {
    /// What the package itself imports, but for its tests.
    fn imports(&self) -> impl Iterator<Item = &str> {
        let used = self.dependencies.iter().filter(|dependency| !dependency.is_for_tests);
        used.map(|dependency| dependency.name.as_str())
    }

    /// What the package imports, also for its tests.
    fn all(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().map(|dependency| dependency.name.as_str())
    }
}

impl Workspace {
    fn read() -> Workspace {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let names: BTreeMap<_, _> =
            packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let members = metadata["workspace_members"].as_array().unwrap().iter().map(text);
        let ours: BTreeSet<_> = members.map(|id| names[&id].clone()).collect();
        let by_name = packages
            .iter()
            .filter(|package| ours.contains(&text(&package["name"])) && package["source"].is_null())
            .map(|package| (text(&package["name"]), Package::of(package)))
            .collect();
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        let resolved = nodes.iter().map(|node| (text(&node["id"]), used_by(node))).collect();
        Workspace { by_name, ours, names, resolved }
    }

    fn is_ours(&self, name: &str) -> bool {
        self.ours.contains(name)
    }

    fn ours(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.by_name.iter().map(|(name, package)| (name.as_str(), package))
    }

    /// The names of everything that a package brings along.
    fn all_below(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.by_name[name].id.as_str()];
        while let Some(id) = open.pop() {
            for below in &self.resolved[id] {
                if seen.insert(below.as_str()) {
                    open.push(below);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

impl Package {
    fn of(package: &Value) -> Package {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.map(|dependency| Dependency {
            name: text(&dependency["name"]),
            is_for_tests: dependency["kind"] == "dev",
        });
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest.parent().unwrap().to_owned();
        Package { id: text(&package["id"]), folder, dependencies: dependencies.collect() }
    }

    /// All of its Rust, and its README, whose examples are compiled.
    fn code(&self) -> String {
        let files = crate::size::rust_files(&self.folder).into_iter().chain([self.folder.join("README.md")]);
        files.filter_map(|path| fs::read_to_string(path).ok()).collect()
    }
}

/// A dependency that nothing uses is compiled, checked and kept up to date for nothing.
#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for (name, package) in WORKSPACE.ours() {
        let code = package.code();
        let is_used = |dependency: &&Dependency| is_word_in(&dependency.name.replace('-', "_"), &code);
        let names = package.dependencies.iter().filter(|dependency| !is_used(dependency));
        unused.extend(names.map(|dependency| format!("{name}: {}", dependency.name)));
    }
    assert!(unused.is_empty(), "nothing names {unused:?}");
}

#[test]
fn every_version_that_the_workspace_names_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let section = text.split_once("[workspace.dependencies]\n").unwrap().1.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    let used: BTreeSet<&str> = WORKSPACE.ours().flat_map(|(_, package)| package.all()).collect();
    let unused: Vec<_> = names.filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no package depends on {unused:?}");
}

/// Whether a name stands in a text with nothing around it that could be part of a longer one.
fn is_word_in(name: &str, text: &str) -> bool {
    let is_of_name = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(name).any(|(start, _)| {
        !text[..start].ends_with(is_of_name) && !text[start + name.len()..].starts_with(is_of_name)
    })
}
