use std::pin::pin;

use futures_util::FutureExt;
use tokio::time::{Instant, advance};

use super::*;

const MIB: usize = 1024 * 1024;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn what_was_taken_comes_back() {
    let budget = Budget::new(16 * MIB, 1);
    let share = budget.share(Some(budget.holder(address(1), 1)));
    let mut taken = share.memory(2 * MIB).unwrap();
    taken.grow_by(MIB).unwrap();
    assert_eq!(budget.memory_bytes(), 3 * MIB);
    let bytes = taken.hold(Bytes::from(vec![7; MIB])).unwrap();
    assert_eq!(budget.memory_bytes(), MIB, "no more than there is");
    let slice = bytes.slice(5..6);
    drop(bytes);
    assert_eq!(budget.memory_bytes(), MIB, "a slice keeps all");
    drop(slice);
    assert_eq!(budget.memory_bytes(), 0);

    let file = share.file().unwrap();
    assert!(share.file().is_err());
    drop(file);
    assert!(share.file().is_ok());
    assert_eq!(budget.files(), 0);
}

#[test]
fn a_connection_has_a_quarter() {
    let budget = Budget::new(64 * MIB, 100);
    let share = budget.share(None);
    let taken = share.memory(16 * MIB).unwrap();
    assert!(share.memory(1).is_err());
    assert!(budget.share(None).memory(MIB).is_ok());
    assert_eq!(budget.memory_bytes(), 16 * MIB, "what was refused is not counted");
    drop(taken);
    assert!(share.memory(1).is_ok());

    let files: Vec<_> = std::iter::from_fn(|| share.file().ok()).take(100).collect();
    assert_eq!(files.len(), 25);
    assert!(budget.share(None).file().is_ok());
}

#[test]
fn an_address_has_a_quarter_however_many_connections_it_has() {
    let budget = Budget::new(64 * MIB, 100);
    let share = |last| budget.share(Some(budget.holder(address(last), 100)));
    let connections: Vec<_> = (0..24).map(|_| share(1)).collect();
    let taken: Vec<_> = connections.iter().map_while(|share| share.memory(2 * MIB).ok()).collect();
    assert_eq!(taken.len(), 8);
    let files: Vec<_> = connections.iter().cycle().map_while(|share| share.file().ok()).take(100).collect();
    assert_eq!(files.len(), 25);
    assert!(share(2).memory(2 * MIB).is_ok() && share(2).file().is_ok(), "another address has its own");
    // A proxy's connection holds for each of its clients.
    let proxy = budget.share(None);
    assert!(proxy.on_behalf_of(Some(budget.holder(address(1), 100))).memory(MIB).is_err());
    assert!(proxy.on_behalf_of(Some(budget.holder(address(2), 100))).memory(MIB).is_ok());
    let refused: Vec<_> = budget.refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("address_memory", 2), ("address_files", 1)]);
    drop((taken, files));
    assert_eq!((budget.memory_bytes(), budget.files()), (0, 0));
}

#[test]
fn an_address_has_so_many_connections() {
    let budget = Budget::new(16 * MIB, 1);
    let connect = |last| budget.connection(Some(budget.holder(address(last), 2)));
    let held: Vec<_> = (0..3).map_while(|_| connect(1)).collect();
    assert_eq!(held.len(), 2);
    assert!(connect(2).is_some());
    assert_eq!(budget.connections(), 2);
    drop(held);
    assert_eq!(budget.connections(), 0);
    assert!(connect(1).is_some());
}

#[test]
fn the_largest_answer_fits_into_the_smallest_budget() {
    let budget = Budget::new(16 * MIB, 16);
    assert!(budget.share(None).memory(SHARE_BYTES_MIN).is_ok());
    let share = budget.share(None);
    assert_eq!(std::iter::from_fn(|| share.file().ok()).map(std::mem::forget).take(16).count(), 8);
}

#[test]
fn large_amounts_leave_room_for_small_ones() {
    let budget = Budget::new(64 * MIB, 1);
    let taken: Vec<_> = (0..6).map_while(|_| budget.share(None).memory(16 * MIB).ok()).collect();
    assert_eq!(taken.len(), 3);
    assert!(budget.share(None).memory(SMALL_BYTES).is_ok());
    assert!(budget.share(None).spare_memory(1).is_none());
}

#[test]
fn the_windows_of_all_connections_have_a_sum() {
    let budget = Budget::new(48 * MIB, 1);
    let windows: Vec<_> = (0..1000).map(|_| budget.share(None).window()).collect();
    let beyond = |window: &Window| window.connection_bytes() as usize > Window::BYTES_MIN;
    assert!(
        windows.iter().filter(|window| beyond(window)).map(|window| window.bytes).sum::<usize>() <= 48 * MIB
    );
    assert_eq!(windows[0].connection_bytes() as usize, Window::LARGE_BYTES);
    assert!(windows.iter().filter(|window| beyond(window)).count() > 20, "small ones are left");
    assert_eq!(windows[999].connection_bytes() as usize, Window::BYTES_MIN);
    assert_eq!(windows[999].stream_bytes() as usize, Window::BYTES_MIN);
    drop(windows);
    assert_eq!(budget.window_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_one_turn_for_large_documents_and_does_not_wait_long() {
    let budget = Budget::new(16 * MIB, 1);
    let share = |last| budget.share(Some(budget.holder(address(last), 1000)));
    let shares: Vec<_> = (0..1000).map(|_| share(1)).collect();
    let first = shares[0].turn().await.unwrap();
    let mut others: Vec<_> = shares[1..].iter().map(|share| Box::pin(share.turn())).collect();
    for other in &mut others {
        assert!(other.as_mut().now_or_never().is_none());
    }
    let other = share(2);
    let _second = other.turn().await.unwrap();
    let third = share(3);
    let mut third = pin!(third.turn());
    assert!(third.as_mut().now_or_never().is_none(), "two are parsed");
    drop(first);
    assert!(third.as_mut().now_or_never().is_some(), "the 999 others of the first address are not before it");
    let started = Instant::now();
    advance(std::time::Duration::from_secs(9)).await;
    let last = others.pop().unwrap();
    assert!(matches!(last.await, Err(Refused::Busy { .. })));
    assert_eq!(started.elapsed().as_secs(), 10);
}
