use std::fmt;

use crate::log::LogLevel;

/// Something that an operator should know about a configuration which is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A key that the registry does not know. It has no effect.
    UnknownKey {
        /// The key's path.
        key: String,
        /// The environment variable that gave it.
        variable: Option<String>,
        /// The known key that it is nearest to, if one is near.
        nearest: Option<String>,
    },
    /// An environment variable that begins with `REGISTRY_` and names no key. It has no effect.
    UnknownVariable {
        /// The variable's name.
        variable: String,
        /// The known variable that it is nearest to, if one is near.
        nearest: Option<String>,
    },
    /// A section of the Go registry whose feature this version does not have. It has no effect.
    NotActive {
        /// The key's path.
        key: String,
        /// The environment variable that gave it.
        variable: Option<String>,
    },
    /// A key of the Go registry that has nothing to do here.
    NotNeeded {
        /// The key's path.
        key: String,
        /// The environment variable that gave it.
        variable: Option<String>,
        /// Why not.
        reason: String,
    },
    /// An old spelling.
    Deprecated {
        /// The key's path.
        key: String,
        /// What to write instead.
        instead: String,
    },
    /// A value that is taken in another way than its text suggests.
    Remark {
        /// The key's path.
        key: String,
        /// How it is taken.
        text: String,
    },
    /// What others on the network can do, and which key ends that.
    Open {
        /// The key's path.
        key: String,
        /// The environment variable that gave it.
        variable: Option<String>,
        /// What is open to whom, and what closes it.
        text: String,
    },
    /// A part of what others would reach is left to a proxy in front.
    LeftToProxy {
        /// The key's path.
        key: String,
        /// The environment variable that gave it.
        variable: Option<String>,
        /// What is left to it.
        text: String,
    },
}

impl Warning {
    /// Whether it is about what others reach while the registry serves, which is nothing to a command beside it.
    pub fn is_about_serving(&self) -> bool {
        matches!(self, Warning::Open { .. } | Warning::LeftToProxy { .. })
    }

    /// How important it is: [`LogLevel::Warn`] if something that was asked for is lost, or if something is open to others;
    /// [`LogLevel::Info`] otherwise.
    pub fn level(&self) -> LogLevel {
        match self {
            Warning::NotNeeded { .. } | Warning::Deprecated { .. } | Warning::LeftToProxy { .. } => {
                LogLevel::Info
            }
            Warning::UnknownKey { .. }
            | Warning::UnknownVariable { .. }
            | Warning::NotActive { .. }
            | Warning::Remark { .. }
            | Warning::Open { .. } => LogLevel::Warn,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownKey { key, variable, nearest } => {
                write!(f, "{key}{}: unknown key, ignored{}", from(variable), meant(nearest))
            }
            Warning::UnknownVariable { variable, nearest } => {
                write!(f, "{variable}: environment variable that names no key, ignored{}", meant(nearest))
            }
            Warning::NotActive { key, variable } => {
                write!(f, "{key}{}: not active in this version", from(variable))
            }
            Warning::NotNeeded { key, variable, reason } => {
                write!(f, "{key}{}: not needed here, {reason}", from(variable))
            }
            Warning::Deprecated { key, instead } => write!(f, "{key}: old spelling, write {instead}"),
            Warning::Remark { key, text } => write!(f, "{key}: {text}"),
            Warning::Open { key, variable, text } | Warning::LeftToProxy { key, variable, text } => {
                write!(f, "{key}{}: {text}", from(variable))
            }
        }
    }
}

fn from(variable: &Option<String>) -> String {
    variable.as_ref().map(|name| format!(" (from {name})")).unwrap_or_default()
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; was {name} meant?")).unwrap_or_default()
}
