//! How a configuration that can not be used wants to be logged, so that what is wrong with it arrives where its log is read.

use std::path::Path;

use crate::environment;
use crate::field::{Field, Notes};
use crate::load::read;
use crate::log::Log;
use crate::node::Node;
use crate::yaml;

/// The `log` section of a configuration, as far as it can be read; the rest, and all that is wrong, is ignored.
pub fn log_of(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Log {
    let text = file.and_then(|file| read(file).ok()).unwrap_or_default();
    let mut tree = yaml::parse(&text).unwrap_or_else(|_| Node::default());
    environment::apply(&mut tree, environment, &mut Vec::new(), &mut Vec::new());
    let notes = Notes::default();
    Log::read(&Field::root(&tree, &notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogFormatter;

    #[test]
    fn a_configuration_that_can_not_be_used_is_logged_as_it_wants() {
        let folder = std::env::temp_dir().join(format!("log-of-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.yml");
        std::fs::write(&file, "log: {formatter: json}\nhttp: {addr: nonsense}\n").unwrap();
        assert_eq!(log_of(Some(&file), std::iter::empty()).formatter, LogFormatter::Json);
        std::fs::write(&file, "log: [\n").unwrap();
        let variable = || [("REGISTRY_LOG_FORMATTER".to_owned(), "json".to_owned())].into_iter();
        assert_eq!(log_of(Some(&file), variable()).formatter, LogFormatter::Json);
        assert_eq!(log_of(Some(&folder.join("absent")), variable()).formatter, LogFormatter::Json);
        assert_eq!(log_of(None, std::iter::empty()).formatter, LogFormatter::Text);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
