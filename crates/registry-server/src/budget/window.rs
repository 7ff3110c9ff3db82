//! What peers may send on HTTP/2 before it is read.

use super::Share;
use crate::addresses::{Bounds, give_back, take};

impl Share {
    /// What a peer may send on an HTTP/2 connection before it is read, beyond the least that the protocol allows. The more
    /// connections there are, the smaller the windows of further ones.
    pub(crate) fn window(&self) -> Window {
        /// What a window takes of the node, and which part of all must be left then.
        const WINDOWS: [(usize, usize); 3] =
            [(Window::LARGE_BYTES, 2), (Window::LARGE_BYTES / 4, 4), (Window::LARGE_BYTES / 16, usize::MAX)];

        let total = self.node.windows.total();
        let is_taken = |(bytes, part): &(usize, usize)| {
            let limit = total - total / part;
            let bounds = Bounds { node: limit, shared: limit, least: 0 };
            take(self.holder.as_deref(), self.node.window_pools(), *bytes, bounds).is_ok()
        };
        let bytes = WINDOWS.into_iter().find(is_taken).map_or(0, |(bytes, _)| bytes);
        Window { share: self.clone(), bytes }
    }
}

/// The windows of an HTTP/2 connection, until this is dropped.
pub(crate) struct Window {
    share: Share,
    pub(super) bytes: usize,
}

impl Window {
    /// Enough for a fast line far away.
    pub(super) const LARGE_BYTES: usize = 4 * 1024 * 1024;

    /// The most of one stream.
    const STREAM_BYTES_MAX: usize = 1024 * 1024;

    /// What the protocol gives a connection and each stream at first. Spec: RFC 9113, section 6.9.2.
    pub(super) const BYTES_MIN: usize = 65_535;

    /// How many bytes may wait on the connection.
    pub(crate) fn connection_bytes(&self) -> u32 {
        u32::try_from(self.bytes.max(Window::BYTES_MIN)).unwrap_or(u32::MAX)
    }

    /// How many of them may be of one stream.
    pub(crate) fn stream_bytes(&self) -> u32 {
        let bytes = self.bytes.clamp(Window::BYTES_MIN, Window::STREAM_BYTES_MAX);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        give_back(self.share.holder.as_deref(), self.share.node.window_pools(), self.bytes);
    }
}
