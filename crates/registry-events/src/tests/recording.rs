//! What is written, and what is not.

use registry_database::{
    Fault, Session, Step,
    contract::{Bench, START_MS},
    step,
};
use registry_types::{Cause, RequestSource};

use super::{Add, Move, Remove, add, moved, order_all, try_take};
use crate::{Event, Kind, NewEvent, Recorder, record};

const COUNT: &str = "SELECT COUNT(*) FROM events";

pub(super) async fn nothing_is_written_while_there_is_no_consumer(bench: &Bench) {
    let move_tag = async |recorder: &Recorder| {
        bench.database.write("move a tag", Move(recorder.clone()), vec!["latest".to_owned()]).await.unwrap();
        bench.value(COUNT).await
    };
    assert_eq!(move_tag(&Recorder::default()).await, "0");
    let recorder = Recorder::new();
    // Not known yet whether there is one.
    assert!(recorder.is_wanted());
    recorder.refresh(&bench.database).await.unwrap();
    assert_eq!((recorder.is_wanted(), move_tag(&recorder).await.as_str()), (false, "0"));
    bench.other.write("add a consumer", Add, "a".to_owned()).await.unwrap();
    recorder.refresh(&bench.database).await.unwrap();
    assert_eq!((recorder.is_wanted(), move_tag(&recorder).await.as_str()), (true, "1"));
    assert!(bench.other.write("remove a consumer", Remove, "a".to_owned()).await.unwrap());
    recorder.refresh(&bench.database).await.unwrap();
    assert_eq!((recorder.is_wanted(), move_tag(&recorder).await.as_str()), (false, "1"));
    recorder.want();
    assert_eq!(move_tag(&recorder).await, "2");
    // One that never wants anything does not after this either.
    let never = Recorder::default();
    never.want();
    assert_eq!((never.is_wanted(), move_tag(&never).await.as_str()), (false, "2"));
}

/// Records two events, one with everything, one with nothing.
struct Both;

fn cause() -> Cause {
    let request = RequestSource::new("id-1", Some("192.0.2.1"), None, "PUT", Some("docker/29"));
    Cause { actor: Some("ada".to_owned()), request: Some(request) }
}

impl Step for Both {
    type Of = ();
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<(), Fault> {
        let cause = cause();
        let full = NewEvent {
            tag: Some("latest"),
            digest: Some("sha256:b"),
            digest_before: Some("sha256:a"),
            media_type: Some("application/x"),
            size_bytes: Some(12),
            ..NewEvent::in_repository(Kind::TagMoved, 3, "acme/app", &cause)
        };
        record(session, &Recorder::new(), &[full, NewEvent::new(Kind::ImportFinished, &Cause::UNKNOWN)]).await
    }
}

step!(Both);

pub(super) async fn events_come_back_as_they_were_recorded(bench: &Bench) {
    add(&bench.database, "a").await;
    bench.database.write("record", Both, ()).await.unwrap();
    order_all(&bench.database).await;
    let text = |text: &str| Some(text.to_owned());
    let full = Event {
        id: 1,
        position: 1,
        kind: Kind::TagMoved,
        at_ms: START_MS,
        repository: Some(3),
        name: text("acme/app"),
        tag: text("latest"),
        digest: text("sha256:b"),
        digest_before: text("sha256:a"),
        media_type: text("application/x"),
        size_bytes: Some(12),
        cause: cause(),
    };
    let empty = Event {
        id: 2,
        position: 2,
        kind: Kind::ImportFinished,
        repository: None,
        name: None,
        tag: None,
        digest: None,
        digest_before: None,
        media_type: None,
        size_bytes: None,
        cause: Cause::UNKNOWN,
        ..full.clone()
    };
    assert_eq!(try_take(&bench.database, "a", 10).await.unwrap(), [full, empty]);
}

/// Records an event, and refuses what it tells of.
struct Refuse;

impl Step for Refuse {
    type Of = ();
    type Output = ();

    async fn run<S: Session>(&self, session: &S, (): &()) -> Result<(), Fault> {
        Both.run(session, &()).await?;
        Err(Fault::refused("no"))
    }
}

step!(Refuse);

pub(super) async fn what_is_rolled_back_records_nothing(bench: &Bench) {
    add(&bench.database, "a").await;
    bench.database.write("refuse", Refuse, ()).await.unwrap_err();
    assert_eq!(bench.value(COUNT).await, "0");
    moved(&bench.database, &["v1"]).await;
    order_all(&bench.database).await;
    assert_eq!(try_take(&bench.database, "a", 10).await.unwrap()[0].position, 1);
}
