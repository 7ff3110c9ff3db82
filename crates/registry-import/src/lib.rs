//! Taking over the storage of a Go registry in place, and writing it again.
//!
//! [`Import::run`] reads the links of that registry into a [`MetadataStore`](registry_metadata::MetadataStore): names, tags,
//! manifests (whose bytes are read, verified and parsed) and which blobs a repository has. The bytes of blobs stay where they are
//! and are not read. A run makes the metadata what that registry has at the moment, also what it deleted, so it can be repeated for
//! as long as that registry serves; a run that was killed is completed by the next one. Until [`Import::finish`] clients can pull
//! what was imported, and not change it.
//!
//! [`Export::run`] is the way back: it writes the links again, and the bytes of what was pushed here, so that the Go registry serves
//! everything that is here.
//!
//! What can not be taken over stops nothing: it is left out, and a [`Report`] names it with the reason.
//!
//! | Module | What |
//! |---|---|
//! | `layout` | the keys of the Go registry |
//! | `scan` | finding repositories, several parts of the storage at once |
//! | `repository` | one repository: what is new, what moved, what went |
//! | `batch` | what one transaction takes over |
//! | `run`, `finish` | an import, its end |
//! | `export` | the way back |
//! | `report`, `error` | what came of it |

#![forbid(unsafe_code)]

mod batch;
mod error;
mod export;
mod finish;
mod layout;
mod progress;
mod report;
mod repository;
mod run;
mod scan;

pub use error::ImportError;
pub use export::{Export, Exported};
pub use finish::Finished;
pub use layout::FOLDER;
pub use progress::{Progress, Shown};
pub use report::{LeftOut, PROBLEMS_MAX, Problem, Report};
pub use run::{Import, Policy};
