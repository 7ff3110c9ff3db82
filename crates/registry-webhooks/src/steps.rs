//! What is run on a database.

mod admin;
mod feed;
mod history;
mod outcome;

pub(crate) use admin::{Add, Change, ChangeTo, Find, List, NewWebhook, OfId, Remove, SetSecret, SetState};
pub(crate) use feed::{Behind, FED_MAX, Feed, Feeding, WAITING_MAX};
pub(crate) use history::{
    AGAIN_MAX, Details, FirstWaiting, History, Load, Loaded, NoteCallback, Page, Report, Revive, SendAnew,
    SendSince, Since, Test, WithWaiting,
};
pub(crate) use outcome::{Note, Outcome, Prune, Pruning};
