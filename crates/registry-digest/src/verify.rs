use std::io::{self, Read};

use crate::{Digest, Hasher, VerifyError};

/// Reads content and fails at its end unless size and digest are what was promised.
///
/// The bytes are handed out before their digest is known: whoever stores them may trust them only once a read has
/// returned `Ok(0)`. A failure is an [`io::Error`] of kind [`InvalidData`](io::ErrorKind::InvalidData) with a
/// [`VerifyError`] as its source, and stays for later reads. Content that is too long fails at its first byte too many,
/// and that byte is not handed out.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    expected: Digest,
    size_bytes: u64,
    hasher: Hasher,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Reading,
    Verified,
    Failed(VerifyError),
}

impl<R: Read> VerifyingReader<R> {
    /// Wraps `inner`, which is to yield exactly `size_bytes` with the digest `expected`.
    pub fn new(inner: R, expected: Digest, size_bytes: u64) -> VerifyingReader<R> {
        let hasher = Hasher::new(expected.algorithm());
        VerifyingReader { inner, expected, size_bytes, hasher, progress: Progress::Reading }
    }

    /// The reader that was wrapped, with whatever was not read of it.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Reads content into `buffer`, or finds out how it ended: then nothing is read.
    fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = self.size_bytes - self.hasher.bytes_hashed();
        let room = usize::try_from(remaining).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            let more = read_uninterrupted(&mut self.inner, &mut [0])?;
            self.progress = if more > 0 { self.wrong_size(more) } else { self.compare() };
            return Ok(0);
        }
        let read = self.inner.read(&mut buffer[..room])?;
        self.hasher.update(&buffer[..read]);
        if read == 0 {
            self.progress = self.wrong_size(0);
        }
        Ok(read)
    }

    fn wrong_size(&self, more: usize) -> Progress {
        let actual_bytes = self.hasher.bytes_hashed() + more as u64;
        Progress::Failed(VerifyError::SizeMismatch { expected_bytes: self.size_bytes, actual_bytes })
    }

    fn compare(&self) -> Progress {
        let actual = self.hasher.current();
        if actual == self.expected {
            return Progress::Verified;
        }
        Progress::Failed(VerifyError::DigestMismatch { expected: self.expected, actual })
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = match self.progress {
            Progress::Reading => self.read_content(buffer)?,
            Progress::Verified | Progress::Failed(_) => 0,
        };
        match &self.progress {
            Progress::Failed(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            Progress::Reading | Progress::Verified => Ok(read),
        }
    }
}

fn read_uninterrupted(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    const CONTENT: &[u8] = b"some content";

    fn reader(content: &[u8], size_bytes: u64) -> VerifyingReader<&[u8]> {
        VerifyingReader::new(content, Digest::of(Algorithm::Sha256, CONTENT), size_bytes)
    }

    fn failure(content: &[u8], size_bytes: u64) -> VerifyError {
        let mut reader = reader(content, size_bytes);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(reader.read(&mut [0; 8]).is_err(), "a failure stays");
        error.into_inner().unwrap().downcast_ref::<VerifyError>().unwrap().clone()
    }

    #[test]
    fn the_right_content_is_read_to_its_end() {
        let mut reader = reader(CONTENT, CONTENT.len() as u64);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, CONTENT);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        assert!(reader.into_inner().is_empty());
    }

    #[test]
    fn content_that_is_too_short_or_too_long_fails() {
        let size = |expected_bytes, actual_bytes| VerifyError::SizeMismatch { expected_bytes, actual_bytes };
        assert_eq!(failure(CONTENT, 13), size(13, 12));
        assert_eq!(failure(CONTENT, 11), size(11, 12));
        assert_eq!(failure(b"", 12), size(12, 0));
        assert_eq!(failure(CONTENT, 0), size(0, 1));
    }

    #[test]
    fn other_content_of_the_same_size_fails() {
        let other = b"SOME CONTENT";
        let actual = Digest::of(Algorithm::Sha256, other);
        let expected = Digest::of(Algorithm::Sha256, CONTENT);
        assert_eq!(failure(other, 12), VerifyError::DigestMismatch { expected, actual });
    }

    #[test]
    fn nothing_beyond_the_size_is_handed_out() {
        let mut read = Vec::new();
        reader(CONTENT, 5).read_to_end(&mut read).unwrap_err();
        assert_eq!(read, &CONTENT[..5]);
    }
}
