//! The users of one version of the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use super::error::HtpasswdError;
use crate::caller::UserName;

/// The largest password file.
pub const HTPASSWD_BYTES_MAX: usize = 16 << 20;

/// The highest cost of a hash that is checked; a step more doubles the time, and 16 takes seconds.
pub const BCRYPT_COST_MAX: u32 = 16;

/// What an unknown user's password is compared with costs this if the file has nobody.
const COST_DEFAULT: u32 = 10;

/// Of how many lines the number is logged.
const LINES_NAMED_MAX: usize = 20;

/// Salt and hash, in bcrypt's letters, of no password that anybody knows.
const DUMMY: &str = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

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
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Users, HtpasswdError> {
        let mut users = Users::default();
        // Some editors begin every file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let (path, line) = (path.to_path_buf(), index + 1);
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(HtpasswdError::NotUtf8 { path, line });
            };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let Some((name, hash)) = text.split_once(':') else {
                return Err(HtpasswdError::NoColon { path, line });
            };
            let name = name.parse::<UserName>();
            let name = name.map_err(|source| HtpasswdError::User { path, line, source })?;
            let hash = Hash::parse(hash);
            if hash.is_none() {
                users.unusable_lines.push(line);
            }
            users.hashes.insert(name.as_str().to_owned(), hash);
        }
        users.costs = users.hashes.values().flatten().map(|hash| hash.cost).collect();
        users.costs.sort_unstable();
        Ok(users)
    }

    /// The hash of a user, if it is one that can be checked.
    pub(super) fn hash(&self, user: &str) -> Option<&str> {
        Some(&self.hashes.get(user)?.as_ref()?.text)
    }

    /// Whether this is the user's password. It takes as long for somebody unknown as for one of the users: which one,
    /// `choice` decides, so it must stay the same for a name and be unpredictable.
    pub(super) fn verify(&self, user: &str, password: &[u8], choice: u64) -> bool {
        let is_right = bcrypt::verify(password, &self.compared_with(user, choice)).unwrap_or(false);
        is_right && self.hash(user).is_some()
    }

    /// The hash that a password is compared with: the user's, or one that nobody has the password of.
    pub(super) fn compared_with(&self, user: &str, choice: u64) -> Cow<'_, str> {
        if let Some(hash) = self.hash(user) {
            return Cow::Borrowed(hash);
        }
        let cost = match self.costs.as_slice() {
            [] => COST_DEFAULT,
            costs => costs[(choice % costs.len() as u64) as usize],
        };
        Cow::Owned(format!("$2b${cost:02}${DUMMY}"))
    }

    /// Whether everybody has the same hash in both.
    pub(super) fn is_same(&self, other: &Users) -> bool {
        self.hashes == other.hashes
    }

    /// Names the lines that let nobody in.
    pub(super) fn log_unusable(&self, path: &Path) {
        let named: Vec<String> =
            self.unusable_lines.iter().take(LINES_NAMED_MAX).map(usize::to_string).collect();
        if named.is_empty() {
            return;
        }
        let more = self.unusable_lines.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        tracing::warn!(
            "{}: lines {}{more} have no bcrypt hash of a cost up to {BCRYPT_COST_MAX} and let nobody in; \
             make them with `htpasswd -B`",
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
