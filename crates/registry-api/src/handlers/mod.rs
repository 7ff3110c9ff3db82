//! One file for each kind of thing that the API serves. Each handler is typed in and typed out; what it may do was
//! decided before it is called.

pub(crate) mod blob;
pub(crate) mod catalog;
pub(crate) mod manifest;
pub(crate) mod partial;
pub(crate) mod referrers;
pub(crate) mod tags;
pub(crate) mod upload;
