//! The users of one version of the file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use super::error::HtpasswdError;
use crate::caller::UserName;

/// The largest password file.
pub const HTPASSWD_BYTES_MAX: usize = 16 << 20;

/// The highest cost of a hash that is checked; a step more doubles the time, and 16 takes seconds.
pub const BCRYPT_COST_MAX: u32 = 16;

/// What an unknown user's password is compared with costs this if the file has no user.
const COST_DEFAULT: u32 = 10;

/// Of how many lines the number is logged.
const LINES_NAMED_MAX: usize = 20;

/// Salt and hash, in bcrypt's letters, of a password that is not known.
const DUMMY: &str = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// A made-up line for each cost, from 0 on.
static DUMMIES: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..=BCRYPT_COST_MAX).map(|cost| format!("$2b${cost:02}${DUMMY}")).collect());

/// What editors of Windows write before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug, Default)]
pub(super) struct Users {
    /// `None` for a user whose hash cannot be checked.
    hashes: HashMap<String, Option<Hash>>,
    /// The cost of each hash, in order.
    costs: Vec<u32>,
    /// Lines whose hash cannot be checked, from 1.
    unusable_lines: Vec<usize>,
}

#[derive(PartialEq, Eq)]
struct Hash {
    text: String,
    cost: u32,
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Users {
    /// Lines are `user:hash`; empty ones and those that begin with `#` are skipped. Of several for one user the last counts,
    /// as in the Go registry.
    #[cfg(test)]
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Users, HtpasswdError> {
        match Users::read(bytes, path) {
            (users, None) => Ok(users),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// What can be read, and the first line that can not.
    pub(super) fn read(bytes: &[u8], path: &Path) -> (Users, Option<HtpasswdError>) {
        let (mut users, mut fault) = (Users::default(), None);
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if let Err(error) = users.add(bytes, path, index + 1) {
                fault.get_or_insert(error);
            }
        }
        users.costs = users.hashes.values().flatten().map(|hash| hash.cost).collect();
        users.costs.sort_unstable();
        (users, fault)
    }

    fn add(&mut self, bytes: &[u8], path: &Path, line: usize) -> Result<(), HtpasswdError> {
        let path = || path.to_path_buf();
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| HtpasswdError::NotUtf8 { path: path(), line })?.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let (name, hash) =
            text.split_once(':').ok_or_else(|| HtpasswdError::NoColon { path: path(), line })?;
        let name = name.parse::<UserName>();
        let name = name.map_err(|source| HtpasswdError::User { path: path(), line, source })?;
        let hash = Hash::parse(hash);
        if hash.is_none() {
            self.unusable_lines.push(line);
        }
        self.hashes.insert(name.as_str().to_owned(), hash);
        Ok(())
    }

    /// Whether there is no line of a user.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a user, if it is one that can be checked.
    pub(super) fn hash(&self, user: &str) -> Option<&str> {
        Some(&self.hashes.get(user)?.as_ref()?.text)
    }

    /// Whether this is the user's password. It takes as long for an unknown name as for one of the users: which one,
    /// `choice` decides, so it must stay the same for a name and be unpredictable.
    pub(super) fn verify(&self, user: &str, password: &[u8], choice: u64) -> bool {
        let is_right = bcrypt::verify(password, self.compared_with(user, choice)).unwrap_or(false);
        is_right && self.hash(user).is_some()
    }

    /// The hash that a password is compared with: the user's, or one whose password is not known.
    pub(super) fn compared_with(&self, user: &str, choice: u64) -> &str {
        let cost = match self.costs.as_slice() {
            [] => COST_DEFAULT,
            costs => costs[(choice % costs.len() as u64) as usize],
        };
        self.hash(user).unwrap_or(&DUMMIES[cost as usize])
    }

    /// Whether both have the same users with the same hashes.
    pub(super) fn is_same(&self, other: &Users) -> bool {
        self.hashes == other.hashes
    }

    /// Names the lines by which no user can log in.
    pub(super) fn log_unusable(&self, path: &Path) {
        if self.costs.is_empty() {
            tracing::warn!(
                "the password file {} has no user who could log in; `registry hash-password <user>` makes a line",
                path.display()
            );
        }
        let named: Vec<String> =
            self.unusable_lines.iter().take(LINES_NAMED_MAX).map(usize::to_string).collect();
        if named.is_empty() {
            return;
        }
        let more = self.unusable_lines.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        tracing::warn!(
            "users of lines {1}{more} of the password file {0} cannot log in: these lines have no bcrypt hash of a cost up \
             to {BCRYPT_COST_MAX}; `htpasswd -B` makes such lines",
            path.display(),
            named.join(", ")
        );
    }

    #[cfg(test)]
    pub(super) fn unusable_lines(&self) -> &[usize] {
        &self.unusable_lines
    }
}

impl Hash {
    fn parse(text: &str) -> Option<Hash> {
        let has_version = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: bcrypt::HashParts = text.parse().ok().filter(|_| has_version)?;
        let cost = Some(parts.get_cost()).filter(|cost| (4..=BCRYPT_COST_MAX).contains(cost))?;
        Some(Hash { text: text.to_owned(), cost })
    }
}
