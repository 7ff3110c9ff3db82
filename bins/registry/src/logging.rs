//! The log on standard error, in the Go registry's formats: `time="…" level=info msg="…" key=value`, or JSON.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::atomic::{AtomicBool, Ordering},
};

use registry_core::{
    config::{Log, LogFormatter, LogLevel},
    server::chain,
};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

static HAS_STARTED: AtomicBool = AtomicBool::new(false);

/// Whether errors are for the log.
pub(crate) fn has_started() -> bool {
    HAS_STARTED.load(Ordering::Relaxed)
}

/// Starts logging. Later calls do nothing.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let format = Format { format: log.formatter, fields: log.fields.clone() };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .fmt_fields(Pairs)
        .event_format(format)
        .finish();
    // Fails only if logging has started already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    HAS_STARTED.store(true, Ordering::Relaxed);
}

struct Format {
    format: LogFormatter,
    fields: BTreeMap<String, String>,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        said.fields.extend(of_spans(context));
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let level = level_name(*event.metadata().level());
        let static_fields = self.fields.iter().map(|(key, value)| (key.clone(), value.clone()));
        let fields = static_fields.chain(said.fields);
        match self.format {
            LogFormatter::Text => text(&mut writer, &time, level, &said.message, fields),
            LogFormatter::Json => {
                json(&mut writer, [("time", &time), ("level", level), ("msg", &said.message)], fields)
            }
        }
    }
}

/// What the spans around an event say, the outermost first: the id of the request that it belongs to.
fn of_spans<S, N>(context: &FmtContext<'_, S, N>) -> Vec<(String, String)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut fields = Vec::new();
    for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
        let extensions = span.extensions();
        let Some(said) = extensions.get::<FormattedFields<N>>() else { continue };
        let pairs = said.fields.split(END_OF_PAIR).filter_map(|pair| pair.split_once(END_OF_NAME));
        fields.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    fields
}

/// What no field holds, so that the fields of a span are told apart again when an event is written.
const END_OF_NAME: char = '\u{1f}';
const END_OF_PAIR: char = '\u{1e}';

/// Keeps the fields of spans as pairs.
struct Pairs;

impl<'writer> FormatFields<'writer> for Pairs {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = WrittenPairs { writer, written: Ok(()) };
        fields.record(&mut pairs);
        pairs.written
    }
}

/// Writes pairs where they are kept, without a copy: each request has such a span, and almost none of them writes a line.
struct WrittenPairs<'writer> {
    writer: Writer<'writer>,
    written: fmt::Result,
}

impl WrittenPairs<'_> {
    fn pair(&mut self, field: &Field, write_value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let write = || {
            self.writer.write_str(field.name())?;
            self.writer.write_char(END_OF_NAME)?;
            write_value(&mut self.writer)?;
            self.writer.write_char(END_OF_PAIR)
        };
        let written = write();
        self.written = self.written.and(written);
    }
}

impl Visit for WrittenPairs<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.pair(field, |writer| write!(writer, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.pair(field, |writer| writer.write_str(value));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.pair(field, |writer| writer.write_str(&chain(error)));
    }
}

fn text(
    writer: &mut Writer<'_>,
    time: &str,
    level: &str,
    message: &str,
    fields: impl Iterator<Item = (String, String)>,
) -> fmt::Result {
    write!(writer, "time=\"{time}\" level={level} msg={message:?}")?;
    for (key, value) in fields {
        let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if is_plain { write!(writer, " {key}={value}") } else { write!(writer, " {key}={value:?}") }?;
    }
    writeln!(writer)
}

fn json(
    writer: &mut Writer<'_>,
    head: [(&str, &str); 3],
    fields: impl Iterator<Item = (String, String)>,
) -> fmt::Result {
    let head = head.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let object: Map<String, Value> =
        head.chain(fields).map(|(key, value)| (key, Value::String(value))).collect();
    writeln!(writer, "{}", Value::Object(object))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(String, String)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push((field.name().to_owned(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name().to_owned(), value.to_owned()));
    }

    /// With its causes: the log is where they are needed.
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.fields.push((field.name().to_owned(), chain(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_formats_that_log_collectors_know() {
        let fields = || [("service".to_owned(), "my registry".to_owned()), ("id".to_owned(), "x".to_owned())];
        let mut line = String::new();
        text(&mut Writer::new(&mut line), "T", "info", "listening on 127.0.0.1:5000", fields().into_iter())
            .unwrap();
        assert_eq!(
            line,
            "time=\"T\" level=info msg=\"listening on 127.0.0.1:5000\" service=\"my registry\" id=x\n"
        );

        let mut line = String::new();
        let head = [("time", "T"), ("level", "info"), ("msg", "a \"b\"")];
        json(&mut Writer::new(&mut line), head, fields().into_iter()).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "a \"b\"");
        assert_eq!(value["service"], "my registry");
    }
}
