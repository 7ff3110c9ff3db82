//! Logins whose checks are dear: which is checked when, and what is remembered of it.
//!
//! Nothing in here knows what a password is compared with. All of it is bounded, whatever is sent.
//!
//! | Module | What |
//! |---|---|
//! | `source` | where a login comes from, and whether others may come from there as well |
//! | `secret` | hashes of credentials that are of no use to others |
//! | `memory` | what was seen not long ago |
//! | `throttle` | how many wrong guesses may be made how fast |
//! | `turns` | whose check is next |
//! | `slots` | such a queue for each name or address |
//! | `places` | how many of an address may wait for a refusal |
//! | `flights` | one check for all requests that send the same at the same time |
//! | `report` | what the log says of logins that failed |

mod flights;
mod memory;
mod places;
mod report;
mod secret;
mod slots;
mod source;
mod throttle;
mod turns;

pub(crate) use flights::{Flights, Joined};
pub(crate) use memory::Memory;
pub(crate) use places::Places;
pub(crate) use report::{Failure, Report};
pub(crate) use secret::{Key, Secret};
pub(crate) use slots::Slots;
pub(crate) use source::Source;
pub(crate) use throttle::Throttle;
pub(crate) use turns::{Full, Rank, Turn, TurnLimits, Turns};
