//! Keeps passwords from servers that no certificate vouches for.
//!
//! The client library answers whatever a server asks for: also a clear-text password, on a connection that anybody may
//! have accepted. This reads what a server says until it has let the client in, and breaks the connection when the server
//! asks for a password in a form that it, or anybody between, could use. SCRAM is no such form.

use std::io;

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the server asks for the password {0}, and nothing vouches for the server: let it ask for scram-sha-256, name the \
         authority of its certificate (sslmode=verify-full&sslrootcert=…), or say sslmode=disable to send passwords to \
         whatever answers"
    )]
    Password(&'static str),
    #[error(
        "the server offers no TLS: beyond loopback, sslmode is verify-full unless the URL says otherwise, and sslmode=disable \
         does without TLS"
    )]
    NoTls,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, refusal)
    }
}

impl Refusal {
    /// Whether an error is, or was caused by, a refusal: trying again does not help.
    pub(crate) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|error| error.get_ref().is_some_and(|inner| inner.is::<Refusal>()))
    }
}

/// How a server's `Authentication…` messages are numbered.
///
/// Spec: PostgreSQL, "Message Formats".
const AUTHENTICATION: u8 = b'R';
const OK: [u8; 4] = 0_u32.to_be_bytes();
const CLEAR_TEXT: [u8; 4] = 3_u32.to_be_bytes();
const MD5: [u8; 4] = 5_u32.to_be_bytes();

/// Looks at what a server sends, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The begin of a message: its kind, its length, and if it is about authentication, the number.
    head: Vec<u8>,
    /// How many bytes of the message are of no interest.
    skip: usize,
    /// Whether the server has let the client in.
    is_done: bool,
}

impl Guard {
    /// To be called with all that the server sends, before the client sees it.
    pub(crate) fn inspect(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        for byte in bytes {
            if self.is_done {
                break;
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.head.push(*byte);
            match self.head[..] {
                [AUTHENTICATION, _, _, _, _, a, b, c, d] => match [a, b, c, d] {
                    OK => self.is_done = true,
                    CLEAR_TEXT => return Err(Refusal::Password("in clear text")),
                    MD5 => return Err(Refusal::Password("as an MD5 hash")),
                    _ => self.rest_of_message(8),
                },
                [AUTHENTICATION, ..] => {}
                [_, _, _, _, _] => self.rest_of_message(4),
                _ => {}
            }
        }
        Ok(())
    }

    /// Skips what follows; `read` bytes of the length, which counts itself, were read.
    fn rest_of_message(&mut self, read: usize) {
        let [_, a, b, c, d, ..] = self.head[..] else { return };
        self.skip = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(read);
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    fn authentication(number: u32, rest: &[u8]) -> Vec<u8> {
        message(AUTHENTICATION, &[&number.to_be_bytes()[..], rest].concat())
    }

    #[test]
    fn a_request_for_a_password_is_seen_in_whatever_pieces_it_comes() {
        let notice = message(b'N', b"Sa notice\0R\0\0\0\x08\0\0\0\x03");
        let scram = authentication(10, b"SCRAM-SHA-256\0\0");
        let (clear, md5) = (authentication(3, b""), authentication(5, b"salt"));
        let (ok, row) = (authentication(0, b""), message(b'D', &authentication(3, b"")));
        for (said, expected) in [
            ([&clear[..]].concat(), Err(Refusal::Password("in clear text"))),
            ([&md5[..]].concat(), Err(Refusal::Password("as an MD5 hash"))),
            ([&notice[..], &clear].concat(), Err(Refusal::Password("in clear text"))),
            (
                [&scram[..], &authentication(11, b"r=x"), &clear].concat(),
                Err(Refusal::Password("in clear text")),
            ),
            (
                [&scram[..], &authentication(11, b"r=x"), &authentication(12, b"v=x"), &ok, &row, &clear]
                    .concat(),
                Ok(()),
            ),
            ([&ok[..], &clear].concat(), Ok(())),
            (message(b'E', b"no such user\0"), Ok(())),
        ] {
            for size in 1..=said.len() {
                let mut guard = Guard::default();
                assert_eq!(said.chunks(size).try_for_each(|piece| guard.inspect(piece)), expected, "{size}");
            }
        }
    }
}
