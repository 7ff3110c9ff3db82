use std::collections::BTreeMap;

use crate::field::Field;

/// What is logged, and how. Key `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub formatter: LogFormatter,
    /// What every line says beside its own fields.
    pub fields: BTreeMap<String, String>,
    /// Whether no line is written for each request.
    pub access_log_disabled: bool,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormatter {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line. The Go registry's `logstash` is this too.
    Json,
}

impl Log {
    pub(crate) fn read(root: &Field<'_>) -> Log {
        let log = root.get("log");
        Log {
            level: level(&log.get("level")).or_else(|| level(&root.get("loglevel"))).unwrap_or_default(),
            formatter: formatter(&log.get("formatter")),
            fields: log
                .get("fields")
                .entries()
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value.text()?)))
                .collect(),
            access_log_disabled: log.get("accesslog").get("disabled").flag(false),
        }
    }
}

fn level(field: &Field<'_>) -> Option<LogLevel> {
    field.choice(&[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
    ])
}

fn formatter(field: &Field<'_>) -> LogFormatter {
    let words =
        [("text", LogFormatter::Text), ("json", LogFormatter::Json), ("logstash", LogFormatter::Json)];
    field.choice(&words).unwrap_or_default()
}
