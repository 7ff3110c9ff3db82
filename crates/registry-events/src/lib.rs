//! Events of a container registry.

#![forbid(unsafe_code)]

mod consumers;
mod event;
mod numbers;
mod order;
mod prune;
mod recorder;
mod schema;
mod sql;
mod steps;
mod watch;

pub use consumers::{
    AddConsumerError, CONSUMER_NAME_BYTES_MAX, CONSUMERS_MAX, TAKEN_MAX, add_consumer, remove_consumer, take,
};
pub use event::{Event, NewEvent};
pub use numbers::{ConsumerNumbers, Numbers, WAITING_COUNTED_MAX};
pub use order::{ORDERED_MAX, Order, Ordered};
pub use prune::{Bounds, EVENTS_AGE_MAX, EVENTS_KEPT_MAX, PRUNED_MAX, Prune, Pruned};
pub use recorder::{Recorder, record};
pub use registry_types::{EventKind as Kind, ParseEventKindError};
pub use schema::SCHEMA;
pub use watch::watch;

/// The statements of PostgreSQL that [`record`] sends, to be [ready](registry_database::Session::ready) before they are sent with others.
pub const STATEMENTS: &[&str] = &[sql::RECORD.postgres];
