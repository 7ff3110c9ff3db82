use std::path::{Path, PathBuf};

/// The folder that data goes to when no configuration names one, and of the Go registry always.
pub(crate) const SYSTEM_FOLDER: &str = "/var/lib/registry";

/// The folder for data if nothing names one: that of the system for `root`, otherwise one of the user's own. `None` if the
/// user has no home folder.
pub fn data_folder<'a>(
    environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    root: bool,
) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from(SYSTEM_FOLDER));
    }
    let (mut data_home, mut home) = (None, None);
    for (name, value) in environment {
        match name {
            // Spec: XDG Base Directory Specification 0.8: relative paths are to be ignored.
            "XDG_DATA_HOME" => data_home = Some(Path::new(value)).filter(|path| path.is_absolute()),
            "HOME" => home = Some(Path::new(value)).filter(|path| path.is_absolute()),
            _ => {}
        }
    }
    let folder = data_home.map(Path::to_path_buf).or_else(|| Some(home?.join(".local/share")))?;
    Some(folder.join("registry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_to_the_system_for_root_and_home_for_others() {
        let home = ("HOME", "/home/ada");
        for (environment, root, expected) in [
            (vec![home], true, Some("/var/lib/registry")),
            (vec![], true, Some("/var/lib/registry")),
            (vec![home], false, Some("/home/ada/.local/share/registry")),
            (vec![home, ("XDG_DATA_HOME", "/data")], false, Some("/data/registry")),
            (vec![("XDG_DATA_HOME", "/data"), home], false, Some("/data/registry")),
            (vec![home, ("XDG_DATA_HOME", "relative")], false, Some("/home/ada/.local/share/registry")),
            (vec![home, ("XDG_DATA_HOME", "")], false, Some("/home/ada/.local/share/registry")),
            (vec![("HOME", "")], false, None),
            (vec![], false, None),
        ] {
            let label = format!("{environment:?} {root}");
            assert_eq!(data_folder(environment, root).as_deref(), expected.map(Path::new), "{label}");
        }
    }
}
