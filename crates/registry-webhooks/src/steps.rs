//! What is run on a database.

mod admin;
mod feed;
mod history;
mod outcome;

pub(crate) use admin::{
    Active, Add, Change, ChangeTo, Find, List, NewWebhook, OfId, Remove, SetSecret, SetState,
};
#[cfg(test)]
pub(crate) use feed::WAITING_MAX;
pub(crate) use feed::{Behind, FED_MAX, Feed, Feeding, KIND, lane};
pub(crate) use history::{
    AGAIN_MAX, Details, History, Load, Loaded, NoteCallback, Page, Report, Revive, SendAnew, SendSince,
    Since, Test,
};
pub(crate) use outcome::{Outcome, Prune, Pruning};
