//! What is run on a database.

mod admin;
mod feed;
mod history;
mod outcome;
mod sequences;

pub(crate) use admin::{Active, Add, Change, ChangeTo, Find, List, NewWebhook, Remove, SetSecret, SetState};
pub(crate) use feed::{Behind, FED_MAX, Fed, Feed, Feeding, KIND, WAITING_MAX, lane};
pub(crate) use history::{
    AGAIN_MAX, Details, History, Load, Loaded, NoteCallback, Page, Report, Revive, SendAnew, SendSince,
    Since, Test,
};
pub(crate) use outcome::{Outcome, PruneMany, PruneOld};
pub(crate) use sequences::{Awaited, ForgetSequences, Numbered, SequencesAfter};
