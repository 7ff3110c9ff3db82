//! Where lines wait until a thread writes them, many at once.

use std::{io::Write, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};

/// How much may wait to be written. More is dropped and counted: requests do not wait for a terminal.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long the first line waits for others. Waking a thread for each line would cost more than the line.
const GATHER: Duration = Duration::from_millis(10);

/// How long the end of the process waits for whoever reads the log.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What lines are given to. Dropping it writes what still waits.
#[derive(Debug)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or nothing more will come.
    changed: Condvar,
    /// Everything is written, and the thread ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    dropped: u64,
    is_closed: bool,
    has_ended: bool,
}

impl Sink {
    /// Begins to write what is given, from a thread of its own.
    pub(super) fn start(output: impl Write + Send + 'static) -> std::io::Result<Sink> {
        let shared = Arc::new(Shared::default());
        let (sink, written) = (Sink(shared.clone()), shared);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || write_all(&written, output))?;
        Ok(sink)
    }

    /// Puts a line, with its end, where the thread finds it. Never waits for the output.
    pub(super) fn put(&self, line: &str) {
        let mut waiting = self.0.waiting.lock();
        if waiting.text.len() + line.len() > WAITING_BYTES_MAX {
            waiting.dropped += 1;
            return;
        }
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line.as_bytes());
        drop(waiting);
        if is_first {
            self.0.changed.notify_one();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.is_closed = true;
        self.0.changed.notify_one();
        let has_ended = |waiting: &mut Waiting| !waiting.has_ended;
        self.0.ended.wait_while_for(&mut waiting, has_ended, CLOSE_MAX);
    }
}

fn write_all(shared: &Shared, mut output: impl Write) {
    let mut text = Vec::new();
    while let Some(dropped) = next(shared, &mut text) {
        // Nobody is left to be told that the output is gone.
        let _ = output.write_all(&text).and_then(|()| output.flush());
        text.clear();
        if dropped > 0 {
            tracing::warn!("dropped {dropped} lines of the access log: its output is too slow");
        }
    }
    shared.waiting.lock().has_ended = true;
    shared.ended.notify_all();
}

/// Waits for lines, takes all that wait, and says how many were dropped in the meantime; none at the end.
fn next(shared: &Shared, text: &mut Vec<u8>) -> Option<u64> {
    let mut waiting = shared.waiting.lock();
    shared.changed.wait_while(&mut waiting, |waiting| waiting.text.is_empty() && !waiting.is_closed);
    if !waiting.is_closed {
        shared.changed.wait_while_for(&mut waiting, |waiting| !waiting.is_closed, GATHER);
    }
    if waiting.text.is_empty() {
        return None;
    }
    std::mem::swap(&mut waiting.text, text);
    Some(std::mem::take(&mut waiting.dropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_waits_is_written_before_the_end_in_the_order_it_came() {
        let output = Output::default();
        let sink = Sink::start(output.clone()).unwrap();
        for number in 0..1000 {
            sink.put(&format!("{number}\n"));
        }
        drop(sink);
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(output.0.lock().clone()).unwrap(), expected);
    }

    #[test]
    fn what_an_output_does_not_take_is_dropped_and_nobody_waits() {
        let (output, held) = (Output::default(), Mutex::new(()));
        let held = Box::leak(Box::new(held));
        let guard = held.lock();
        let sink = Sink::start(Slow(held, output.clone())).unwrap();
        let line = "x".repeat(1023) + "\n";
        for _ in 0..3 * WAITING_BYTES_MAX / line.len() {
            sink.put(&line);
        }
        let dropped = sink.0.waiting.lock().dropped;
        drop(guard);
        drop(sink);
        let written = output.0.lock().len() / line.len();
        assert!(dropped > 0);
        assert_eq!(written + usize::try_from(dropped).unwrap(), 3 * WAITING_BYTES_MAX / line.len());
    }

    struct Slow(&'static Mutex<()>, Output);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _held = self.0.lock();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
