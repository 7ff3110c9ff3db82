use std::path::PathBuf;

use registry_types::Secret;

use crate::field::Field;

/// The key that seals what is secret in the database. Key `secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The file that holds it. Key `keyfile`.
    pub key_file: Option<PathBuf>,
    /// The key itself, from the variable `REGISTRY_SECRETS_KEY`.
    pub key: Option<Secret>,
}

impl Secrets {
    pub(crate) fn read(secrets: &Field<'_>) -> Secrets {
        let (file, key) = (secrets.get("keyfile"), secrets.get("key"));
        if key.is_set() && key.variable().is_none() {
            key.problem("stands in the file", "secrets.keyfile, or the variable REGISTRY_SECRETS_KEY");
        } else if key.is_set() && file.is_set() {
            file.problem("is given beside the variable REGISTRY_SECRETS_KEY", "one of the two");
        }
        Secrets { key_file: file.path(), key: key.text().map(Secret::new) }
    }
}
