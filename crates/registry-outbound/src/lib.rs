#![doc = include_str!("../README.md")]

mod address;
mod client;
mod destination;
mod error;
mod guard;

pub use address::special;
pub use client::{
    Answer, AnswerBody, Ask, Client, Opened, Outbound, OutboundOptions, Resolver, SystemResolver,
};
pub use destination::{Credentials, Destination, URL_BYTES_MAX};
pub use error::{OutboundError, Refusal, UrlError};
pub use registry_types::{Allowed, ParseAllowedError};
