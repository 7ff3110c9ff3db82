use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::{Config, Loaded, Source};
use crate::data_folder::{SYSTEM_FOLDER, data_folder};
use crate::mirror::Mirrors;
use crate::node::Node;
use crate::problem::{Problem, Problems};
use crate::yaml::{self, CONFIG_BYTES_MAX};

/// Reads a configuration file, if there is one, and lays the environment over it.
///
/// Without a file the registry listens on `127.0.0.1:5000` and keeps its data in [`data_folder`]; with one that names no
/// folder, where the Go registry does: `/var/lib/registry`.
///
/// # Errors
/// Everything that is wrong, among it that the file cannot be read.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Problems> {
    load_as(file, environment, is_root())
}

/// As [`load`], for the program that mirrors other registries and hosts nothing: it takes no pushes. Without a file it listens on
/// `127.0.0.1:5001` and keeps its data in `registry-mirror` in place of `registry`; without upstreams it has those that most people pull
/// from.
///
/// # Errors
/// As [`load`].
pub fn load_mirror(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Problems> {
    const ADDRESS: (&str, &str) = ("REGISTRY_HTTP_ADDR", "127.0.0.1:5001");
    let mut variables: Vec<(String, String)> = environment.collect();
    let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let default_root = data_folder(pairs, is_root()).map(|folder| folder.with_file_name("registry-mirror"));
    let tree = match file {
        Some(file) => yaml::parse(&read(file)?).map_err(Problems::new)?,
        None => {
            if !variables.iter().any(|(name, _)| name == ADDRESS.0) {
                variables.push((ADDRESS.0.to_owned(), ADDRESS.1.to_owned()));
            }
            Node::default()
        }
    };
    let mut loaded = Config::read(Source { tree, default_root }, variables)?;
    loaded.config.storage.read_only = true;
    loaded.config.mirrors.get_or_insert_with(Mirrors::well_known);
    Ok(loaded)
}

/// As [`load`], for a user who is `root` or not, whoever runs this process.
///
/// # Errors
/// As [`load`].
pub fn load_as(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    root: bool,
) -> Result<Loaded, Problems> {
    let Some(file) = file else {
        let variables: Vec<(String, String)> = environment.collect();
        let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let default_root = data_folder(pairs, root);
        return Config::read(Source { tree: Node::default(), default_root }, variables);
    };
    parse(&read(file)?, environment)
}

/// Reads the text of a configuration file and lays the environment over it.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(yaml: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    let tree = yaml::parse(yaml).map_err(Problems::new)?;
    let default_root = Some(PathBuf::from(SYSTEM_FOLDER));
    Config::read(Source { tree, default_root }, environment.collect())
}

/// The environment of this process. Variables that are not Unicode are left out: no key is, and other programs' variables do
/// not concern us.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Takes any bytes for a configuration file, a NUL, and variables that are separated by NULs: for fuzzing, to show that
/// nothing panics.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\0');
    let yaml = parts.next().unwrap_or_default();
    let variables = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    let variables: Vec<(String, String)> =
        variables.map(|(name, value)| (format!("REGISTRY_{name}"), value.to_owned())).collect();
    match parse(yaml, variables.clone().into_iter()) {
        Ok(loaded) => drop(format!("{loaded:?}")),
        Err(problems) => drop(problems.to_string()),
    }
    drop(load_as(None, variables.into_iter(), true));
}

pub(crate) fn read(file: &Path) -> Result<String, Problems> {
    let problem = |wrong: String, expected: &str| {
        Problems::new(vec![Problem::new(file.display().to_string(), wrong, expected)])
    };
    let mut bytes = Vec::new();
    let opened = File::open(file);
    opened
        .and_then(|opened| opened.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(format!("cannot be read: {error}"), "a configuration file"))?;
    text(bytes).ok_or_else(|| problem("is not UTF-8".to_owned(), "a text file"))
}

/// UTF-8, or UTF-16 with a byte order mark, as shells on Windows write it.
fn text(bytes: Vec<u8>) -> Option<String> {
    let units = |order: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes[2..].as_chunks::<2>();
        rest.is_empty().then(|| pairs.iter().map(|pair| order(*pair)).collect::<Vec<u16>>())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => String::from_utf16(&units(u16::from_le_bytes)?).ok(),
        [0xfe, 0xff, ..] => String::from_utf16(&units(u16::from_be_bytes)?).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

#[cfg(all(unix, not(portable)))]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(any(not(unix), portable))]
fn is_root() -> bool {
    false
}
