use std::pin::pin;

use futures_util::FutureExt;
use tokio::time::{Instant, advance};

use super::*;

const MIB: usize = 1024 * 1024;

fn address(last: u8) -> IpAddr {
    IpAddr::from([198, 51, last, 1])
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

/// As much as there is of so many bytes each.
fn all_memory(share: &Share, bytes: usize) -> Vec<Reservation> {
    std::iter::from_fn(|| share.memory(bytes).ok()).collect()
}

#[test]
fn a_connection_holds_no_more_than_it_leaves() {
    let budget = Budget::new(64 * MIB, 100);
    let share = budget.share(None);
    let taken = all_memory(&share, 2 * MIB);
    assert_eq!(budget.memory_bytes(), 24 * MIB, "half of 48: large ones leave a quarter of all");
    assert!(budget.share(None).memory(9 * MIB).is_ok());
    assert_eq!(budget.memory_bytes(), 24 * MIB, "what was refused is not counted");
    drop(taken);
    assert_eq!(budget.memory_bytes(), 0);

    let files: Vec<_> = std::iter::from_fn(|| share.file().ok()).take(100).collect();
    assert_eq!(files.len(), 50);
    assert!(budget.share(None).file().is_ok());
}

#[test]
fn an_address_holds_a_part_however_many_connections_it_has() {
    let budget = Budget::new(48 * MIB, 300);
    let share = |last| budget.share(Some(budget.holder(address(last), 100)));
    let connections: Vec<_> = (0..24).map(|_| share(1)).collect();
    // A hundred runners that pull three layers each through the node.
    let streams: Vec<_> = (0..300).map(|n| connections[n % 24].stream_memory(SMALL_BYTES).unwrap()).collect();
    drop(streams);
    let taken: Vec<_> = connections.iter().flat_map(|share| all_memory(share, MIB)).collect();
    assert_eq!(taken.len(), 24, "two thirds of 36");
    let files: Vec<_> = connections.iter().cycle().map_while(|share| share.file().ok()).take(300).collect();
    assert_eq!(files.len(), 200);
    assert!(share(2).memory(9 * MIB).is_ok() && share(2).file().is_ok(), "another address has its own");
    // A proxy's connection holds for each of its clients, and not for itself.
    let proxy = budget.share(None);
    assert!(proxy.on_behalf_of(Some(budget.holder(address(1), 100))).memory(MIB).is_err());
    assert!(proxy.on_behalf_of(Some(budget.holder(address(2), 100))).memory(9 * MIB).is_ok());
    let refused: Vec<_> = budget.refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("address_memory", 25), ("address_files", 1)]);
    drop((taken, files));
    assert_eq!((budget.memory_bytes(), budget.files()), (0, 0));
}

/// Everything that one customer with a /48 of IPv6, or a /24 of IPv4, takes from an address each.
#[test]
fn a_network_never_holds_the_last_of_anything() {
    const CONNECTIONS_MAX: usize = 1000;
    type Of = fn(u16) -> IpAddr;
    let networks: [Of; 2] = [
        |number| IpAddr::from([0x2001, 0xdb8, 0, number << 8, 0, 0, 0, 1]),
        |number| IpAddr::from([203, 0, 113, number as u8]),
    ];
    for network in networks {
        let budget = Budget::new(48 * MIB, 1000);
        let shares: Vec<_> =
            (0..250).map(|number| budget.share(Some(budget.holder(network(number), 100)))).collect();
        let large: Vec<_> = shares.iter().flat_map(|share| all_memory(share, MIB)).collect();
        let small: Vec<_> = shares.iter().flat_map(|share| all_memory(share, SMALL_BYTES)).collect();
        let files: Vec<_> =
            shares.iter().flat_map(|share| std::iter::from_fn(|| share.file().ok())).collect();
        let windows: Vec<_> = shares.iter().map(Share::window).collect();
        let connect = |address| budget.connection(Some(budget.holder(address, 100)), CONNECTIONS_MAX);
        let connected: Vec<_> =
            (0..250).flat_map(|number| std::iter::from_fn(move || Some(network(number))).take(100)).collect();
        let connections: Vec<_> = connected.into_iter().filter_map(connect).collect();

        let other = budget.share(Some(budget.holder(address(1), 100)));
        assert!(other.memory(6 * MIB).is_ok(), "{} MiB are held", budget.memory_bytes() / MIB);
        assert!(other.stream_memory(SMALL_BYTES).is_ok());
        let others = std::iter::from_fn(|| other.file().ok()).collect::<Vec<_>>();
        assert!(others.len() > 100, "{} files", others.len());
        assert_eq!(other.window().connection_bytes() as usize, Window::LARGE_BYTES / 16);
        let others = (0..100).filter_map(|_| connect(address(1))).collect::<Vec<_>>();
        assert_eq!((connections.len(), others.len()), (800, 100));
        drop((large, small, files, windows));
    }
}

#[test]
fn an_address_has_so_many_connections() {
    let budget = Budget::new(16 * MIB, 1);
    let connect = |last| budget.connection(Some(budget.holder(address(last), 2)), 100);
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
    // Two copies of the annotations of the largest manifest, and what is around them.
    assert!(budget.share(None).memory(9 * MIB).is_ok());
    let share = budget.share(None);
    assert_eq!(std::iter::from_fn(|| share.file().ok()).map(std::mem::forget).take(16).count(), 8);
}

#[test]
fn large_amounts_leave_room_for_small_ones() {
    let budget = Budget::new(64 * MIB, 1);
    let taken: Vec<_> = (0..48).map_while(|_| budget.share(None).memory(MIB).ok()).collect();
    assert_eq!(taken.len(), 48);
    assert!(budget.share(None).memory(MIB).is_err());
    assert_eq!(all_memory(&budget.share(None), SMALL_BYTES).len(), 16, "a client has its least");
    assert!(budget.share(None).spare_memory(1).is_none());
}

#[test]
fn the_windows_of_all_connections_have_a_sum() {
    let budget = Budget::new(48 * MIB, 1);
    let windows: Vec<_> = (0..1000).map(|_| budget.share(None).window()).collect();
    let beyond = |window: &Window| window.connection_bytes() as usize > Window::BYTES_MIN;
    assert!(
        windows.iter().filter(|window| beyond(window)).map(|window| window.bytes).sum::<usize>() <= 96 * MIB
    );
    assert_eq!(windows[0].connection_bytes() as usize, Window::LARGE_BYTES);
    assert!(windows.iter().filter(|window| beyond(window)).count() > 100, "small ones are left");
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
