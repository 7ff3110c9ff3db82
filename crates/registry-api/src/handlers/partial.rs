//! Answers that hold all of an object, a part of it, or several. Spec: RFC 9110, sections 14 and 15.3.7.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use registry_digest::Digest;
use registry_server::{Body, Piece};

use crate::{
    conditional,
    error::ApiError,
    range::{self, Ranges},
    response::{Response, set},
};

/// Which parts of an object an answer holds.
pub(crate) struct Plan {
    ranges: Vec<Range<u64>>,
    size_bytes: u64,
    kind: Kind,
}

enum Kind {
    Whole,
    One,
    /// With the text that separates the parts.
    Several(String),
}

/// Decides by the request's `Range` and `If-Range`.
pub(crate) fn plan(headers: &HeaderMap, digest: &Digest, size_bytes: u64) -> Result<Plan, ApiError> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // Some clients ask for a range always. Of nothing all is sent, as the Go registry does: an error would be of use to none.
    let asked = asked.filter(|_| size_bytes > 0 && conditional::range_applies(headers, digest));
    let (ranges, kind) = match asked.map_or(Ranges::Whole, |asked| range::parse(asked, size_bytes)) {
        Ranges::Whole => (std::iter::once(0..size_bytes).collect(), Kind::Whole),
        Ranges::One(range) => (vec![range], Kind::One),
        // The digest's end is as good as random, and fixed for the same content.
        Ranges::Several(ranges) => (ranges, Kind::Several(format!("part-{}", &digest.hex()[..24]))),
        Ranges::NotSatisfiable => return Err(ApiError::RangeNotSatisfiable { size_bytes }),
    };
    Ok(Plan { ranges, size_bytes, kind })
}

impl Plan {
    /// What to read, in this order.
    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The answer, given one piece for each of the ranges.
    pub(crate) fn response(self, content_type: &str, pieces: Vec<Piece>) -> Response<Body> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let (pieces, length_bytes) = match &self.kind {
            Kind::Several(boundary) => {
                let content_type_of_all = format!("multipart/byteranges; boundary={boundary}");
                set(&mut headers, header::CONTENT_TYPE, content_type_of_all);
                multipart(boundary, content_type, &self.ranges, self.size_bytes, pieces)
            }
            Kind::Whole | Kind::One => {
                set(&mut headers, header::CONTENT_TYPE, content_type);
                (VecDeque::from(pieces), length_of(&self.ranges))
            }
        };
        if let Kind::One = self.kind {
            set(&mut headers, header::CONTENT_RANGE, content_range(&self.ranges[0], self.size_bytes));
        }
        headers.insert(header::CONTENT_LENGTH, length_bytes.into());

        let mut response = Response::new(Body::pieces(pieces, length_bytes));
        *response.headers_mut() = headers;
        if !matches!(self.kind, Kind::Whole) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

/// The answer to `HEAD`: the headers that `GET` would send for the whole.
pub(crate) fn head(content_type: &str, size_bytes: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    set(response.headers_mut(), header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, size_bytes.into());
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn multipart(
    boundary: &str,
    content_type: &str,
    ranges: &[Range<u64>],
    size_bytes: u64,
    pieces: Vec<Piece>,
) -> (VecDeque<Piece>, u64) {
    let mut all = VecDeque::with_capacity(pieces.len() * 2 + 1);
    let mut length_bytes = length_of(ranges);
    let mut push = |all: &mut VecDeque<Piece>, text: String| {
        length_bytes += text.len() as u64;
        all.push_back(Piece::Bytes(Bytes::from(text)));
    };
    for (index, (range, piece)) in ranges.iter().zip(pieces).enumerate() {
        let before = if index == 0 { "" } else { "\r\n" };
        let content_range = content_range(range, size_bytes);
        push(
            &mut all,
            format!(
                "{before}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
            ),
        );
        all.push_back(piece);
    }
    push(&mut all, format!("\r\n--{boundary}--\r\n"));
    (all, length_bytes)
}

fn content_range(range: &Range<u64>, size_bytes: u64) -> String {
    format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1)
}

fn length_of(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
