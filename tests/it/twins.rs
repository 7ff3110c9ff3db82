//! Decisions about content are written once: no stretch of code of the same shape stands in the folders of both databases, but in
//! files that are named here.
//!
//! Compared are the words and signs of production code, without those that only say on which database it runs: `async`, `await`,
//! the names of the databases, punctuation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::size::{code, root, rust_files};

/// How many words in a row are the same by chance: the head of a method, the fields of a struct.
const WORDS_MAX: usize = 25;

/// Files with twins, by their names in both folders, each with how many of its words at most stand in the other folder, too. What
/// they do is tuned by hand for each database, because a client waits for it. No number may rise; a file that has no twin any more
/// must go from the list.
const TWINS: &[(&str, usize)] = &[("claims.rs", 53), ("store.rs", 112)];

/// Words that say nothing of what is done.
const OF_DATABASE: [&str; 8] = ["async", "await", "pub", "super", "crate", "sqlite", "postgres", "_"];

/// Names of the same thing.
const NAMES: [(&str, &str); 6] = [
    ("connection", "session"),
    ("reader", "session"),
    ("c", "session"),
    ("SqliteStore", "Store"),
    ("PostgresStore", "Store"),
    ("own", "sql"),
];

#[test]
fn decisions_are_written_once() {
    let source = root().join("crates/registry-metadata/src");
    let found = twins(&words_of(&source.join("sqlite")), &words_of(&source.join("postgres")));
    let mut wrong = Vec::new();
    for (file, words) in &found {
        match TWINS.iter().find(|(twin, _)| twin == file) {
            Some((_, max)) if words <= max => {}
            Some((_, max)) => wrong.push(format!("{file}: {words} words, and {max} at most")),
            None => {
                wrong.push(format!("{file}: {words} words stand in both folders: write it once, in `logic`"))
            }
        }
    }
    let gone = TWINS.iter().filter(|(twin, _)| !found.contains_key(*twin));
    wrong.extend(gone.map(|(twin, _)| format!("{twin} has no twin any more: take it from the list")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_same_logic_is_found_whatever_database_it_runs_on() {
    let one = "fn due(connection: &Connection, id: i64) -> Result<bool> { let row = one(connection, sql::DUE, [id])?; \
               if row.is_none() { return Ok(false); } let kept = decide(connection, row, id)?; Ok(kept && id > 7) }";
    let other = one.replace("fn due", "async fn due").replace(")?;", ").await?;");
    let files = |text: &str| BTreeMap::from([("due.rs".to_owned(), words(text))]);
    assert!(twins(&files(one), &files(&other)).contains_key("due.rs"));
    let different = one.replace("sql::DUE", "sql::OVER").replace("decide", "look");
    assert!(twins(&files(one), &files(&different)).is_empty());
}

/// Of the files of one folder, how many words stand in the other one, too, in stretches that are longer than chance.
fn twins(
    files: &BTreeMap<String, Vec<String>>,
    others: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, usize> {
    let stretches: BTreeSet<&[String]> = others.values().flat_map(|words| words.windows(WORDS_MAX)).collect();
    let mut found = BTreeMap::new();
    for (file, words) in files {
        let places = words.windows(WORDS_MAX).enumerate();
        let shared = places.filter(|(_, stretch)| stretches.contains(stretch));
        let shared: BTreeSet<usize> = shared.flat_map(|(place, _)| place..place + WORDS_MAX).collect();
        if !shared.is_empty() {
            found.insert(file.clone(), shared.len());
        }
    }
    found
}

/// The words of each file below a folder, but of tests.
fn words_of(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let files = rust_files(folder).into_iter().filter_map(|path| {
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        (!name.starts_with("tests"))
            .then(|| (name, words(&code(&fs::read_to_string(&path).unwrap()).join("\n"))))
    });
    let files: BTreeMap<_, _> = files.collect();
    assert!(files.len() > 5, "only {} files are found in {}", files.len(), folder.display());
    files
}

/// What is said in a text, without what is imported and what says on which database it runs.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut is_import = false;
    for line in text.lines() {
        is_import |= line.starts_with("use ") || line.starts_with("pub use ");
        if !is_import {
            words.extend(words_of_line(line));
        }
        is_import &= !line.ends_with(';');
    }
    words
}

fn words_of_line(line: &str) -> impl Iterator<Item = String> {
    let line = line.split(|sign: char| !sign.is_alphanumeric() && !"_\"=!+*/%".contains(sign));
    let words = line.filter(|word| !word.is_empty() && !OF_DATABASE.contains(word));
    words.map(|word| NAMES.iter().find(|(name, _)| *name == word).map_or(word, |(_, same)| same).to_owned())
}
