//! HTTP/2, frame by frame. Spec: RFC 9113; RFC 7541 for the heads.

use registry_testing::RawConnection;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection whose client takes no more than it wants to.
pub(super) struct Http2 {
    connection: RawConnection,
    received: Vec<u8>,
    next_stream: u32,
}

impl Http2 {
    /// Begins a conversation in which each answer may have so many bytes before the client asks for more, which it never does.
    pub(super) async fn open(address: &str, window_bytes: u32) -> Http2 {
        let mut connection = RawConnection::open(address).await.unwrap();
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(window_bytes.to_be_bytes());
        let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begin.extend(frame(SETTINGS, 0, 0, &settings));
        begin.extend(frame(SETTINGS, ACK, 0, &[]));
        connection.send(begin).await.unwrap();
        Http2 { connection, received: Vec::new(), next_stream: 1 }
    }

    /// Asks for each of the paths at once.
    pub(super) async fn get(&mut self, paths: impl IntoIterator<Item = &str>) {
        let mut requests = Vec::new();
        for path in paths {
            // `:method: GET`, `:scheme: http`, then `:path` and `:authority` in letters.
            let mut head = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
            assert!(path.len() < 127, "longer texts are written in another way");
            head.extend(path.as_bytes());
            head.extend([0x01, 9]);
            head.extend(b"localhost");
            requests.extend(frame(HEADERS, END_STREAM | END_HEADERS, self.next_stream, &head));
            self.next_stream += 2;
        }
        self.connection.send(requests).await.unwrap();
    }

    /// Reads until so many streams were answered, in part at least, or refused; how many were answered with 200.
    pub(super) async fn answers(&mut self, streams: usize) -> usize {
        /// The head begins with `:status: 200`.
        const OK: u8 = 0x88;

        let (mut good, mut others) = (0, 0);
        while good + others < streams {
            match self.next_frame().await {
                (HEADERS, head) if head.first() == Some(&OK) => good += 1,
                (HEADERS | RST_STREAM, _) => others += 1,
                _ => {}
            }
        }
        good
    }

    async fn next_frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(head) = self.received.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let kind = head[3];
                if self.received.len() >= 9 + length {
                    let payload = self.received[9..9 + length].to_vec();
                    self.received.drain(..9 + length);
                    assert!(kind == DATA || payload.len() < 64 * 1024);
                    return (kind, payload);
                }
            }
            let some = self.connection.some().await;
            assert!(!some.is_empty(), "the server ended the connection");
            self.received.extend(some);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
