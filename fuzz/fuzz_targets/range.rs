#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_api::range::{RANGES_MAX, Ranges, parse};

fuzz_target!(|input: (u64, &str)| {
    let (size_bytes, header) = input;
    let ranges = match parse(header, size_bytes) {
        Ranges::Whole | Ranges::NotSatisfiable => return,
        Ranges::One(range) => vec![range],
        Ranges::Several(ranges) => ranges,
    };
    assert!(ranges.len() <= RANGES_MAX);
    for range in ranges {
        assert!(range.start < range.end && range.end <= size_bytes);
    }
});
