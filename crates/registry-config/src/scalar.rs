//! Texts as booleans, durations and sizes.

use std::time::Duration;

/// A boolean as YAML 1.1 writes it, which is what the Go registry reads.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(["true", "yes", "on", "y"]) => Some(true),
        () if is(["false", "no", "off", "n"]) => Some(false),
        () => None,
    }
}

/// A duration as Go writes it (`1h30m`, `1.5s`, `250ms`), or a bare number of nanoseconds. Not negative, and at most what
/// fits 63 bits of nanoseconds, 292 years.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return nanoseconds(text.parse().ok()?);
    }
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end =
            after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(scaled(number, unit_nanoseconds(unit)?)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total).and_then(nanoseconds)
}

fn nanoseconds(count: u128) -> Option<Duration> {
    let count = u64::try_from(count).ok().filter(|count| *count <= i64::MAX as u64)?;
    Some(Duration::from_nanos(count))
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` may have one decimal point, with digits on at least one side; digits past the nanosecond are dropped.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let part = u128::from(parse(fraction)?) * unit / 10u128.pow(fraction.len() as u32);
    (u128::from(parse(whole)?) * unit).checked_add(part)
}

/// A number of bytes: `65536`, `64KiB`, `4MiB`, `1GiB`, `2TiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits_end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        "tib" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_yaml_1_1() {
        for text in ["true", "True", "TRUE", "yes", "Yes", "on", "ON", "y"] {
            assert_eq!(boolean(text), Some(true), "{text}");
        }
        for text in ["false", "no", "off", "Off", "n"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["", "1", "0", "truee", "enabled", " true"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("10s", seconds(10)),
            ("168h", seconds(168 * 3600)),
            ("1h30m", seconds(5400)),
            ("1.5h", seconds(5400)),
            (".5s", Duration::from_millis(500)),
            ("1.s", seconds(1)),
            ("1h0m0.25s", seconds(3600) + Duration::from_millis(250)),
            ("250ms", Duration::from_millis(250)),
            ("3us", Duration::from_micros(3)),
            ("3\u{b5}s", Duration::from_micros(3)),
            ("7ns", Duration::from_nanos(7)),
            ("+1s", seconds(1)),
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("1000000000", seconds(1)),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "+",
            "-1s",
            "1",
            "s",
            "1 s",
            "1d",
            "1.2.3s",
            ".s",
            "1s2",
            "tenseconds",
            "1S",
            "300000000h",
            "9223372036854775808",
            "99999999999999999999h",
            "1.1234567890123456789s",
            "s1",
        ] {
            assert_ne!(duration(text).map(|d| d > Duration::from_nanos(1)), Some(true), "{text}");
        }
        assert_eq!(duration("1"), Some(Duration::from_nanos(1)));
        assert_eq!(duration("-1s"), None);
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        for (text, expected) in [
            ("0", 0),
            ("65536", 65536),
            ("64KiB", 65536),
            ("4 MiB", 4 << 20),
            ("1gib", 1 << 30),
            ("2TiB", 2 << 40),
            ("5B", 5),
        ] {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        for text in
            ["", "MiB", "-1", "1MB", "1.5MiB", "1 000", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
