//! What a child process writes, kept while it runs.

use std::{
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use tokio::sync::watch;

use crate::DEADLINE;

/// The text that a process has written so far. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<watch::Sender<Written>>);

#[derive(Debug, Default)]
struct Written {
    text: String,
    is_at_end: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log(Arc::new(watch::Sender::new(Written::default())))
    }
}

impl Log {
    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.borrow().text.clone()
    }

    /// Waits until the log contains a text, in what was written before or comes later.
    ///
    /// # Panics
    /// If it does not in time; shows the log.
    pub async fn wait_for(&self, needle: &str) {
        self.wait_for_value(needle, |text| text.contains(needle).then_some(())).await;
    }

    /// Waits until `look` finds something in the log, and returns it.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_value<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        match self.wait(|written| look(&written.text)).await {
            Some(value) => value,
            None => panic!("waited in vain for {what:?} in the log:\n{}", self.text()),
        }
    }

    /// Everything, once the process that writes it has ended.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn to_the_end(&self) -> String {
        let text = self.wait(|written| written.is_at_end.then(|| written.text.clone())).await;
        text.expect("a process that has ended writes no more")
    }

    async fn wait<T>(&self, look: impl Fn(&Written) -> Option<T>) -> Option<T> {
        let mut receiver = self.0.subscribe();
        let found =
            tokio::time::timeout(DEADLINE, receiver.wait_for(|written| look(written).is_some())).await;
        look(&found.ok()?.expect("a log is its own sender"))
    }

    /// Reads lines from `source` until its end, in a thread of its own.
    pub(crate) fn follow(&self, source: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                log.0.send_modify(|written| written.text.push_str(&text));
                line.clear();
            }
            log.0.send_modify(|written| written.is_at_end = true);
        });
    }
}
