//! Whole configurations, as an operator would write them.

mod problems;
mod retention;
mod samples;

use registry_config::{Loaded, Problems, parse};

fn with(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    parse(yaml, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The warnings as text.
fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}
